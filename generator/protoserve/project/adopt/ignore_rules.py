"""Rules for .gitignore with which git does not ignore the template's files, whatever the author's rules are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from protoserve.platform.git import git_paths

# What the template itself ignores.
_LOCAL = (".protoserve/last/", "artifacts/")


def ignored(project: Path, names: Iterable[str]) -> list[str]:
    """Those of these paths that git ignores, except what the template ignores on purpose. Raises GitError."""
    asked = "\0".join(name for name in names if not name.startswith(_LOCAL))
    command = ("check-ignore", "--no-index", "-z", "--stdin")
    return sorted(git_paths(project, *command, stdin=asked.encode(), exit_codes=(0, 1)))


def exceptions(project: Path, names: Sequence[str]) -> bytes:
    """Lines for the end of .gitignore after which git sees these files, and no others that it ignored before."""
    files = ignored(project, names)
    folders = {f"{parent}/" for name in files for parent in PurePosixPath(name).parents if parent.name}
    lines = dict.fromkeys(_lines(files, set(ignored(project, folders))))
    if not lines:
        return b""
    return "\n".join(["# The template's files are committed.", *lines, ""]).encode()


def _lines(files: Iterable[str], ignored_folders: set[str]) -> Iterator[str]:
    for name in files:
        parents = [parent for parent in reversed(PurePosixPath(name).parents) if parent.name]
        for parent in parents:
            if (
                f"{parent}/" in ignored_folders
            ):  # git looks into no ignored folder, so it is seen, and what is in it is not
                yield f"!/{parent}/"
                yield f"/{parent}/*"
        yield f"!/{name}"
