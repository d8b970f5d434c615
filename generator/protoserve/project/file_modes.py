"""Which files are executable: on disk, or in git's index where the file system of a project does not hold modes.

Such a project has `core.fileMode=false`. Then a mode is an edit that only the index has. This works in Python 3.10: an
update ends in Copier's interpreter.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path

from protoserve.platform.git import git, git_line, git_paths

REGULAR, EXECUTABLE, LINK = "100644", "100755", "120000"
_OURS = ("0", "2")  # stages of the index: of a merged file, and of the author's side of an unmerged one


def on_disk(folder: Path) -> bool:
    """Whether git takes the modes of this repository's files from disk. Raises GitError."""
    return git_line(folder, "config", "--type=bool", "--get", "core.fileMode", exit_codes=(0, 1)) != "false"


def links_on_disk(folder: Path) -> bool:
    """Whether symbolic links of this repository are links on disk, not files with their target. Raises GitError."""
    return git_line(folder, "config", "--type=bool", "--get", "core.symlinks", exit_codes=(0, 1)) != "false"


def mode_on_disk(path: Path) -> str:
    """The mode that git would give to what is at the path, "" for nothing and for a folder."""
    if path.is_symlink():
        return LINK
    if not path.is_file():
        return ""
    return EXECUTABLE if path.stat().st_mode & 0o100 else REGULAR


def current_modes(folder: Path, names: Collection[str]) -> dict[str, str]:
    """The modes of these files, as git would commit them; files that are not there are left out. Raises GitError."""
    modes = {name: mode for name in names if (mode := mode_on_disk(folder / name))}
    if on_disk(folder):
        return modes
    in_index = {name: mode for name, (mode, _, _) in _entries(folder).items() if mode != LINK}
    return {name: mode if mode == LINK else in_index.get(name, REGULAR) for name, mode in modes.items()}


def set_modes(folder: Path, wanted: Mapping[str, str]) -> None:
    """Makes these regular files executable or not, where git looks for it, and on disk if that is possible.

    In the index, the content stays: a new file is listed there without its content. Raises GitError.
    """
    for name, mode in wanted.items():
        with suppress(OSError):  # a file system without modes
            _chmod(folder / name, mode)
    if wanted and not on_disk(folder):
        _set_in_index(folder, wanted)


def _set_in_index(folder: Path, wanted: Mapping[str, str]) -> None:
    prefix, entries = git_line(folder, "rev-parse", "--show-prefix"), _entries(folder)
    lines = [
        f"{mode} {entries[name][1]} {entries[name][2]}\t{prefix}{name}"
        for name, mode in wanted.items()
        if name in entries and entries[name][0] != mode
    ]
    if lines:
        git(folder, "update-index", "-z", "--index-info", stdin=_joined(lines))
    new = [name for name, mode in wanted.items() if name not in entries and mode == EXECUTABLE]
    if new:
        ignored = set(git_paths(folder, "check-ignore", "-z", "--stdin", stdin=_joined(new), exit_codes=(0, 1)))
        paths = [f"./{name}" for name in new if name not in ignored]
        if paths:
            git(
                folder,
                "add",
                "--intent-to-add",
                "--sparse",
                "--chmod=+x",
                "--",
                *paths,
                env={"GIT_LITERAL_PATHSPECS": "1"},
            )


def _entries(folder: Path) -> dict[str, tuple[str, str, str]]:
    """The mode, the blob and the stage of each file in the index, by its path below `folder`."""
    entries = {}
    for line in git_paths(folder, "ls-files", "--stage", "-z"):
        attributes, _, name = line.partition("\t")
        mode, blob, stage = attributes.split()
        if stage in _OURS:
            entries[name] = mode, blob, stage
    return entries


def _chmod(path: Path, mode: str) -> None:
    before = path.stat().st_mode
    readable = before & 0o444
    path.chmod(before | readable >> 2 if mode == EXECUTABLE else before & ~0o111)


def _joined(lines: Collection[str]) -> bytes:
    return b"".join(os.fsencode(line) + b"\0" for line in lines)
