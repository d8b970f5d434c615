"""The process that answers what is not the model's: health, reflection, and methods that the model does not serve.

It has an interpreter's lock of its own, so health is answered while a model holds the server's. It hears of each state
of the server, and every second that the server is there.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pool import Default as default_pool

from ....contract import served
from ...binding import BindError
from ...core.state import ServerState
from ...exits import end_now
from ...logs import logger
from ...settings import Settings

BEAT_SECONDS = 1.0  # at most, between two words that the server is there
RESTART_SECONDS = 1.0  # between two starts of the process, which does not end by itself
MOST_FAILED_STARTS = 5  # in a row
SOCKET = "health.sock"
MAX_SOCKET_PATH = 100  # bytes: systems allow 104 or 108
MODULE = f"{__package__}.health_process"
ROOT = Path(__file__).parents[4]  # in which the package is


class Fallback:
    """Starts the process, again if it ends, and sends it the state of the server. Made on the event loop.

    `path` is the socket on which it answers: in a folder that only this user can enter, and that the process removes
    when the server has ended, in whatever way. Raises BindError if there can be none.
    """

    def __init__(self, state: ServerState, settings: Settings) -> None:
        self._state, self._settings = state, settings
        self._folder = _private_folder()
        self.path = self._folder / SOCKET
        self._process: subprocess.Popen[bytes] | None = None
        self._is_ready = False
        self._is_stopping = threading.Event()
        self._starting = threading.Lock()  # a stop must see a process that is just being started

    def start(self, on_ready: Callable[[], object]) -> None:
        """Starts the process; `on_ready` is called once, from another thread, when it answers."""
        threading.Thread(target=self._keep_running, args=(on_ready,), name="health process", daemon=True).start()
        self._following = asyncio.create_task(self._follow())

    async def stop(self, grace: float) -> None:
        """Waits until the process has ended, as it does in a final state of the server. At most so many seconds."""
        self._is_stopping.set()
        self._following.cancel()
        self._send_state()
        await asyncio.to_thread(self._end, grace)

    def _end(self, grace: float) -> None:
        with self._starting:
            process = self._process
        if process is not None:
            if self._is_ready:
                with suppress(subprocess.TimeoutExpired):
                    process.wait(grace)
            process.kill()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _follow(self) -> None:
        """Sends the state when it changes, and again as a sign of life. On the loop, which must not hang either."""
        seconds = min(BEAT_SECONDS, self._settings.model_timeout_seconds / 4)
        while True:
            self._send_state()
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._state.change()

    def _send_state(self) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            with suppress(OSError, ValueError):  # the process has ended, or reads nothing: the next one gets it
                os.write(process.stdin.fileno(), f"{self._state.current.name}\n".encode())

    def _keep_running(self, on_ready: Callable[[], object]) -> None:
        failed_starts = 0
        while True:
            started = time.monotonic()
            if self._run_once(on_ready):
                failed_starts, on_ready = 0, _do_nothing
            else:
                failed_starts += 1
            if self._is_stopping.is_set():
                return
            if failed_starts == MOST_FAILED_STARTS:
                end_now(1, f"the process for health does not start: {MODULE}")
            code = self._process.returncode if self._process else None
            logger.error("the process for health ended with %s; it is started again", code)
            time.sleep(max(0.0, started + RESTART_SECONDS - time.monotonic()))

    def _run_once(self, on_ready: Callable[[], object]) -> bool:
        """Runs the process to its end; returns whether it came as far as to answer."""
        with self._starting:
            if self._is_stopping.is_set():
                return False
            self._process = process = self._started()
        assert process.stdout is not None
        with process.stdout:
            self._is_ready = is_ready = process.stdout.readline() != b""
            if is_ready:
                self._send_state()
                on_ready()
            process.wait()
        self._is_ready = False
        return is_ready

    def _started(self) -> subprocess.Popen[bytes]:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        process = subprocess.Popen(
            [sys.executable, "-m", MODULE],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdin is not None
        with suppress(OSError):  # it has ended already, which `readline` shows
            process.stdin.write(self._setup() + b"\n")
            process.stdin.flush()
            os.set_blocking(process.stdin.fileno(), False)
        return process

    def _setup(self) -> bytes:
        """What the process must know, as a line of JSON."""
        settings = self._settings
        setup = {
            "path": str(self.path),
            "services": {name: [method.name for method in methods] for name, methods in served.SERVICES.items()},
            "unserved": served.UNSERVED,
            "files": [b64encode(file.serialized_pb).decode() for file in _files(served.SERVICES)],
            "timeout_seconds": settings.model_timeout_seconds,
            "log_level": settings.log_level,
            "log_format": settings.log_format,
        }
        return json.dumps(setup).encode()


def _private_folder() -> Path:
    """A new folder for a socket, whose path must be short. Raises BindError."""
    prefix = f"{__package__.partition('.')[0]}-"
    for parent in (None, "/dev/shm"):  # the second is there where the root file system of a container is read-only
        with suppress(OSError):
            folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
            if len(os.fsencode(folder / SOCKET)) < MAX_SOCKET_PATH:
                return folder
            folder.rmdir()
    raise BindError("no folder for the socket of the process for health; set TMPDIR to one that is writable and short")


def _files(services: Iterable[str]) -> list[FileDescriptor]:
    """The .proto files of these services, each after those that it imports."""
    files: dict[str, FileDescriptor] = {}

    def add(file: FileDescriptor) -> None:
        for imported in file.dependencies:
            add(imported)
        files.setdefault(file.name, file)

    for service in services:
        add(default_pool().FindServiceByName(service).file)
    return list(files.values())


def _do_nothing() -> None:
    """For a process that is started again: the server answers already."""
