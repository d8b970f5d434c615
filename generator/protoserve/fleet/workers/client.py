"""Starts a worker, and asks it from several threads."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protoserve.platform.errors import ProtoserveError

_SERVER = Path(__file__).with_name("server.py")
_SECONDS_TO_START = 60.0
_MOST_OUTPUT = 64 * 2**20


class WorkerError(ProtoserveError):
    """A worker cannot be started here, or has ended."""


class TooLongError(ProtoserveError):
    """An answer took too long; the copy that worked on it was ended."""


@dataclass(frozen=True, slots=True)
class Finished:
    """The exit code of a request, below 0 for a signal, and what was printed."""

    code: int
    stdout: str
    stderr: str


class Worker:
    """A process for requests of one kind: `setup` and `folder` are the arguments of server.py.

    Close it, or use it in a `with` block. Raises WorkerError if it cannot work here.
    """

    def __init__(self, folder: Path, setup: str) -> None:
        if not hasattr(os, "fork"):
            raise WorkerError("this system cannot copy a process")
        self._asking = threading.Lock()
        self._waiting: dict[int, Future[int]] = {}
        self._number = 0
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the worker
        pipe = subprocess.PIPE
        command = [sys.executable, str(_SERVER), str(folder), setup]
        # A Ctrl-C at the terminal reaches this process alone, which then closes its workers.
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._errors, process_group=0)
        self._ready: Future[bool] = Future()
        threading.Thread(target=self._listen, daemon=True).start()
        try:
            if not self._ready.result(_SECONDS_TO_START):
                raise WorkerError(f"{setup} in {folder} cannot be imported: {self._last_line()}")
        except TimeoutError:
            self.close()
            raise WorkerError(f"{setup} in {folder} is not imported after {_SECONDS_TO_START:.0f} seconds") from None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the worker, and what it still works on."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def run(self, argument: Any, seconds: float) -> Finished:
        """Asks the worker, and waits for the answer. Raises TooLongError and WorkerError."""
        with tempfile.TemporaryDirectory(prefix="protoserve-worker-") as folder:
            stdout, stderr = (Path(folder, name) for name in ("stdout", "stderr"))
            number, answer = self._ask({"argument": argument, "stdout": str(stdout), "stderr": str(stderr)})
            try:
                code = answer.result(seconds)
            except TimeoutError:
                self._send({"stop": number})
                raise TooLongError(f"it was not done within {seconds:.0f} seconds") from None
            return Finished(code, _read(stdout), _read(stderr))

    def _ask(self, request: dict[str, Any]) -> tuple[int, Future[int]]:
        answer: Future[int] = Future()
        with self._asking:
            self._number += 1
            self._waiting[self._number] = answer
            number = self._number
        self._send({"id": number, **request})
        return number, answer

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            with self._asking:
                self._process.stdin.write(json.dumps(request).encode() + b"\n")
                self._process.stdin.flush()
        except (OSError, ValueError):
            raise WorkerError("the worker has ended") from None

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            reply = json.loads(line)
            if "ready" in reply:
                self._ready.set_result(True)
            elif answer := self._waiting.pop(reply["id"], None):
                answer.set_result(reply["code"])
        if not self._ready.done():
            self._ready.set_result(False)
        for answer in list(self._waiting.values()):
            answer.set_exception(WorkerError("the worker has ended"))

    def _last_line(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended"


def run_alone(folder: Path, setup: str, argument: Any, seconds: float) -> Finished:
    """The same in a process that is started for it, where no worker can be. Raises TooLongError."""
    command = [sys.executable, str(_SERVER), str(folder), setup, "once"]
    data = json.dumps(argument).encode()
    try:
        done = subprocess.run(command, input=data, capture_output=True, check=False, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise TooLongError(f"it was not done within {seconds:.0f} seconds") from None
    return Finished(done.returncode, done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"))


def _read(path: Path) -> str:
    """What a copy has printed; "" if it was ended before it began."""
    try:
        with path.open("rb") as file:
            return file.read(_MOST_OUTPUT).decode(errors="replace")
    except FileNotFoundError:
        return ""
