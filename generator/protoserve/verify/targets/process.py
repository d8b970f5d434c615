"""A server process on this machine, in a group of its own: its output is kept in part, and nothing of it is left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from protoserve.verify.address import Address, UsageError
from protoserve.verify.protocol_detection import Answerer, detect
from protoserve.verify.targets import processes, sockets
from protoserve.verify.targets.elsewhere import Elsewhere

_LOG_LINES = 12
_LOG_BYTES = 64 << 10  # of its last output
_LINE_CHARACTERS = 500
_STOP_SECONDS = 5.0  # after SIGTERM, at the end of the run
_DRAIN_SECONDS = 1.0  # for the last output of a process that has ended


class ProcessServer:
    """`command`, started with `start()` and ended with `close()`; it should listen at `address`.

    SIGTERM goes to the process alone, as a platform sends it. At the end all that it has started gets SIGKILL.
    """

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], address: Address, folder: Path) -> None:
        """`variables` are added to this environment, `folder` is where it runs."""
        self.address = address
        self._command, self._variables, self._folder = list(command), dict(variables), folder
        self._terminated = False
        self._process: subprocess.Popen[bytes] | None = None
        self._output: _Tail | None = None
        self._family: dict[int, str] = {}  # what it had started before SIGTERM
        self._elsewhere = Elsewhere(self._other_serving_port)
        self.started = time.monotonic()

    def start(self) -> None:
        """Starts it. Raises UsageError if the command cannot be run."""
        self.started = time.monotonic()
        try:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._folder,
                env={**os.environ, **self._variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches verify alone, which then stops it
            )
        except (OSError, ValueError) as error:
            reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
            raise UsageError(f"{self._command[0]}: the command cannot be run: {reason}") from None
        assert self._process.stdout is not None
        self._output = _Tail(self._process.stdout)

    @property
    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "start() first"
        return self._process

    def ended(self) -> bool:
        return self._running.poll() is not None

    def exit_report(self) -> str:
        assert self._output is not None
        code = self._running.poll()
        state = "still running" if code is None else f"exit code {_shell_code(code)}"
        return "\n".join([state, *self._output.lines(0 if code is None else _DRAIN_SECONDS)])

    def listens_elsewhere(self) -> str | None:
        """Verify asks on 127.0.0.1, so that `[::1]` and other ports are elsewhere. None also where it is not known."""
        listening = sockets.of_family(self._running.pid)
        here = [host for host, port in listening if port == self.address.port]
        if here:
            only_v6 = all(host.version == 6 and host.is_loopback for host in here)
            return sockets.shown(here[0], self.address.port) if only_v6 else None
        if not listening:
            return None
        listening.sort(key=lambda socket: (socket[1] != self._elsewhere.port, str(socket[0]), socket[1]))
        elsewhere = ", ".join(dict.fromkeys(sockets.shown(host, port) for host, port in listening))
        return f"{elsewhere}, and not on port {self.address.port}"

    def serves_elsewhere(self) -> bool:
        """Whether it has spoken HTTP/2 on another port for some seconds, and does not listen on its own.

        Another port alone means nothing: it may be that of metrics, while the model is loaded.
        """
        return self._elsewhere.is_settled()

    def _other_serving_port(self) -> int | None:
        ports = dict.fromkeys(port for _, port in sockets.of_family(self._running.pid))
        if self.address.port in ports:
            return None
        others = (port for port in ports if detect(replace(self.address, port=port), 1.0).kind is Answerer.HTTP2)
        return next(others, None)

    def terminate(self) -> None:
        self._terminated = True
        self._family = processes.family(self._running.pid)
        self._running.terminate()

    def wait(self, seconds: float) -> int | None:
        try:
            return _shell_code(self._running.wait(seconds))
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        if self._process is None:
            return
        family = processes.family(self._process.pid) if self._process.poll() is None else self._family
        if self._process.poll() is None:
            self._process.terminate()
            self.wait(0 if self._terminated else _STOP_SECONDS)
        _kill_group(self._process)
        processes.kill(family)
        self._process.wait()
        if self._output is not None:
            self._output.close()


class _Tail:
    """The last output of a process, read in a thread, so that a full pipe never stops the process."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe, self._data = pipe, bytearray()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def lines(self, seconds: float) -> list[str]:
        """The last lines, cut where they are long; waits so many seconds for the end of the output."""
        self._thread.join(seconds)
        with self._lock:
            text = self._data.decode(errors="replace")
        lines = text.strip().splitlines()[-_LOG_LINES:]
        return [shortened_line(line) for line in lines]

    def close(self) -> None:
        self._thread.join(_DRAIN_SECONDS)
        if not self._thread.is_alive():  # otherwise something outside the group still holds the other end
            self._pipe.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while part := os.read(self._pipe.fileno(), 8192):
                with self._lock:
                    self._data += part
                    del self._data[:-_LOG_BYTES]


def shortened_line(line: str) -> str:
    """A line of a log, cut where it is long."""
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}..."


def free_port() -> int:
    """A port of the loopback on which nothing listens."""
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    """SIGKILL for the process and all that it started, as far as that is still in its group."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _shell_code(code: int) -> int:
    """The exit code as a shell shows it: 143 for a process that SIGTERM ended, where Popen has -15."""
    return code if code >= 0 else 128 - code
