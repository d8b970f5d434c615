"""A server that serves where its callers do not reach it, for good."""

from __future__ import annotations

import time
from collections.abc import Callable

_LOOK_SECONDS = 0.5  # between two looks at the ports on which it listens
_SETTLING_SECONDS = 2.0  # for a server that listens on several ports, one after the other


class Elsewhere:
    """`find` gives the port on which the server serves in place of its own, None as long as there is none."""

    def __init__(self, find: Callable[[], int | None]) -> None:
        self.port: int | None = None
        self._find = find
        self._since = self._next_look = 0.0

    def is_settled(self) -> bool:
        """Looks, at most every half second; whether it was the same port for some seconds."""
        if time.monotonic() < self._next_look:
            return False
        port = self._find()
        self._next_look = time.monotonic() + _LOOK_SECONDS
        if port != self.port:
            self.port, self._since = port, time.monotonic()
        return port is not None and time.monotonic() > self._since + _SETTLING_SECONDS
