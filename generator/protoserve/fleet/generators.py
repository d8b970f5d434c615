"""The generators of the versions that the fleet's projects record: each in a worker that has imported it once."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from protoserve.fleet.workers import Finished, TooLongError, Worker, WorkerError

_MOST_WORKERS = 4  # each takes memory; projects of more versions than these take turns
_SECONDS = 300.0


@dataclass
class _Generator:
    """The worker of one version, None where it has to be started anew for each project."""

    folder: Path
    users: int = 0
    started: threading.Lock = field(default_factory=threading.Lock)
    is_started: bool = False
    worker: Worker | None = None


class Generators:
    """Runs `run.py ARGUMENTS...` of any version of the template; used in a `with` block, by several threads."""

    def __init__(self) -> None:
        self._choosing = threading.Lock()
        self._generators: OrderedDict[Path, _Generator] = OrderedDict()  # the one that was used last at the end

    def __enter__(self) -> Generators:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for generator in self._generators.values():
            if generator.worker is not None:
                generator.worker.close()

    def run(self, template: Path, arguments: list[str]) -> Finished:
        """Runs the generator of the version in a folder. Raises TooLongError."""
        generator = self._taken(template / "generator")
        try:
            with generator.started:
                if not generator.is_started:
                    generator.worker = _started(generator.folder)
                    generator.is_started = True
            if generator.worker is None:
                return _run_alone(generator.folder, arguments)
            try:
                return generator.worker.run(arguments, _SECONDS)
            except WorkerError:
                return _run_alone(generator.folder, arguments)
        finally:
            with self._choosing:
                generator.users -= 1

    def _taken(self, folder: Path) -> _Generator:
        with self._choosing:
            generator = self._generators.setdefault(folder, _Generator(folder))
            generator.users += 1
            self._generators.move_to_end(folder)
            unused = [path for path, other in self._generators.items() if other.users == 0]
            excess = len(self._generators) - _MOST_WORKERS
            closed = [self._generators.pop(path) for path in unused[: max(excess, 0)]]
        for other in closed:
            if other.worker is not None:
                other.worker.close()
        return generator


def _started(folder: Path) -> Worker | None:
    try:
        return Worker(folder, "run.py")
    except WorkerError:
        return None


def _run_alone(folder: Path, arguments: list[str]) -> Finished:
    command = [sys.executable, str(folder / "run.py"), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise TooLongError(f"the generator was not done within {_SECONDS:.0f} seconds") from None
    return Finished(done.returncode, done.stdout, done.stderr)
