"""Edits of tracked files that git does not show, so that a clean `git status` does not mean that nothing can be lost.

The index may say that git need not look at a file (skip-worktree, assume-unchanged), or that it still has its size and
times; a program that watches files may not report it. So files are compared with HEAD by their content, through git's
own conversions and without the project's index. This works in Python 3.10: an update ends in Copier's interpreter.
"""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import (
    GitError,
    Repository,
    filters_of_the_repository,
    find_repository,
    git,
    git_line,
    git_paths,
    run,
)
from protoserve.platform.printing import LISTED, listed
from protoserve.platform.reading import read_bytes

SKIP_WORKTREE = "skip-worktree"
ASSUME_UNCHANGED = "assume-unchanged"
_REGULAR_FILE = "100"  # the first digits of its mode; links have others
_SUBMODULE = "160000"
_SPARSE = ("config", "--type=bool", "--get", "core.sparseCheckout")
# A split index would keep a part of itself in the project's repository.
_OWN_INDEX = ("-c", "core.splitIndex=false")


class HiddenEditError(ProtoserveError):
    """An update would go without edits that are not in git."""


@dataclass(frozen=True)
class HiddenEdit:
    """A tracked file, by its path below the project, that is not on disk as it is in HEAD.

    `flags` are those of the index because of which git does not look at it.
    """

    path: str
    flags: tuple[str, ...]


def refuse_hidden_edits(repository: Repository, names: Collection[str] | None = None) -> None:
    """Raises HiddenEditError if any of these files below the project, or of all tracked ones, differs from HEAD."""
    edits = hidden_edits(repository, names)
    if edits:
        raise HiddenEditError(
            f"git does not show your edits of {listed([edit.path for edit in edits])}, so the update would go without "
            f"them: run `{_remedy(edits[:LISTED])}` in {repository.project}, then commit or stash them"
        )


def refuse_hiding_flags(repository: Repository) -> None:
    """Raises HiddenEditError if a file is skip-worktree, though the checkout is not sparse.

    Copier takes such files back from git before it merges conflicts, which git refuses.
    """
    if git_line(repository.project, *_SPARSE, exit_codes=(0, 1)) == "true":
        return
    names = [name for name, flags in hiding_flags(repository).items() if SKIP_WORKTREE in flags]
    if names:
        command = _remedy([HiddenEdit(name, (SKIP_WORKTREE,)) for name in names[:LISTED]])
        raise HiddenEditError(
            f"git is set to skip {listed(names)} (skip-worktree), and Copier fails half-way if such a file has "
            f"conflicts: use `protoserve update`, or run `{command}` in {repository.project}"
        )


def refuse_untracked(repository: Repository, names: Collection[str]) -> None:
    """Raises HiddenEditError if one of these files of the template exists in the project, but not in git.

    Copier overwrites or removes it, and no commit has what it held.
    """
    tracked = set(repository.tracked())
    lost = sorted(name for name in names if name not in tracked and os.path.lexists(repository.project / name))
    if lost:
        raise HiddenEditError(
            f"{listed(lost)}: the template has a file there, and Copier would replace yours, which git ignores: use "
            "`protoserve update`, or move it away"
        )


def without_filter(repository: Repository, names: Collection[str]) -> set[str]:
    """Those of these files that git gives no filter: of others only the filter can say what an edit is."""
    listed = b"".join(os.fsencode(name) + b"\0" for name in names)
    fields = git_paths(repository.project, "check-attr", "-z", "--stdin", "filter", stdin=listed)
    return {name for name, value in zip(fields[::3], fields[2::3], strict=True) if value in ("unspecified", "unset")}


def hidden_edits(repository: Repository, names: Collection[str] | None = None) -> list[HiddenEdit]:
    """Those of these files below the project, or of all tracked ones, that differ from HEAD on disk.

    It is for a project whose `git status` is clean, since edits that git shows are in the result, too. A file that a
    sparse checkout leaves out is not an edit. Raises GitError.
    """
    project, flags = repository.project, hiding_flags(repository)
    with filters_of_the_repository():
        differing = list(_differing(project, _committed(project, names)))
    edits = [HiddenEdit(name, flags.get(name, ())) for name in differing]
    return [edit for edit in edits if os.path.lexists(project / edit.path) or SKIP_WORKTREE not in edit.flags]


def _remedy(edits: Sequence[HiddenEdit]) -> str:
    """The command after which git shows these edits."""
    commands = []
    for flag in (SKIP_WORKTREE, ASSUME_UNCHANGED):
        if names := [edit.path for edit in edits if flag in edit.flags]:
            commands.append(f"git update-index --no-{flag} {shlex.join(names)}")
    if names := [edit.path for edit in edits if not edit.flags]:
        commands.append(f"git rm --cached --quiet {shlex.join(names)} && git add {shlex.join(names)}")
    return " && ".join(commands)


def hiding_flags(repository: Repository) -> dict[str, tuple[str, ...]]:
    """The flags of the index because of which git does not look at tracked files of the project, by path.

    In a sparse checkout, git itself drops the flag of a file that is on disk nevertheless. Raises GitError.
    """
    flags = {}
    for entry in git_paths(repository.project, "ls-files", "-v", "-z"):
        letter, name = entry[0], entry[2:]
        present = {SKIP_WORKTREE: letter in "Ss", ASSUME_UNCHANGED: letter.islower()}
        if any(present.values()):
            flags[name] = tuple(flag for flag, is_set in present.items() if is_set)
    return flags


def show_changes(repository: Repository, names: Collection[str]) -> None:
    """Removes these flags from files below the project, so that git shows how they change. Raises GitError."""
    flags = hiding_flags(repository)
    for flag in (SKIP_WORKTREE, ASSUME_UNCHANGED):
        listed = b"".join(os.fsencode(name) + b"\0" for name in names if flag in flags.get(name, ()))
        if listed:
            git(repository.project, "update-index", f"--no-{flag}", "-z", "--stdin", stdin=listed)


def show_all_changes(project: Path) -> None:
    """Removes the flags from all files of the project that differ from HEAD on disk. Raises GitError."""
    repository = find_repository(project)
    if repository is not None and (flags := hiding_flags(repository)):
        show_changes(repository, [edit.path for edit in hidden_edits(repository, set(flags))])


def _committed(project: Path, names: Collection[str] | None) -> dict[str, str]:
    """The lines of `git update-index --index-info` for these files of HEAD, by their path below the project."""
    prefix = git_line(project, "rev-parse", "--show-prefix")
    entries = {}
    for line in git_paths(project, "ls-tree", "-r", "-z", "HEAD"):
        attributes, _, name = line.partition("\t")
        if not attributes.startswith(_SUBMODULE) and (names is None or name in names):
            entries[name] = f"{attributes}\t{prefix}{name}"
    return entries


def _differing(project: Path, committed: Mapping[str, str]) -> Iterator[str]:
    """The files that are not on disk as they are in HEAD, after git's conversions."""
    with tempfile.TemporaryDirectory(prefix="protoserve-compare-") as temporary:
        own = {"GIT_INDEX_FILE": str(Path(temporary) / "index")}
        entries = b"".join(os.fsencode(line) + b"\0" for line in committed.values())
        git(project, *_OWN_INDEX, "update-index", "-z", "--index-info", stdin=entries, env=own)
        # Without this, git lists all files, since it has not read any of them.
        run(project, *_OWN_INDEX, "update-index", "-q", "--refresh", exit_codes=(0, 1), env=own)
        fields = git(project, "diff-files", "--raw", "--relative", "--no-renames", "-z", env=own).split(b"\0")
    for attributes, path in zip(fields[0::2], fields[1::2], strict=False):
        name = os.fsdecode(path)
        before, after = (mode.decode() for mode in attributes.lstrip(b":").split()[:2])
        if before != after or not _is_as_checked_out(project, name, before):
            yield name


def _is_as_checked_out(project: Path, name: str, mode: str) -> bool:
    """Whether a file is what git makes of the committed one: not every conversion leads back to where it came from."""
    if not mode.startswith(_REGULAR_FILE):
        return False
    try:
        # A large file may still be the pointer that it is in git.
        content = git(project, "cat-file", "--filters", f"HEAD:./{name}", env={"GIT_LFS_SKIP_SMUDGE": "1"})
        return content == read_bytes(project / name, project, most=max(len(content), 1))
    except (GitError, OSError):
        return False
