"""Standard output and standard error, which never make this process wait for whoever reads them.

A pipe that nobody reads is full after 64 KiB. Every write to it waits from then on: of the log on the event loop, of a
`print` in the model. Here a write puts out at once what the descriptor takes, so that the last lines before a crash are
not lost. The rest waits in a bounded queue for a thread, which runs only while there is a rest. What has no room in the
queue, and what cannot be written, is dropped, and a line says so once writing works again.
"""

import atexit
import faulthandler
import os
import select
import socket
import stat
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any, TextIO

QUEUE_BYTES = 2**20
QUEUE_PIECES = 10_000
PIECE_BYTES = 2**16
LINE_END = ord("\n")
PIPE_BYTES = 2**20  # the most that Linux gives to everybody
FLUSH_SECONDS = 0.5
SMALLEST_PIPE_BUFFER = 512  # bytes, of PIPE_BUF in POSIX: what a pipe with room takes as a whole


class Output:
    """The writes to one of the two descriptors. Any thread may call this, and none of it waits, but for `flush`.

    `title` is what it is a part of, for the line about what was dropped. `report` makes that line of its text.
    """

    def __init__(self, descriptor: int, title: str, reader: str) -> None:
        self.descriptor = descriptor
        self.own = _own_description(descriptor)
        """Where only this process writes, and never waits; `descriptor` where there is no such thing."""
        self.report: Callable[[str], bytes] = lambda text: f"{text}\n".encode()
        self._title, self._reader = title, reader
        self._socket = _socket_of(descriptor)
        self._may_wait = self.own == descriptor and _can_be_full(descriptor)
        self._forget()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forget)  # what waits there is the parent's, and so is the thread

    def _forget(self) -> None:
        self._lock = threading.RLock()  # a signal's handler may log in the middle of a write
        self._all_written = threading.Condition(self._lock)
        self._thread: threading.Thread | None = None
        self._is_writing = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._begun, self._begun_lines = memoryview(b""), 0
        self._is_at_line_start = True
        self._lost, self._reason = 0, ""

    def write(self, data: bytes) -> None:
        """Writes now or later, or drops what has waited longest to make room."""
        with self._lock:
            if self._is_idle and not (data := self._rest_of(data)):
                return
            for start in range(0, len(data), PIECE_BYTES):
                self._waiting.append(data[start : start + PIECE_BYTES])
            self._waiting_bytes += len(data)
            if self._thread is None and not self._is_writing and not self._write_waiting():
                self._start_thread()
            while self._waiting_bytes > QUEUE_BYTES or len(self._waiting) > QUEUE_PIECES:
                self._lose(self._take_first())

    @property
    def _is_idle(self) -> bool:
        return not (self._begun or self._waiting or self._lost or self._is_writing)

    def _rest_of(self, data: bytes) -> bytes:
        """Writes once, which is enough for nearly every line; returns what is left."""
        try:
            written = self._write_some(data)
        except OSError:
            return data
        self._is_at_line_start = data[written - 1] == LINE_END
        return data[written:]

    def flush(self, seconds: float) -> None:
        """Waits until everything is written, at most so long."""
        with self._all_written:
            self._all_written.wait_for(lambda: not (self._waiting or self._begun), seconds)

    def _take_first(self) -> bytes:
        data = self._waiting.popleft()
        self._waiting_bytes -= len(data)
        return data

    def _write_waiting(self) -> bool:
        """Writes until nothing waits any more; False if the descriptor takes no more before that."""
        self._is_writing = True
        try:
            while self._begun or self._waiting:
                self._begin_next()
                self._begun = self._begun[self._write_some(self._begun) :]
        except BlockingIOError:
            self._reason = f"{self._reader} was not read"
            return False
        except OSError as error:
            self._lose_all(f"{self._reader}: {error.strerror}")
        finally:
            self._is_writing = False
        self._all_written.notify_all()
        return True

    def _begin_next(self) -> None:
        """Takes the next piece, once one is written; the first after a gap is the line about that."""
        if self._begun:
            return
        if self._lost:
            about = self.report(f"{self._lost:,} lines of {self._title} were dropped: {self._reason}")
            self._begun = memoryview(about if self._is_at_line_start else b"\n" + about)
            self._begun_lines, self._lost = self._lost, 0
        else:
            data = self._take_first()
            self._begun, self._begun_lines = memoryview(data), data.count(b"\n")
        self._is_at_line_start = self._begun[-1] == LINE_END

    def _lose(self, data: bytes) -> None:
        self._lost += data.count(b"\n") or not self._lost  # at least one, also where all that is lost is within a line

    def _lose_all(self, reason: str) -> None:
        self._lost += self._begun_lines
        self._begun, self._reason = memoryview(b""), reason
        while self._waiting:
            self._lose(self._take_first())

    def _write_some(self, data: bytes | memoryview) -> int:
        """Writes what can be written at once; raises BlockingIOError if that is nothing, and other kinds of OSError."""
        if self._socket is not None:
            return self._socket.send(data, socket.MSG_DONTWAIT)
        if self._may_wait:
            if not _has_room(self.own, 0):
                raise BlockingIOError
            data = data[:SMALLEST_PIPE_BUFFER]
        return os.write(self.own, data)

    def _start_thread(self) -> None:
        thread = threading.Thread(target=self._write_later, name=f"writes {self._title}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # no more threads can be had, or the interpreter ends: the next write tries again
            return
        self._thread = thread

    def _write_later(self) -> None:
        while True:
            _has_room(self.own, None)
            with self._lock:
                if self._write_waiting():
                    self._thread = None
                    return


def _open_standard_descriptors() -> None:
    """Opens those that are closed, as nothing: else the next file or connection would get what is printed."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest number that is free


class _Writes(RawIOBase):
    """An Output as the lowest layer of a text stream."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self.name = output.descriptor

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._output.descriptor

    def isatty(self) -> bool:
        return os.isatty(self._output.descriptor)

    def write(self, data: bytes | bytearray | memoryview) -> int:  # type: ignore[override]
        piece = bytes(data)
        self._output.write(piece)
        return len(piece)


def take_over() -> None:
    """Replaces `sys.stdout` and `sys.stderr`, and keeps native code that writes to the descriptors from waiting, too.

    For the start of the process, before anything else writes.
    """
    sys.stdout = _text_stream(PRINTED, sys.stdout, at_once=False)
    sys.stderr = _text_stream(LOG, sys.stderr, at_once=True)
    for output in (PRINTED, LOG):
        if output.own != output.descriptor and stat.S_ISFIFO(os.fstat(output.own).st_mode):
            os.dup2(output.own, output.descriptor)  # for native code: gRPC's own log would stop its threads
    atexit.register(flush)
    faulthandler.enable(file=LOG.own)  # a crash in native code leaves a traceback, of the model's thread too


def flush(seconds: float = FLUSH_SECONDS) -> None:
    """Waits until all that was printed and logged is written, at most so long."""
    end = time.monotonic() + seconds
    for output in (PRINTED, LOG):
        output.flush(max(0.0, end - time.monotonic()))


def _text_stream(output: Output, standard: TextIO | None, *, at_once: bool) -> TextIO:
    """A stream like the standard one, which is None if it was closed."""
    raw: Any = _Writes(output)  # its type has less than those of Python's own files
    unbuffered = getattr(standard, "write_through", False)
    buffer = raw if unbuffered else BufferedWriter(raw)
    return TextIOWrapper(
        buffer,
        encoding=getattr(standard, "encoding", "utf-8"),
        errors="backslashreplace" if at_once else getattr(standard, "errors", "strict"),
        line_buffering=at_once or raw.isatty(),
        write_through=unbuffered,
    )


def _own_description(descriptor: int) -> int:
    """The pipe or terminal once more, so that not waiting is for this process alone: the flag is not a descriptor's.

    A pipe also gets as much room as possible. Returns the descriptor itself where this is not possible.
    """
    try:
        if not _can_be_full(descriptor):
            return descriptor
        own = os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, AttributeError):  # a socket, a pipe of another user, another system
        return descriptor
    with suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(own, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return own


def _can_be_full(descriptor: int) -> bool:
    """Whether a write may have to wait for a reader: in a file or a device it does not."""
    mode = os.fstat(descriptor).st_mode
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) or os.isatty(descriptor)


def _socket_of(descriptor: int) -> socket.socket | None:
    if not stat.S_ISSOCK(os.fstat(descriptor).st_mode) or not hasattr(socket, "MSG_DONTWAIT"):
        return None
    return socket.socket(fileno=os.dup(descriptor))


def _has_room(descriptor: int, milliseconds: int | None) -> bool:
    """Waits until a descriptor takes a write, or fails; always true where a system cannot say it."""
    if not hasattr(select, "poll"):
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(milliseconds))


_open_standard_descriptors()
LOG = Output(2, "the log", "standard error")
PRINTED = Output(1, "standard output", "standard output")
