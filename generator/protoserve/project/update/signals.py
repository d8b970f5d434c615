"""Ctrl-C and the signals that end a process, while an update runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def raise_as_interrupts() -> None:
    """From now on each of these signals raises KeyboardInterrupt."""
    for number in _SIGNALS:
        if number != signal.SIGINT:  # Python's default already, unless a shell in the background ignores it
            signal.signal(number, signal.default_int_handler)


class DeferredSignals:
    """From now on these signals set `received` and end the command that runs, but interrupt nothing else.

    So writing into a project ends, or is undone, where it is known how much was written. This stays so until the
    process ends: nothing is left to do by then but to report the update.
    """

    def __init__(self) -> None:
        self.received = False
        self._running: subprocess.Popen[bytes] | None = None
        for number in _SIGNALS:
            signal.signal(number, self._handle)

    def run(self, command: list[str], folder: Path) -> int:
        """The exit code of a command; if it fails or is stopped, its child processes are killed too."""
        process = subprocess.Popen(command, cwd=folder, stdout=sys.stderr.fileno(), start_new_session=True)
        self._running = process
        if self.received:
            self._kill()
        code = process.wait()
        if code != 0:
            self._kill()
        self._running = None
        return code

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        self._kill()

    def _kill(self) -> None:
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
