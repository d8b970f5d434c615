"""One update of a repository at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import Repository

try:
    import fcntl
except ImportError:  # Windows has none
    fcntl = None  # type: ignore[assignment]


class LockedError(ProtoserveError):
    """Another update runs."""


@contextmanager
def locked(repository: Repository) -> Iterator[None]:
    """Refuses other updates of the repository meanwhile: two that write and undo would mix what they write.

    The lock is on git's own folder, so it leaves no file, and it ends with the process. Raises LockedError.
    """
    folder = os.open(repository.git_path("."), os.O_RDONLY)
    try:
        _lock(folder, repository.root)
        yield
    finally:
        os.close(folder)


def _lock(folder: int, root: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise LockedError(f"another update of {root} is running: wait until it is done") from None
    except OSError:
        pass  # a file system without locks
