"""A project's files as its last commit has them, and three-way merges of them, whatever their bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from protoserve.platform.git import git, git_line, git_paths, run

ANSWERS = ".copier-answers.yml"
LABELS = ("before updating", "last update", "after updating")  # as Copier writes them
# The exit code of `git merge-file` is the number of conflicts, or 255 if a file is binary.
_CONFLICTS = range(128)
_BINARY = 255


def committed_modes(project: Path) -> dict[str, str]:
    """The mode in HEAD of each file, by its path below the project."""
    modes = {}
    for entry in git_paths(project, "ls-tree", "-r", "-z", "HEAD"):
        attributes, _, name = entry.partition("\t")
        mode, kind, _ = attributes.split()
        if kind == "blob":
            modes[name] = mode
    return modes


def exists(project: Path, name: str) -> bool:
    """Whether the work tree has a file, folder or link of this path."""
    return os.path.lexists(project / name)


def committed_content(project: Path, name: str) -> bytes:
    """A file of HEAD, with the line ends that git gives the files of this work tree."""
    return git(project, "cat-file", "--filters", f"HEAD:./{name}")


def remove_rejects(project: Path, name: str, modes: Mapping[str, str]) -> None:
    """Removes the edits of a file that Copier rejected, since they are merged now; `modes` are those of HEAD."""
    rejects = f"{name}.rej"  # with `copier update --conflict rej`
    if rejects not in modes:
        (project / rejects).unlink(missing_ok=True)


def merge(project: Path, mine: bytes, base: bytes, theirs: bytes) -> tuple[bytes, int] | None:
    """The three-way merge and its number of conflicts, which stand between markers; None for binary files.

    What only one side changed, or both in the same way, needs no merge, whatever its bytes.
    """
    if theirs in (base, mine):
        return mine, 0
    if mine == base:
        return theirs, 0
    with tempfile.TemporaryDirectory(prefix="protoserve-merge-") as temporary:
        files = [Path(temporary) / name for name in ("mine", "base", "theirs")]
        for path, content in zip(files, (mine, base, theirs), strict=True):
            path.write_bytes(content)
        labels = [part for label in LABELS for part in ("-L", label)]
        arguments = ("merge-file", "-p", *labels, *map(str, files))
        done = run(project, *arguments, exit_codes=(*_CONFLICTS, _BINARY))
    return None if done.returncode == _BINARY else (done.stdout, done.returncode)


def mark_unmerged(project: Path, name: str, mode: str, versions: Sequence[bytes]) -> None:
    """Lists a file as unmerged in git's index; `versions` are its base, the author's and the template's content."""
    path = git_line(project, "rev-parse", "--show-prefix") + name
    blobs = [git_line(project, "hash-object", "-w", "--stdin", f"--path={name}", stdin=version) for version in versions]
    removal = f"0 {'0' * len(blobs[0])}\t{path}"
    stages = [f"{mode} {blob} {stage}\t{path}" for stage, blob in enumerate(blobs, 1)]
    git(project, "update-index", "--index-info", stdin=os.fsencode("\n".join([removal, *stages]) + "\n"))
