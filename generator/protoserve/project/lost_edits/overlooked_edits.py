"""Edits that Copier overlooks: bytes that are not UTF-8, and all edits of a file that git shows no diff of, ignores, or
treats as binary, for whichever side it is so."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from protoserve.platform.files import write_all
from protoserve.platform.git import git, git_line, git_paths
from protoserve.platform.reading import read_bytes
from protoserve.project.lost_edits.merge_files import (
    Version,
    committed_content,
    exists,
    mark_unmerged,
    merge,
    remove_rejects,
    with_line_ends,
)

_REGULAR_FILE = "100"  # the first digits of its mode; links have others
_NO_DRIVER = ("unset", "set", "unspecified")  # values of an attribute that names none


def candidates(project: Path, modes: Mapping[str, str]) -> list[str]:
    """The files that the update changed and whose edits Copier may not have seen; `modes` are those of HEAD."""
    changed = git_paths(project, "diff", "--name-only", "--relative", "-z", "HEAD")
    files = [name for name in changed if modes.get(name, "").startswith(_REGULAR_FILE) and exists(project, name)]
    if not files:
        return []
    listed = b"".join(os.fsencode(name) + b"\0" for name in files)
    # Copier works in repositories of its own, where the user's patterns hold, not the project's alone.
    ignored = set(git_paths(project, "check-ignore", "--no-index", "-z", "--stdin", stdin=listed, exit_codes=(0, 1)))
    drivers, filters = (_attribute(project, name, listed) for name in ("diff", "filter"))
    without_diff = {driver for driver in set(drivers.values()) if _shows_no_diff(project, driver)}
    hidden = ignored | {name for name, driver in drivers.items() if driver in without_diff}
    # Copier compares what a filter has made of the author's file with the template's own text.
    hidden |= {name for name, driver in filters.items() if driver not in _NO_DRIVER}
    return [name for name in files if name in hidden or not _is_text(committed_content(project, name))]


def any_binary_change(template: Path, commits: tuple[str, str]) -> bool:
    """Whether a file that git takes for binary differs between these commits of the template. Raises GitError."""
    changes = git(template, "diff", "--numstat", "--no-renames", "-z", *commits).split(b"\0")
    return any(change.startswith(b"-\t-\t") for change in changes)


def binary_files(old: Path, new: Path, modes: Mapping[str, str]) -> set[str]:
    """The files that have another content in `new` than in `old`, and that git takes for binary in one of them.

    Only regular files are meant that the project has committed; `modes` are those of HEAD.
    """
    names = {name for name, mode in modes.items() if mode.startswith(_REGULAR_FILE)}
    pairs = {name: (_content(old / name), _content(new / name)) for name in names}
    return {name for name, (before, after) in pairs.items() if before != after and b"\0" in before + after}


def restore(project: Path, old: Path, new: Path, names: Iterable[str], modes: Mapping[str, str]) -> Iterator[str]:
    """Merges these files again, by their bytes; yields a line for each that cannot be merged.

    `old` and `new` are folders with the template's files before and after the update.
    """
    for name in names:
        if not (new / name).is_file() or (new / name).is_symlink():
            continue  # not a file of the template
        mine = committed_content(project, name)
        base, theirs = (with_line_ends(project, name, _content(folder / name), mine) for folder in (old, new))
        if mine == base:
            continue
        merged = merge(project, mine, base, theirs)
        content, conflicts = merged or (mine, 1)
        write_all(project, {name: content})
        remove_rejects(project, name, modes)
        git(project, "reset", "--quiet", "--", name)  # Copier may have listed a conflict that does not exist
        if conflicts:
            mode = modes[name]
            mark_unmerged(project, name, {1: Version(mode, base), 2: Version(mode, mine), 3: Version(mode, theirs)})
        if merged is None:
            yield (
                f"{name}: both you and the template changed it, and git cannot merge it: it is as you had it; copy the "
                f"changes that `git diff :1:./{name} :3:./{name}` shows, then git add it"
            )


def _attribute(project: Path, attribute: str, listed: bytes) -> dict[str, str]:
    """The value of an attribute for each of these files, which end with NUL."""
    fields = git_paths(project, "check-attr", "-z", "--stdin", attribute, stdin=listed)
    return dict(zip(fields[::3], fields[2::3], strict=True))


def _shows_no_diff(project: Path, driver: str) -> bool:
    """Whether git treats files with this value of the attribute `diff` as binary."""
    if driver in _NO_DRIVER:
        return driver == "unset"
    return git_line(project, "config", "--type=bool", "--get", f"diff.{driver}.binary", exit_codes=(0, 1)) == "true"


def _content(path: Path) -> bytes:
    """Of a file, none of anything else."""
    return read_bytes(path) if path.is_file() else b""


def _is_text(content: bytes) -> bool:
    try:
        content.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in content
