"""How much memory the requests in flight may take together."""

import threading

from .admission import RefusalLog
from .outcomes import Failure, Outcome


class Memory:
    """Counts the bytes of requests, from their arrival until they are answered, and refuses those that are too many.

    Any thread may ask.
    """

    def __init__(self, max_bytes: int) -> None:
        self.reserved_bytes = 0
        self._max_bytes = max_bytes
        self._refusals = RefusalLog("MAX_IN_FLIGHT_BYTES", max_bytes)
        self._lock = threading.Lock()

    def reserve(self, size: int) -> None:
        """Counts more bytes; raises Failure if they are too many. One request alone is never too large."""
        with self._lock:
            reserved = self.reserved_bytes
            if not reserved or reserved + size <= self._max_bytes:
                self.reserved_bytes += size
                return
        self._refusals.add()
        raise Failure(Outcome.RESOURCE_EXHAUSTED, f"the requests that are in flight already take {reserved} bytes")

    def give_back(self, size: int) -> None:
        with self._lock:
            self.reserved_bytes -= size


class Reservation:
    """The memory of one request, from its arrival until it is answered."""

    def __init__(self, memory: Memory, size: int) -> None:
        """Raises Failure if there is not so much."""
        self._memory, self._size = memory, 0
        self.grow(size)

    def grow(self, size: int) -> None:
        """Reserves more. Raises Failure if there is not so much."""
        self._memory.reserve(size)
        self._size += size

    def release(self) -> None:
        """Gives it back; a second time changes nothing."""
        self._memory.give_back(self._size)
        self._size = 0
