"""A folder that is held open, so that what is opened, written and replaced in it is in that folder and no other.

A path is looked up anew by each call of the system; whoever may write into a project could put a link in place of one
of its folders between a check and the use. Where the system can, files are named by their folder's descriptor.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

_BY_DESCRIPTOR = {os.open, os.stat, os.mkdir, os.unlink, os.symlink} <= os.supports_dir_fd
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK = getattr(os, "O_NOFOLLOW", 0)
# Neither waits for the other end of a pipe, nor takes a terminal as its own.
_READ = os.O_RDONLY | _NO_LINK | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK | getattr(os, "O_CLOEXEC", 0)


class OutsideError(OSError):
    """A path leads out of the folder that it must stay in."""


class OpenFolder:
    """A folder by its descriptor, or by its path where the system has no functions for that."""

    def __init__(self, path: Path, descriptor: int | None) -> None:
        self._path, self._descriptor = path, descriptor

    @classmethod
    def at(cls, path: Path) -> OpenFolder:
        """The folder at a path, links in it followed. Raises OSError."""
        return cls(path, os.open(path, _FOLDER) if _BY_DESCRIPTOR else None)

    def __enter__(self) -> OpenFolder:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def open(self, name: str) -> int:
        """A descriptor to read a file with; a link is not followed."""
        path, where = self._named(name)
        return os.open(path, _READ, **where)

    def create(self, name: str) -> int:
        """A descriptor to write a new file with, which only its owner can read."""
        path, where = self._named(name)
        return os.open(path, _NEW, 0o600, **where)

    def lstat(self, name: str) -> os.stat_result:
        """The status of a file or link."""
        path, where = self._named(name)
        return os.stat(path, follow_symlinks=False, **where)

    def chmod(self, name: str, mode: int) -> None:
        """Changes the mode of a file that `create` has made."""
        path, where = self._named(name)
        os.chmod(path, mode, **where)

    def set_times(self, name: str, times: tuple[int, int]) -> None:
        """Sets the times of a file, in nanoseconds: of access and of change."""
        path, where = self._named(name)
        os.utime(path, ns=times, **where)

    def symlink(self, target: str, name: str) -> None:
        """Makes a link."""
        path, where = self._named(name)
        os.symlink(target, path, **where)

    def unlink(self, name: str) -> None:
        """Removes a file or link, if there is one."""
        path, where = self._named(name)
        with suppress(FileNotFoundError):
            os.unlink(path, **where)

    def replace(self, name: str, target: str) -> None:
        """Gives a file that `create` has made the name of another, which it replaces.

        By their paths, so that errors name them: under a folder that was replaced by a link, the file is not there.
        """
        os.replace(self._path / name, self._path / target)

    def folder(self, name: str, *, create: bool = False) -> OpenFolder:
        """A folder in this one, which must not be a link."""
        path, where = self._named(name)
        if create:
            with suppress(FileExistsError):
                os.mkdir(path, **where)
        descriptor = None if self._descriptor is None else os.open(name, _FOLDER | _NO_LINK, **where)
        return OpenFolder(self._path / name, descriptor)

    def _named(self, name: str) -> tuple[str | Path, dict[str, Any]]:
        if self._descriptor is None:
            return self._path / name, {}
        return name, {"dir_fd": self._descriptor}


def open_folder(root: Path, folder: Path, *, create: bool = False) -> OpenFolder:
    """The folder `folder`, which must lie in `root`; both are resolved here, and no later link is followed.

    Raises OutsideError if a link leads out of `root`, and OSError.
    """
    top, real = Path(os.path.realpath(root)), Path(os.path.realpath(folder))
    if not real.is_relative_to(top):
        raise OutsideError(None, "a link leads out of the project", str(folder))
    current = OpenFolder.at(top)
    for part in real.relative_to(top).parts:
        with current:
            current = current.folder(part, create=create)
    return current
