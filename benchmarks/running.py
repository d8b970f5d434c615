"""The servers that benchmarks measure: processes on a core of their own, and the ports on which they listen."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import IO

from support import Project

SERVER_CORE, CLIENT_CORE = 0, -1
STOP_SECONDS = 30.0

_ALL_CORES = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def pin(pid: int, core: int) -> None:
    """Keeps a process (0: this one) and what it will start on the first or the last core, if there are two."""
    if len(_ALL_CORES) > 1:
        os.sched_setaffinity(pid, {_ALL_CORES[core]})


@contextmanager
def on_core(core: int) -> Iterator[None]:
    """What this process starts meanwhile is on this core from its first instruction on."""
    if not _ALL_CORES:
        yield
        return
    before = os.sched_getaffinity(0)
    pin(0, core)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


class ServerEnded(Exception):
    """A server ended before it served, with the end of its log."""


class Server:
    """A running server: its process, and what it wrote to standard error."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log = ""
        self.ports: dict[str, int] = {}

    @property
    def pid(self) -> int:
        """The process id, which is that of its process group, too."""
        return self.process.pid

    def read_until_serving(self, stream: IO[str], word: str = "serving") -> None:
        """Reads the log until a line has `word`, notes its ports, and has a thread read the rest."""
        while word not in self.log:
            line = stream.readline()
            if not line:
                raise ServerEnded(f"the server has ended: {self.log[-2000:]}")
            self.log += line
        # A server by hand says "serving on port 1", a generated one "listening on 127.0.0.1, port 1".
        self.ports["grpc"] = int(re.findall(r"(?<!HTTP: listening on )\bport (\d+)", self.log)[-1])
        if found := re.findall(r"HTTP: listening on port (\d+)", self.log):
            self.ports["http"] = int(found[-1])
        Thread(target=self._read_rest, args=(stream,), daemon=True).start()

    def _read_rest(self, stream: IO[str]) -> None:
        for line in stream:
            self.log = (self.log + line)[-100_000:]


@contextmanager
def process(
    command: Sequence[str | Path], *, cwd: Path, env: Mapping[str, str], log: int | IO[str] = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[str]]:
    """A process on the server's core, in a group of its own that is ended with it."""
    with on_core(SERVER_CORE):
        started = subprocess.Popen(
            [str(part) for part in command],
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if log == subprocess.PIPE else log,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        yield started
    finally:
        started.terminate()  # some have workers in sessions of their own, which only their parent ends
        with suppress(subprocess.TimeoutExpired):
            started.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(started.pid, signal.SIGKILL)
        started.wait()


@contextmanager
def generated(project: Project, **settings: str) -> Iterator[Server]:
    """The server of a generated project, once it serves; settings are environment variables."""
    with python_server(project, ["-m", f"{project.package}.server"], **settings) as server:
        yield server


@contextmanager
def python_server(project: Project, arguments: Sequence[str | Path], **settings: str) -> Iterator[Server]:
    """A server that runs in the environment of the tests and logs "serving" and its port, once it serves."""
    environment = {**project.environment, "HOST": "127.0.0.1", "PORT": "0", "AIP_HTTP_PORT": "0", **settings}
    with process([sys.executable, *arguments], cwd=project.path, env=environment, log=subprocess.PIPE) as started:
        server = Server(started)
        assert started.stderr
        server.read_until_serving(started.stderr)
        yield server
