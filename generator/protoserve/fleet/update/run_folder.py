"""Where a run works: a folder of the cache that only one run has, and that is empty when it begins.

What a killed run has left there is removed by the next one, once the last process of it has ended.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from protoserve.fleet.cache_folder import cache_folder
from protoserve.fleet.mirrors import locked
from protoserve.platform.errors import ProtoserveError
from protoserve.project.user_folders import environment_variable

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]

_SECONDS_TO_END = 30.0
_SECONDS_BETWEEN = 0.05
_UNFINISHED_IN_MIRRORS = ("objects/*/tmp_*", "*.lock", "refs/**/*.lock", "objects/pack/*.lock", "*.new")
_UNFINISHED = ("templates/*/unfinished-*", "compiled/*.tmp", "templates/**/__pycache__/*.pyc.*")


class RunningError(ProtoserveError):
    """Another update of a fleet is running."""


@contextmanager
def run_folder() -> Iterator[Path]:
    """The folder for all temporary files of this run and of the processes that it starts. Raises RunningError."""
    place = cache_folder("update")
    with _locked(place / "run.lock") as lock:
        if lock is None:
            raise RunningError(
                f"another `protoserve fleet update` is running{_owner(place / 'run.lock')}: wait until it is done"
            )
        os.truncate(lock, 0)
        os.write(lock, str(os.getpid()).encode())
        _wait_for_processes(processes_lock(place))
        work = place / "work"
        if work.exists():  # an earlier run was killed
            remove_unfinished(place)
            shutil.rmtree(work)
        work.mkdir()
        before = tempfile.tempdir
        with environment_variable("TMPDIR", str(work)):
            tempfile.tempdir = str(work)
            try:
                yield place
            finally:
                tempfile.tempdir = before
                shutil.rmtree(work, ignore_errors=True)


def processes_lock(place: Path) -> Path:
    """The file on which every process that works for a run has a shared lock."""
    return place / "processes.lock"


def share_lock(file: Path) -> int:
    """A descriptor with a shared lock, which ends when this process and those that inherit it have ended."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o600)
    if fcntl is not None:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def remove_unfinished(place: Path) -> None:
    """Removes what git and Python had not finished writing, and locks of git, which nobody has any more."""
    for mirror in cache_folder("mirrors").glob("*.git"):
        with locked(mirror):
            for pattern in _UNFINISHED_IN_MIRRORS:
                _remove(mirror.glob(pattern))
    for pattern in _UNFINISHED:
        _remove(place.glob(pattern))


def _remove(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _wait_for_processes(file: Path) -> None:
    """Waits until the processes of a run that was killed have ended. Raises RunningError."""
    last = time.monotonic() + _SECONDS_TO_END
    while True:
        with _locked(file) as lock:
            if lock is not None:
                return
        if time.monotonic() > last:
            raise RunningError("processes of an earlier `protoserve fleet update` are still at work: end them first")
        time.sleep(_SECONDS_BETWEEN)


@contextmanager
def _locked(file: Path) -> Iterator[int | None]:
    """A descriptor of the file, locked for this process alone; None if another one has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
    try:
        if fcntl is not None:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
        yield descriptor
    finally:
        os.close(descriptor)


def _owner(file: Path) -> str:
    text = file.read_text(encoding="ascii", errors="replace").strip()
    return f" (process {text})" if text.isdecimal() else ""
