"""A command that can be stopped at any moment by a signal: one line, the exit code that shells expect, nothing left."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

# SIGHUP, when the terminal is closed, is unknown to Windows.
_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
_WORDS = {signal.SIGTERM: "terminated"}
# What other processes print is held back for this long, since the same signal may be about to reach this process.
_HELD_BACK_SECONDS = 0.2
_REMOVALS = 100
_SECONDS_BETWEEN_REMOVALS = 0.05
_PATIENCE_SECONDS = 5


class Interrupted(KeyboardInterrupt):
    """A signal asked this process to stop."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class _Received:
    """The signal that this process has received, if any: one is enough, so that cleaning up is not interrupted."""

    number: int | None = None
    ignored = False


def stoppable(command: Callable[[], int], outcome: str) -> int:
    """The exit code of a command, or 128 and the signal's number with one line on standard error, such as
    "protoserve: interrupted; nothing was created", whose last part is `outcome`.

    In the command, SIGINT, SIGTERM and SIGHUP raise Interrupted, once; it has to undo what it has done.
    """
    with _handlers():
        try:
            return command()
        except KeyboardInterrupt as error:  # at a prompt, Ctrl-C is a key
            number = error.number if isinstance(error, Interrupted) else int(signal.SIGINT)
            _Received.number = number
        print(f"protoserve: {_WORDS.get(signal.Signals(number), 'interrupted')}; {outcome}", file=sys.stderr)
        return 128 + number


def complete() -> None:
    """Says that the command has done its work: signals are ignored from now on.

    Raises Interrupted if one came before.
    """
    _Received.ignored = True
    raise_if_received()


def raise_if_received() -> None:
    """Raises Interrupted if a signal came: some libraries swallow exceptions, or raise another while they clean up."""
    if _Received.number is not None:
        raise Interrupted(_Received.number)


@contextmanager
def _handlers() -> Iterator[None]:
    """Installs the handlers, except for signals that this process was started to ignore, as by nohup."""
    _Received.number, _Received.ignored = None, False
    previous = {number: signal.getsignal(number) for number in _SIGNALS}
    try:
        for number, handler in previous.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _handle)
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
        _Received.number, _Received.ignored = None, False


def _handle(number: int, _: FrameType | None) -> None:
    if _Received.number is None and not _Received.ignored:
        _Received.number = number
        raise Interrupted(number)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for all temporary files of this process and of those it starts, removed with all of them at the end."""
    old_default, old_variable = tempfile.tempdir, os.environ.get("TMPDIR")
    name = tempfile.mkdtemp(prefix="protoserve-")
    tempfile.tempdir = os.environ["TMPDIR"] = name
    try:
        yield Path(name)
    finally:
        tempfile.tempdir = old_default
        if old_variable is None:
            del os.environ["TMPDIR"]
        else:
            os.environ["TMPDIR"] = old_variable
        _remove(Path(name))


def _remove(folder: Path) -> None:
    """Removes a folder into which a process that this one started may write for a moment longer."""
    for _ in range(_REMOVALS):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(_SECONDS_BETWEEN_REMOVALS)


@contextmanager
def silenced_when_interrupted() -> Iterator[None]:
    """Relays standard error of this process and of those it starts, but not what they print because of a signal.

    A terminal sends Ctrl-C to all of them, and each has something to say about it.
    """
    if sys.stderr is None:  # it was closed
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    reader, writer = os.pipe()
    os.dup2(writer, 2)
    os.close(writer)
    ended = threading.Event()

    def relay() -> None:
        while chunk := os.read(reader, 65536):
            ended.wait(_HELD_BACK_SECONDS)
            if _Received.number is None:
                os.write(terminal, chunk)

    thread = threading.Thread(target=relay, daemon=True)
    thread.start()
    try:
        yield
    finally:
        sys.stderr.flush()
        ended.set()
        os.dup2(terminal, 2)
        # Until the last process that was started has ended, or closed the pipe: it may still write files.
        thread.join(timeout=_PATIENCE_SECONDS)
        if not thread.is_alive():
            os.close(reader)
            os.close(terminal)
