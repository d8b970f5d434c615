"""How many calls each connection has in flight: no single client may keep the others out."""

import threading
from collections.abc import Hashable

from .admission import RefusalLog
from .outcomes import Failure, Outcome

SPARE_STREAMS = 100  # of a connection beyond MAX_IN_FLIGHT, for health, reflection, and calls that are refused


class ConnectionLimit:
    """Counts the calls of each connection, and refuses those that are too many. Any thread may ask.

    A connection has whatever name its transport gives it, and is forgotten while it has no calls.
    """

    def __init__(self, max_calls: int) -> None:
        self._max_calls = max_calls
        self._calls: dict[Hashable, int] = {}
        self._refusals = RefusalLog("MAX_IN_FLIGHT_PER_CONNECTION", max_calls)
        self._lock = threading.Lock()

    def enter(self, connection: Hashable) -> None:
        """Counts a call until it leaves; raises Failure if its connection has too many already."""
        with self._lock:
            calls = self._calls.get(connection, 0)
            if calls < self._max_calls:
                self._calls[connection] = calls + 1
                return
        self._refusals.add()
        raise Failure(Outcome.RESOURCE_EXHAUSTED, f"{calls} requests of this connection are in flight already")

    def leave(self, connection: Hashable) -> None:
        """A call that had entered has ended, and its reply was handed over."""
        with self._lock:
            calls = self._calls.pop(connection) - 1
            if calls:
                self._calls[connection] = calls
