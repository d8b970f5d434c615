"""What git knows of a project's files. Reads only, and never of another repository than the one around the project."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# What git sets for the hooks it runs: it would make our commands work on another repository.
_OF_A_HOOK = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX"}


class EvolveError(Exception):
    """Why contracts cannot be compared, in one line with what to do."""


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository around a project; `prefix` is the project's folder in it, "" for the root."""

    project: Path
    prefix: str

    @property
    def root(self) -> Path:
        """The folder of the repository's files."""
        return self.project.resolve().joinpath(*[".."] * len(PurePosixPath(self.prefix).parts)).resolve()

    def commit(self, revision: str) -> str | None:
        """The full hash of a revision, None where there is none of that name."""
        if revision.startswith("-"):
            return None
        done = _git(self.project, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        return done.stdout.strip() if done.returncode == 0 else None

    def files(self, commit: str, folder: str) -> list[str]:
        """The paths of all files of a commit below a folder ("" is the root), from the repository's root."""
        done = _git(self.project, "ls-tree", "-r", "-z", "--name-only", "--full-tree", commit, "--", folder or ".")
        if done.returncode != 0:
            raise EvolveError(f"git cannot list {commit[:12]}: {_cause(done)}")
        return [name for name in done.stdout.split("\0") if name]

    def listed(self) -> list[str]:
        """The paths of the project's files, from its folder: those that git has, and those that it does not ignore."""
        done = _git(self.project, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")
        return [name for name in done.stdout.split("\0") if name]

    def read(self, commit: str, path: str) -> str | None:
        """The text of a file of a commit, None where it is not there; raises EvolveError for one that is no UTF-8."""
        done = subprocess.run(
            ["git", "-C", str(self.project), "cat-file", "blob", f"{commit}:{path}"],
            env=_environment(),
            capture_output=True,
            check=False,
        )
        if done.returncode != 0:
            return None
        try:
            return done.stdout.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise EvolveError(f"{path} of {commit[:12]} is no UTF-8") from None

    def inside(self, name: str) -> str:
        """A path of the project as a path of the repository."""
        return (PurePosixPath(self.prefix) / name).as_posix()

    def ancestors(self, commit: str, count: int) -> list[str]:
        """The commit and its ancestors, always by the first parent, at most `count`."""
        done = _git(self.project, "rev-list", "--first-parent", f"--max-count={count}", commit)
        return done.stdout.split()

    def changed(self, names: Sequence[str]) -> list[str]:
        """Those of the project's files that differ from the last commit, or are in none; raises EvolveError."""
        done = _git(self.project, "status", "--porcelain", "-z", "--untracked-files=all", "--", *names)
        if done.returncode != 0:
            raise EvolveError(f"git cannot compare files with the last commit: {_cause(done)}")
        told = {line[3:] for line in done.stdout.split("\0")}
        return [name for name in names if self.inside(name) in told]

    @property
    def shallow(self) -> bool:
        return _git(self.project, "rev-parse", "--is-shallow-repository").stdout.strip() == "true"


def around(project: Path) -> Repository | None:
    """The repository that the project lies in, None where it lies in none.

    Raises EvolveError where git cannot say: it is not installed, or distrusts the folder's owner.
    """
    found = any((folder / ".git").exists() for folder in (project.resolve(), *project.resolve().parents))
    try:
        done = _git(project, "rev-parse", "--show-prefix")
    except FileNotFoundError:
        if found:
            raise EvolveError("git is not installed, and it knows the committed contract") from None
        return None
    if done.returncode == 0:
        return Repository(project, done.stdout.strip().rstrip("/"))
    if found:
        raise EvolveError(f"git cannot read the repository: {_cause(done)}")
    return None


def _git(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK} | {"LC_ALL": "C"}


def _cause(done: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return lines[0].removeprefix("fatal: ") if lines else "it failed"
