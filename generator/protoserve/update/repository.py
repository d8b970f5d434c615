"""The git repository that a project lies in, which may be larger than the project."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# What git sets for the hooks it runs: it would make our commands work on another repository.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")


class RepositoryError(Exception):
    """Git cannot do what is needed; the message is one line that says why."""


@dataclass(frozen=True, slots=True)
class Repository:
    """Where a project lies in git: `prefix` is its folder below the top, empty or ending in a slash.

    `objects` and `index` are paths of git's own; `tree` is the hash of what the project has committed.
    """

    project: Path
    prefix: str
    objects: Path
    index: Path
    object_format: str
    tree: str


def forget_hook() -> None:
    """Takes out of the environment what a git hook that calls us has set."""
    for name in _OF_A_HOOK:
        os.environ.pop(name, None)


def git(folder: Path, *arguments: str, given: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    """Standard output of a git command in `folder`. Raises RepositoryError."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            input=given,
            env={**os.environ, **(env or {})},
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise RepositoryError("git is not installed") from None
    if done.returncode != 0:
        raise RepositoryError(why(done.stderr.decode(errors="replace")))
    return done.stdout


def why(stderr: str) -> str:
    """The line of git's complaints that names the cause: what ssh says comes first, git's warnings too."""
    lines = [line.strip() for line in stderr.splitlines()]
    causes = [line for line in lines if line and not line.startswith(("warning:", "hint:", "Cloning into"))]
    return causes[0].removeprefix("fatal: ").removeprefix("error: ") if causes else "git failed"


def find(project: Path) -> Repository:
    """The repository of a project with a commit. Raises RepositoryError."""
    project = project.resolve()
    asked = ("--show-toplevel", "--show-prefix", "--show-object-format", "--git-path", "objects", "--git-path", "index")
    try:
        top, prefix, form, objects, index = git(project, "rev-parse", *asked).decode().splitlines()
    except (RepositoryError, ValueError) as error:
        reason = "" if "not a git repository" in str(error) or isinstance(error, ValueError) else f" ({error})"
        raise RepositoryError(
            f"{project} is in no git repository{reason}: an update merges with what git has (`git init`, commit)"
        ) from None
    try:
        tree = git(project, "rev-parse", "--verify", "--quiet", f"HEAD:{prefix.rstrip('/')}").decode().strip()
    except RepositoryError:
        raise RepositoryError(f"nothing of {project} is committed in {top}: commit it first") from None
    return Repository(project, prefix, project / objects, project / index, form, tree)


def uncommitted(repository: Repository) -> list[str]:
    """The paths in the project that git would not get back: changed, staged, unmerged or untracked, but not ignored."""
    return [name for _, name in status(repository.project, "--untracked-files=all", "--", ".")]


def status(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    """The two letters of `git status` and the path, from the repository's top, of each file that is not as in HEAD."""
    said = git(folder, "status", "--porcelain=v1", "-z", "--no-renames", *options)
    for entry in filter(None, said.split(b"\0")):
        yield entry[:2].decode(), os.fsdecode(entry[3:])
