"""To the event loop from other threads: what a batch comes to goes over at once, with one wake-up of the loop."""

import asyncio
from collections import deque
from collections.abc import Callable
from functools import partial


class Outbox:
    """Calls that the event loop is to make. Any thread may `add` and `send`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], object]] = deque()

    def add(self, function: Callable[..., object], *arguments: object) -> None:
        """A call that the loop makes after the next `send`."""
        self._calls.append(partial(function, *arguments))

    def send(self) -> None:
        """Wakes the loop, if there is anything for it."""
        if self._calls:
            self._loop.call_soon_threadsafe(self._make_calls)

    def _make_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()
