"""What stops an update from outside: Ctrl-C and the signals that end a process, each as a KeyboardInterrupt."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def as_interrupts() -> None:
    """Every stop is a KeyboardInterrupt from now on."""
    for number in _SIGNALS:
        if number != signal.SIGINT:  # which somebody who runs us in the background may have had ignored
            signal.signal(number, signal.default_int_handler)


class Held:
    """Stops are noted from now on, and interrupt nothing but the command that runs.

    What writes into a project then ends, or is undone, where it is known how much was written. It stays so to the
    end: what is left to do is to say what became of the update.
    """

    def __init__(self) -> None:
        self.came = False
        self._running: subprocess.Popen[bytes] | None = None
        for number in _SIGNALS:
            signal.signal(number, self._note)

    def run(self, command: list[str], folder: Path) -> int:
        """The exit code of a command; of one that failed or was stopped nothing is left that could still write."""
        process = subprocess.Popen(command, cwd=folder, stdout=sys.stderr.fileno(), start_new_session=True)
        self._running = process
        if self.came:
            self._kill()
        code = process.wait()
        if code != 0:
            self._kill()
        self._running = None
        return code

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.came = True
        self._kill()

    def _kill(self) -> None:
        if self._running is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._running.pid, signal.SIGKILL)
