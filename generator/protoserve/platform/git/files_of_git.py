"""The files that git itself reads in a repository: it would wait for a named pipe, and read a file of any size."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from protoserve.platform.git.errors import GitError
from protoserve.platform.git.repository_settings import Setting, of_the_repository
from protoserve.platform.printing import printable

_MAX_BYTES = 16 * 2**20
_SEARCHED = 20_000  # entries below a project; what lies beyond is left to the time limit of commands
_RULES = (".gitignore", ".gitattributes")
_IN_GIT = (
    *("HEAD", "commondir", "config", "config.worktree", "objects/info/alternates", "shallow"),
    *("info/attributes", "info/exclude", "info/grafts", "info/sparse-checkout"),
)
_LARGE_IN_GIT = ("index", "packed-refs")
_NAMED_BY_SETTINGS = ("core.attributesfile", "core.excludesfile")


def refuse_unreadable(folder: Path) -> None:
    """Raises GitError if one of git's own files in the repository around `folder`, or of its rules below it, is not a
    regular file, or too large."""
    for place in (folder, *folder.parents):
        if (place / ".git").is_dir():
            for name in (*_IN_GIT, *_LARGE_IN_GIT):
                _refuse(place / ".git" / name, any_size=name in _LARGE_IN_GIT)
            for path in _rules(folder):
                _refuse(path)
            for above in (folder, *folder.parents)[: len(folder.parts) - len(place.parts) + 1]:
                for name in _RULES:
                    _refuse(above / name)
            return


def refuse_unreadable_settings(settings: Sequence[Setting]) -> None:
    """Raises GitError if the repository's own settings name such a file."""
    for each in settings:
        if of_the_repository(each) and each.key in _NAMED_BY_SETTINGS:
            _refuse(Path(os.path.expanduser(each.value)))


def _refuse(path: Path, *, any_size: bool = False) -> None:
    try:
        status = path.stat()
    except (OSError, ValueError):
        return  # git reports it, or does without
    if stat.S_ISDIR(status.st_mode):
        return
    if not stat.S_ISREG(status.st_mode):
        what = "not a regular file"
    elif status.st_size > _MAX_BYTES and not any_size:
        what = f"larger than {_MAX_BYTES >> 20} MiB"
    else:
        return
    raise GitError(f"{printable(str(path))} is {what}, and git would read it: remove it")


def _rules(top: Path) -> Iterator[Path]:
    """The rules below a folder, as far as it is searched."""
    folders, seen = [top], 0
    while folders and seen < _SEARCHED:
        try:
            with os.scandir(folders.pop()) as entries:
                for entry in entries:
                    seen += 1
                    if entry.name in _RULES:
                        yield Path(entry.path)
                    elif entry.name != ".git" and entry.is_dir(follow_symlinks=False):
                        folders.append(Path(entry.path))
        except OSError:
            continue
