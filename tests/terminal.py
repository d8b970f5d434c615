"""A terminal for tests: a command at a pseudo-terminal, with a screen that can be read as its user reads it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pexpect
import pyte

ENTER, TAB, DOWN, UP, SPACE = "\r", "\t", "\x1b[B", "\x1b[A", " "
CTRL_C, CTRL_R, BACKSPACE = "\x03", "\x12", "\x7f"


class Terminal:
    """A command whose output is drawn on a screen of `columns` by `rows`, with the lines that scrolled off above it."""

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        columns: int = 100,
        rows: int = 40,
    ) -> None:
        self.output = ""
        self._lines: list[str] | None = None
        self._screen = pyte.HistoryScreen(columns, rows, history=5000, ratio=0.5)
        self._stream = pyte.Stream(self._screen)
        program, *arguments = map(str, command)
        environment = {**os.environ, "TERM": "xterm-256color", **(env or {})}
        self._child = pexpect.spawn(
            program, arguments, cwd=str(cwd), env=environment, dimensions=(rows, columns), encoding="utf-8", timeout=60
        )
        self._child.delaybeforesend = None

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.close(force=True)

    @property
    def pid(self) -> int:
        return int(self._child.pid)

    def read(self, seconds: float = 0.0) -> bool:
        """Draws what has been printed, and waits this long for more; False at the end of the output."""
        try:
            text = self._child.read_nonblocking(65536, timeout=seconds)
        except pexpect.TIMEOUT:
            return True
        except pexpect.EOF:
            return False
        self.output += text
        self._lines = None
        self._stream.feed(text)
        if "\x1b[6n" in text:  # where is the cursor? A terminal answers
            self._child.send(f"\x1b[{self._screen.cursor.y + 1};{self._screen.cursor.x + 1}R")
        return True

    def lines(self) -> list[str]:
        """What can be read on the screen and above it, without the empty lines at the end."""
        if self._lines is None:
            self._lines = self._read_screen()
        return self._lines

    def _read_screen(self) -> list[str]:
        width = range(self._screen.columns)
        above = ["".join(line[column].data for column in width).rstrip() for line in self._screen.history.top]
        lines = [*above, *(line.rstrip() for line in self._screen.display)]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    def text(self) -> str:
        return "\n".join(self.lines())

    def wait_for(self, text: str, seconds: float = 60) -> str:
        """Waits until the text can be read; all that can be read then."""
        return self.wait_until(lambda: text in self.text(), f"no {text!r}", seconds)

    def wait_until(self, condition: Callable[[], bool], what: str, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        while not condition():
            more = self.read(0.1)
            if condition():
                break
            assert more, f"{what} at the end of the output:\n{self.text()}"
            assert time.monotonic() < deadline, f"{what} on the screen:\n{self.text()}"
        return self.text()

    def prompt(self, text: str, mark: str = ">") -> str:
        """Waits until the text can be read and the prompt below it is drawn; the line of the prompt."""

        def is_drawn() -> bool:
            return text in self.text().rpartition("\n" + self.current_line())[0] and mark in self.current_line()

        self.wait_until(is_drawn, f"no prompt below {text!r}")
        return self.current_line()

    def current_line(self) -> str:
        """The line of the cursor."""
        return str(self._screen.display[self._screen.cursor.y]).rstrip()

    def send(self, keys: str) -> None:
        self._child.send(keys)

    def interrupt(self, number: signal.Signals = signal.SIGINT) -> None:
        """Sends a signal to all processes at this terminal, as Ctrl-C does."""
        os.killpg(self.pid, number)

    def wait(self, seconds: float = 60) -> int:
        """The exit code, once all has been printed."""
        deadline = time.monotonic() + seconds
        while self.read(0.1):
            assert time.monotonic() < deadline, f"still running:\n{self.text()}"
        self._child.close()
        status = self._child.exitstatus
        return int(status) if status is not None else -int(self._child.signalstatus)


def protoserve() -> Path:
    """The command, in the environment of the tests."""
    return Path(sys.executable).parent / "protoserve"
