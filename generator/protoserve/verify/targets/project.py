"""The server of a protoserve project, started as its Dockerfile starts it."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from protoserve.platform import answers
from protoserve.verify.address import Address, UsageError

_LOG_LINES = 12
_PATIENCE = 5.0  # seconds that a server has to end by itself when the run is over


class ProjectServer:
    """`python -m PACKAGE.server` in the project's own environment (`.venv`), else in this one, from `start()` on."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError where there is nothing to start."""
        try:
            package = str(answers.read(folder)["package"])
        except (answers.AnswersError, KeyError) as error:
            raise UsageError(f"{folder} is no project of protoserve: {error}") from None
        if not any((folder / "artifacts").glob("*.sha256")):
            raise UsageError(f"{folder}: there is no artifact yet; run `make model` (or `python train.py`) first")
        self.address = Address("127.0.0.1", free_port())
        self._folder, self._package = folder, package
        self._asked = False  # to end
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folder = self._folder
        own = folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        python = own if own.exists() else Path(sys.executable)
        environment = {
            **os.environ,
            "PYTHONPATH": str(folder.resolve() / "src"),
            "PORT": str(self.address.port),
            "LOG_FORMAT": "text",
        }
        self._process = subprocess.Popen(
            [str(python), "-m", f"{self._package}.server"],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
        )

    @property
    def _started(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "start() first"
        return self._process

    def ended(self) -> bool:
        return self._started.poll() is not None

    def told(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()[-_LOG_LINES:]
        code = self._started.poll()
        return ("still running" if code is None else f"exit code {_unix(code)}") + "".join(
            f"\n{line}" for line in lines
        )

    def listens(self) -> str | None:
        return None  # what reaches it here is the loopback itself

    def terminate(self) -> None:
        self._asked = True
        self._started.terminate()

    def wait(self, seconds: float) -> int | None:
        try:
            return _unix(self._started.wait(seconds))
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            if self.wait(0 if self._asked else _PATIENCE) is None:
                self._process.kill()
                self._process.wait()
        self._log.close()


def free_port() -> int:
    """A port of the loopback that nothing listens on now."""
    with contextlib.closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _unix(code: int) -> int:
    """Popen's code of a signal, -15, as a shell and a platform show it: 143."""
    return code if code >= 0 else 128 - code
