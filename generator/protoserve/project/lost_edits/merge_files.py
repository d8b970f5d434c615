"""A project's files as its last commit has them, and three-way merges of them, whatever their bytes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from protoserve.platform.files import write_all
from protoserve.platform.git import git, git_line, git_paths, run
from protoserve.platform.reading import files_below as paths_below
from protoserve.platform.reading import read_bytes
from protoserve.project.file_modes import EXECUTABLE, LINK, mode_on_disk

ANSWERS = ".copier-answers.yml"
LABELS = ("before updating", "last update", "after updating")  # as Copier writes them
# The exit code of `git merge-file` is the number of conflicts, or 255 if a file is binary.
_CONFLICTS = range(128)
_BINARY = 255


@dataclass(frozen=True)
class Version:
    """What one side has at a path: its mode, as git writes it, and the content of a file or where a link leads."""

    mode: str
    content: bytes


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
    """A file of HEAD as git checks it out here: with its line ends, and through filters.

    A large file may stay the pointer that it is in git.
    """
    return git(project, "cat-file", "--filters", f"HEAD:./{name}", env={"GIT_LFS_SKIP_SMUDGE": "1"})


def with_line_ends(project: Path, name: str, content: bytes, mine: bytes) -> bytes:
    """The template's content of a file, with the line ends that git gives the author's, `mine`, in the work tree.

    Line ends that the author has committed are an edit.
    """
    if b"\r\n" in content or b"\r\n" not in mine:
        return content
    committed = b"\r\n" in git(project, "cat-file", "blob", f"HEAD:./{name}")
    return content if committed else content.replace(b"\n", b"\r\n")


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


def committed_version(project: Path, name: str, mode: str) -> Version:
    """What HEAD has at this path."""
    if mode == LINK:
        return Version(mode, git(project, "cat-file", "blob", f"HEAD:./{name}"))
    return Version(mode, committed_content(project, name))


def version_on_disk(path: Path) -> Version | None:
    """What is at the path; None for nothing and for a folder."""
    mode = mode_on_disk(path)
    if not mode:
        return None
    return Version(mode, os.fsencode(os.readlink(path)) if mode == LINK else read_bytes(path))


def write_version(project: Path, name: str, version: Version) -> None:
    """Replaces what the project has at a path."""
    with tempfile.TemporaryDirectory(prefix="protoserve-merge-") as temporary:
        path = Path(temporary) / "version"
        if version.mode == LINK:
            path.symlink_to(os.fsdecode(version.content))
        else:
            path.write_bytes(version.content)
            path.chmod(0o755 if version.mode == EXECUTABLE else 0o644)
        write_all(project, {name: path})


def files_below(folder: Path) -> list[str]:
    """The paths of all files and links below a folder, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in paths_below(folder) if mode_on_disk(path))


def mark_unmerged(project: Path, name: str, versions: Mapping[int, Version | None]) -> None:
    """Lists a file as unmerged in git's index, with the version of each stage: 1 is the base, 2 ours, 3 theirs."""
    path = git_line(project, "rev-parse", "--show-prefix") + name
    lines = []
    for stage, version in versions.items():
        if version is None:
            continue
        conversion = "--no-filters" if version.mode == LINK else f"--path={name}"
        blob = git_line(project, "hash-object", "-w", "--stdin", conversion, stdin=version.content)
        lines.append(f"{version.mode} {blob} {stage}\t{path}\0")
    removal = f"0 {'0' * len(lines[0].split()[1])}\t{path}\0"
    git(project, "update-index", "-z", "--index-info", stdin=os.fsencode("".join([removal, *lines])))
