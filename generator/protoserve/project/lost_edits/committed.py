"""A project's files as it has them committed, and merges of them, whatever their bytes are."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

ANSWERS = ".copier-answers.yml"
LABELS = ("before updating", "last update", "after updating")  # as Copier writes them
_FAILED = 128  # exit codes of `git merge-file` below it are numbers of conflicts


class CarryError(Exception):
    """The edits cannot be carried over; the message says why."""


def committed(project: Path) -> dict[str, str]:
    """The files of the project in HEAD, by their paths from the project's folder: their modes."""
    found = {}
    for entry in git(project, "ls-tree", "-r", "-z", "HEAD").decode(errors="surrogateescape").split("\0"):
        about, tab, name = entry.partition("\t")
        if tab and about.split()[1] == "blob":
            found[name] = about.split()[0]
    return found


def there(project: Path, name: str) -> bool:
    return os.path.lexists(project / name)


def content(project: Path, name: str) -> bytes:
    """A file as the project has it committed, with the line ends that git gives the files of this work tree."""
    return git(project, "cat-file", "--filters", f"HEAD:./{name}")


def git(folder: Path, *arguments: str, given: bytes = b"", fails: int = 0) -> bytes:
    """What a git command prints; `fails` is an exit code that is none of a failure. Raises CarryError."""
    done = subprocess.run(["git", *arguments], cwd=folder, input=given, capture_output=True, check=False)
    if done.returncode not in (0, fails):
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"git {arguments[0]} failed"]
        raise CarryError(lines[0].removeprefix("fatal: "))
    return done.stdout


def merged(project: Path, mine: bytes, base: bytes, theirs: bytes) -> tuple[bytes, int] | None:
    """The three-way merge with its number of conflicts, which stand in it between markers; None of what is no text."""
    with tempfile.TemporaryDirectory(prefix="protoserve-merge-") as temporary:
        files = [Path(temporary) / name for name in ("mine", "base", "theirs")]
        for path, data in zip(files, (mine, base, theirs), strict=True):
            path.write_bytes(data)
        labels = [part for label in LABELS for part in ("-L", label)]
        command = ["git", "merge-file", "-p", *labels, *map(str, files)]
        done = subprocess.run(command, cwd=project, capture_output=True, check=False)
    return (done.stdout, done.returncode) if 0 <= done.returncode < _FAILED else None


def unmerge(project: Path, name: str, mode: str, versions: Sequence[bytes]) -> None:
    """Lists a path as unmerged in git's index, with its base, the author's and the template's version."""
    path = git(project, "rev-parse", "--show-prefix").decode().strip() + name
    store = ("hash-object", "-w", "--stdin", f"--path={name}")
    blobs = [git(project, *store, given=version).decode().strip() for version in versions]
    lines = [f"0 {'0' * len(blobs[0])}\t{path}", *(f"{mode} {blob} {n}\t{path}" for n, blob in enumerate(blobs, 1))]
    git(project, "update-index", "--index-info", given=os.fsencode("\n".join(lines) + "\n"))
