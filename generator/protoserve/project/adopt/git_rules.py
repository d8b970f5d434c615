"""The author's rules for git where they meet the template's files: .gitignore and .gitattributes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from protoserve.platform.git import git_paths, repository_with_commits

# What the template itself ignores.
_LOCAL = (".protoserve/last/", "artifacts/")


def ignored(project: Path, names: Iterable[str]) -> list[str]:
    """Those of these paths that git ignores, except what the template ignores on purpose. Raises GitError."""
    return sorted(_check(project, "check-ignore", "--no-index", names=names))


def exceptions(project: Path, names: Sequence[str]) -> bytes:
    """Lines for the end of .gitignore after which git sees these files, and no others that it ignored before."""
    files = ignored(project, names)
    folders = {f"{parent}/" for name in files for parent in PurePosixPath(name).parents if parent.name}
    lines = dict.fromkeys(_exception_lines(files, set(ignored(project, folders))))
    if not lines:
        return b""
    return "\n".join(["# The template's files are committed.", *lines, ""]).encode()


def obstacles(project: Path, names: Sequence[str]) -> Iterator[str]:
    """The rules with which git could not keep these files as they are, and what to do. Raises GitError."""
    fields = _check(project, "check-ignore", "--no-index", "--verbose", names=names)
    prefix = repository_with_commits(project).path_from_root("")
    below = {source.removeprefix(f"{prefix}/") for source in fields[::4] if prefix == "." or source.startswith(prefix)}
    for source in sorted(source for source in below if source.endswith("/.gitignore")):
        yield f"{source} ignores files of the template, and they must be committed: change its rules and commit"
    fields = _check(project, "check-attr", "eol", names=names)
    changed = [name for name, value in zip(fields[::3], fields[2::3], strict=True) if value == "crlf"]
    if changed:
        yield (
            f".gitattributes gives CRLF to files of the template ({changed[0]}, ...), which are compared byte by byte: "
            "limit eol=crlf to your own files and commit"
        )


def _check(project: Path, *command: str, names: Iterable[str]) -> list[str]:
    """The fields that a git command prints of these paths, except of what the template ignores on purpose."""
    asked = "\0".join(name for name in names if not name.startswith(_LOCAL))
    return git_paths(project, *command, "-z", "--stdin", stdin=asked.encode(), exit_codes=(0, 1))


def _exception_lines(files: Iterable[str], ignored_folders: set[str]) -> Iterator[str]:
    for name in files:
        parents = [parent for parent in reversed(PurePosixPath(name).parents) if parent.name]
        for parent in parents:
            if f"{parent}/" in ignored_folders:  # git does not look into it, so first all in it is taken in, then out
                yield f"!/{parent}/"
                yield f"/{parent}/*"
        yield f"!/{name}"
