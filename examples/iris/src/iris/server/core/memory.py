"""How much memory the requests in flight may take together."""

from types import TracebackType
from typing import Self

from .admission import RefusalLog
from .outcomes import Failure, Outcome


class Memory:
    """Counts the bytes of requests, from their arrival until they are answered, and refuses those that are too many."""

    def __init__(self, max_bytes: int) -> None:
        self.reserved_bytes = 0
        self._max_bytes = max_bytes
        self._refusals = RefusalLog("MAX_IN_FLIGHT_BYTES", max_bytes)

    def reserve(self, size: int) -> None:
        """Counts more bytes; raises Failure if they are too many. One request alone is never too large."""
        if self.reserved_bytes and self.reserved_bytes + size > self._max_bytes:
            self._refusals.add()
            text = f"the requests that are in flight already take {self.reserved_bytes} bytes"
            raise Failure(Outcome.RESOURCE_EXHAUSTED, text)
        self.reserved_bytes += size


class Reservation:
    """The memory of one request. As a context manager it gives the memory back, unless that was handed over."""

    def __init__(self, memory: Memory, size: int) -> None:
        """Raises Failure if there is not so much."""
        self._memory, self._size, self._is_handed_over = memory, 0, False
        self.grow(size)

    def grow(self, size: int) -> None:
        """Reserves more. Raises Failure if there is not so much."""
        self._memory.reserve(size)
        self._size += size

    def hand_over(self) -> Self:
        """For whoever holds the request from now on, and calls `release` after that."""
        self._is_handed_over = True
        return self

    def release(self) -> None:
        self._memory.reserved_bytes -= self._size
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if not self._is_handed_over:
            self.release()
