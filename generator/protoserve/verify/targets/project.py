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
_STOP_SECONDS = 5.0  # after SIGTERM, at the end of the run


class ProjectServer:
    """`python -m PACKAGE.server` in the project's own environment (`.venv`), else in this one, from `start()` on."""

    def __init__(self, folder: Path) -> None:
        """Raises UsageError if the folder has nothing to start."""
        try:
            package = str(answers.read(folder)["package"])
        except (answers.AnswersError, KeyError) as error:
            raise UsageError(f"{folder} is not a protoserve project: {error}") from None
        artifacts = [path for path in (folder / "artifacts").glob("[!.]*") if not path.name.startswith("partial-")]
        if not (artifacts or os.environ.get("MODEL_PATH")):
            raise UsageError(
                f"{folder}: artifacts/ is empty: put your model there, or train one: `make model` or `python train.py`"
            )
        self.address = Address("127.0.0.1", free_port())
        self._folder, self._package = folder, package
        self._terminated = False
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed in close()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        folder = self._folder
        own_python = folder / ".venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        python = own_python if own_python.exists() else Path(sys.executable)
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

    def exit_report(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode(errors="replace").strip().splitlines()[-_LOG_LINES:]
        code = self._started.poll()
        state = "still running" if code is None else f"exit code {_shell_code(code)}"
        return "\n".join([state, *lines])

    def listens_elsewhere(self) -> str | None:
        return None  # verify itself asks on the loopback

    def terminate(self) -> None:
        self._terminated = True
        self._started.terminate()

    def wait(self, seconds: float) -> int | None:
        try:
            return _shell_code(self._started.wait(seconds))
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            if self.wait(0 if self._terminated else _STOP_SECONDS) is None:
                self._process.kill()
                self._process.wait()
        self._log.close()


def free_port() -> int:
    """A port of the loopback on which nothing listens."""
    with contextlib.closing(socket.socket()) as bound:
        bound.bind(("127.0.0.1", 0))
        return int(bound.getsockname()[1])


def _shell_code(code: int) -> int:
    """The exit code as a shell shows it: 143 for a process that SIGTERM ended, where Popen has -15."""
    return code if code >= 0 else 128 - code
