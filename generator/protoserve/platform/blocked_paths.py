"""What lies in a project in the way of a file that is to be written: a folder, a link, a named pipe.

Needs nothing but the standard library of Python 3.10, since Copier's interpreter imports it, too.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.printing import LISTED, printable


class Links(Enum):
    """Where a link may lead that stands in place of a folder."""

    NONE = "nowhere"  # git keeps no files behind a link, and Copier loses edits of those that the template has there
    INSIDE = "inside the project"


class BlockedPathError(ProtoserveError):
    """A file cannot be written because of what lies there."""


@dataclass(frozen=True)
class BlockedPath:
    """A path below the project, what it is, such as "a folder", and what it must be."""

    path: str
    is_: str
    must_be: str

    def describe(self, writer: str) -> str:
        """One line with the remedy; `writer` says who writes the file, such as "the template has"."""
        remedy = "put a folder in its place" if self.is_.startswith("a link") else "move it away"
        return f"{printable(self.path)} is {self.is_}, and {writer} {self.must_be} there: {remedy}"


def refuse_blocked(project: Path, files: Iterable[str], links: Links, writer: str, then: str = "") -> None:
    """Raises BlockedPathError if one of these files cannot be written; `then` says what to do after the remedy."""
    blocked = blocked_paths(project, files, links)
    if blocked:
        raise BlockedPathError(joined([f"{path.describe(writer)}{then}" for path in blocked]))


def refuse_outside(files: Iterable[str]) -> None:
    """Raises BlockedPathError for a name that leads out of the project, or into git's own folder."""
    for file in files:
        if not is_inside(file):
            where = ".copier-answers.yml and .protoserve/"
            raise BlockedPathError(
                f"{printable(file)} is not the path of a file in the project: restore {where} from git"
            )


def is_inside(file: str) -> bool:
    """Whether a name is that of a file below the project, and not in git's own folder."""
    path = PurePosixPath(file)
    not_inside = path.is_absolute() or not path.parts or "\0" in file
    return not not_inside and not {"..", ".git"} & {part.casefold() for part in path.parts}


def joined(lines: list[str]) -> str:
    """The text of an error with a line for each path, the first few of them."""
    more = [f"and {len(lines) - LISTED} more such paths"] if len(lines) > LISTED else []
    return "\nprotoserve: ".join([*lines[:LISTED], *more])


def blocked_paths(project: Path, files: Iterable[str], links: Links) -> list[BlockedPath]:
    """What is in the way of these files, by their paths below the project; each once, sorted. Raises OSError."""
    checked: dict[str, BlockedPath | None] = {}
    names = _Names()
    for file in files:
        for folder in _folders(file):
            if folder not in checked:
                checked[folder] = _blocked_folder(project, folder, links, names)
            if checked[folder] is not None:
                break
        else:
            checked[file] = _blocked_file(project, file, names)
    return sorted((path for path in checked.values() if path is not None), key=lambda blocked: blocked.path)


class _Names:
    """The names in folders, each read once."""

    def __init__(self) -> None:
        self._by_folder: dict[Path, dict[str, str]] = {}

    def other_case(self, path: Path) -> str | None:
        """The name under which a file system that ignores case has an existing path, if that is another one."""
        if path.parent not in self._by_folder:
            self._by_folder[path.parent] = {name: name for name in os.listdir(path.parent)}
            for name in list(self._by_folder[path.parent]):
                self._by_folder[path.parent].setdefault(name.casefold(), name)
        names = self._by_folder[path.parent]
        name = names.get(path.name) or names.get(path.name.casefold(), path.name)
        return name if name != path.name else None


def _folders(file: str) -> Iterator[str]:
    """The folders above a file, the outermost first."""
    return (str(folder) for folder in reversed(PurePosixPath(file).parents) if folder.name)


def _blocked_folder(project: Path, folder: str, links: Links, names: _Names) -> BlockedPath | None:
    path = project / folder
    mode = _mode(path)
    if mode is None:
        return None
    if stat.S_ISLNK(mode):
        if links is Links.INSIDE and path.is_dir() and path.resolve().is_relative_to(project.resolve()):
            return None
        return BlockedPath(folder, f"a link to {printable(os.readlink(path))}", "a folder")
    if not stat.S_ISDIR(mode):
        return BlockedPath(folder, _kind(path, mode), "a folder")
    return _blocked_by_case(folder, names.other_case(path), "a folder")


def _blocked_file(project: Path, file: str, names: _Names) -> BlockedPath | None:
    path = project / file
    mode = _mode(path)
    if mode is None or stat.S_ISLNK(mode):  # a link is replaced by the file
        return None
    if not stat.S_ISREG(mode):
        return BlockedPath(file, _kind(path, mode), "a file")
    return _blocked_by_case(file, names.other_case(path), "a file")


def _blocked_by_case(name: str, other: str | None, must_be: str) -> BlockedPath | None:
    if other is None:
        return None
    return BlockedPath(str(PurePosixPath(name).with_name(other)), f"the same path as {name} on this disk", must_be)


def _mode(path: Path) -> int | None:
    """The mode of a file, folder or link; None if nothing is there."""
    try:
        return path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return None


def _kind(path: Path, mode: int) -> str:
    if stat.S_ISDIR(mode):
        return "a git repository of its own" if (path / ".git").exists() else "a folder"
    kinds = {stat.S_IFREG: "a file", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
