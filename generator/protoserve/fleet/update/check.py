"""`--check`: the project's own `make check smoke`, in a work tree of its update. It is the only code of a project that
runs here, and it runs as the user, with the user's environment."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.fleet.checkout import checked_out
from protoserve.fleet.mirrors import Mirror
from protoserve.fleet.model import Project
from protoserve.fleet.update.publishing import last_lines
from protoserve.platform.errors import ProtoserveError
from protoserve.project.update.apply import SMOKE

_SECONDS = 3600.0


class CheckError(ProtoserveError):
    """The update does not pass the project's own checks."""


@dataclass(frozen=True, slots=True)
class Check:
    """Runs it with the variables `environment`, and keeps what it prints in the folder `logs`."""

    environment: Mapping[str, str]
    logs: Path
    _running: set[int] = field(default_factory=set)  # by the process that leads the group of all of them

    def run(self, project: Project, mirror: Mirror, commit: str) -> None:
        """Raises CheckError if a commit of the project does not pass."""
        log = self.logs / f"{commit[:16]}.log"
        self.logs.mkdir(exist_ok=True)
        with checked_out(project, mirror, commit) as folder, log.open("wb") as output:
            code = self._code(folder, output.fileno())
        if code != 0:
            printed = log.read_bytes()[-20_000:]
            raise CheckError(f"`{' '.join(SMOKE)}` failed ({log}): {last_lines(printed)}")
        log.unlink()

    def _code(self, folder: Path, output: int) -> int:
        process = subprocess.Popen(
            SMOKE,
            cwd=folder,
            env=dict(self.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        self._running.add(process.pid)
        try:
            return process.wait(_SECONDS)
        except subprocess.TimeoutExpired:
            raise CheckError(f"`{' '.join(SMOKE)}` was not done within {_SECONDS:.0f} seconds") from None
        finally:
            if process.poll() != 0:
                _end(process.pid)
                process.wait()
            self._running.discard(process.pid)

    def stop(self) -> None:
        """Ends what runs, from another thread."""
        for process in list(self._running):
            _end(process)


def _end(process: int) -> None:
    """Ends a process with those that it has started."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process, signal.SIGKILL)
