"""Progress on standard error: one line that is written anew at a terminal, and nothing elsewhere."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType

_SECONDS_BETWEEN = 0.1


class Progress:
    """The line, in a `with` block: a title, and how many of `total` things are done."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total, self._done = title, total, 0
        self._shown = sys.stderr is not None and sys.stderr.isatty()
        self._last = 0.0
        self._writing = threading.Lock()

    def __enter__(self) -> Progress:
        self._write()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)

    def advance(self) -> None:
        """One more is done."""
        with self._writing:
            self._done += 1
            if time.monotonic() - self._last > _SECONDS_BETWEEN:
                self._write()

    def _write(self) -> None:
        if self._shown:
            self._last = time.monotonic()
            print(f"\r\x1b[K{self._title}: {self._done} of {self._total}", end="", file=sys.stderr, flush=True)
