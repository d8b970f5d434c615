"""Git: its commands, and the repository around a project, which may be larger than the project."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

# What git sets for the hooks it runs: it would make our commands work on another repository.
_OF_A_HOOK = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")

_NOT_INSTALLED = "git is not installed"


class GitError(Exception):
    """Git cannot do what is needed; the message is one line that says why."""


def forget_hook() -> None:
    """Takes out of the environment what a git hook that calls us has set, for what others run."""
    for name in _OF_A_HOOK:
        os.environ.pop(name, None)


def git(folder: Path, *arguments: str, given: bytes = b"", env: dict[str, str] | None = None) -> bytes:
    """Standard output of a git command in `folder`. Raises GitError."""
    inherited = {name: value for name, value in os.environ.items() if name not in _OF_A_HOOK}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            input=given,
            env={**inherited, "LC_ALL": "C", **(env or {})},
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        raise GitError(_NOT_INSTALLED) from None
    if done.returncode != 0:
        raise GitError(why(done.stderr.decode(errors="replace")))
    return done.stdout


def why(stderr: str) -> str:
    """The line of git's complaints that names the cause: what ssh says comes first, git's warnings too."""
    lines = [line.strip() for line in stderr.splitlines()]
    causes = [line for line in lines if line and not line.startswith(("warning:", "hint:", "Cloning into"))]
    return causes[0].removeprefix("fatal: ").removeprefix("error: ") if causes else "git failed"


def status(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    """The two letters of `git status` and the path, from the repository's top, of each file that is not as in HEAD."""
    said = git(folder, "status", "--porcelain=v1", "-z", "--no-renames", *options)
    for entry in filter(None, said.split(b"\0")):
        yield entry[:2].decode(), os.fsdecode(entry[3:])


def names(listed: bytes) -> list[str]:
    """The paths of what git lists with -z."""
    return [os.fsdecode(name) for name in listed.split(b"\0") if name]


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository around a project; `prefix` is the project's folder in it, "" for the top.

    Where nothing else is said, its methods raise GitError where git fails.
    """

    project: Path
    prefix: str

    @property
    def root(self) -> Path:
        """The folder of the repository's files."""
        return self.project.joinpath(*[".."] * len(PurePosixPath(self.prefix).parts)).resolve()

    def inside(self, name: str) -> str:
        """A path of the project as a path of the repository."""
        return (PurePosixPath(self.prefix) / name).as_posix()

    def own(self, name: str) -> Path:
        """A file or folder of git's own: `index`, `objects`."""
        return self.project / os.fsdecode(git(self.project, "rev-parse", "--git-path", name).rstrip(b"\n"))

    @property
    def shallow(self) -> bool:
        """Whether it was cloned without all of its history."""
        return git(self.project, "rev-parse", "--is-shallow-repository").strip() == b"true"

    @property
    def object_format(self) -> str:
        """How it hashes: `sha1` or `sha256`."""
        return git(self.project, "rev-parse", "--show-object-format").decode().strip()

    @property
    def tree(self) -> str:
        """The hash of what the project has committed."""
        return git(self.project, "rev-parse", "--verify", "--quiet", f"HEAD:{self.prefix}").decode().strip()

    def commit(self, revision: str) -> str | None:
        """The full hash of a revision, None where there is none of that name."""
        if revision.startswith("-"):
            return None
        try:
            return git(self.project, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}").decode().strip()
        except GitError:
            return None

    def ancestors(self, commit: str, count: int) -> list[str]:
        """The commit and its ancestors, always by the first parent, at most `count`."""
        return git(self.project, "rev-list", "--first-parent", f"--max-count={count}", commit).decode().split()

    def files(self, commit: str, folder: str) -> list[str]:
        """The paths of all files of a commit below a folder ("" is the root), from the repository's root."""
        options = ("-r", "-z", "--name-only", "--full-tree")
        return names(git(self.project, "ls-tree", *options, commit, "--", folder or "."))

    def read(self, commit: str, path: str) -> str | None:
        """The text of a file of a commit, None where it is not there; raises GitError for one that is no UTF-8."""
        try:
            content = git(self.project, "cat-file", "blob", f"{commit}:{path}")
        except GitError:
            return None
        try:
            return content.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise GitError(f"{path} of {commit[:12]} is no UTF-8") from None

    def listed(self) -> list[str]:
        """The paths of the project's files, from its folder: those that git has, and those that it does not ignore."""
        return names(git(self.project, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", "."))

    def tracked(self) -> list[str]:
        """The paths of the project's files that git has, from its folder."""
        return names(git(self.project, "ls-files", "-z"))

    def uncommitted(self, paths: Sequence[str] = (".",)) -> list[str]:
        """Of these paths of the project those that git would not get back: changed, staged, unmerged or untracked, but
        not ignored; as paths of the repository."""
        return [name for _, name in status(self.project, "--untracked-files=all", "--", *paths)]


def around(project: Path) -> Repository | None:
    """The repository that the project lies in, None where it lies in none.

    Raises GitError where git cannot say: it is not installed, or distrusts the folder's owner.
    """
    project = project.resolve()
    try:
        prefix = os.fsdecode(git(project, "rev-parse", "--show-prefix").rstrip(b"\n"))
    except GitError as error:
        if any((folder / ".git").exists() for folder in (project, *project.parents)):
            said = str(error)
            raise GitError(said if said == _NOT_INSTALLED else f"git cannot read the repository: {said}") from None
        return None
    return Repository(project, prefix.rstrip("/"))


def committed(project: Path) -> Repository:
    """The repository around a project of which it has something. Raises GitError."""
    repository = around(project)
    if repository is None:
        raise GitError(f"{project.resolve()} is in no git repository, which keeps what it was (`git init`, commit)")
    try:
        repository.tree  # noqa: B018  # asked for its error
    except GitError:
        raise GitError(f"nothing of {repository.project} is committed in {repository.root}: commit it first") from None
    return repository
