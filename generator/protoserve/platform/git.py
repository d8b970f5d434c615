"""Runs git, and describes the repository that a project lies in, which may be larger than the project.

Every git command of protoserve goes through `run`. The module needs nothing but the standard library of Python 3.10,
since an update ends in the interpreter of Copier.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from protoserve.platform.errors import ProtoserveError

# Git sets these for its hooks. If protoserve runs in a hook, they would direct its commands to another repository.
_HOOK_VARIABLES = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR", "GIT_PREFIX")

_NOT_INSTALLED = "git is not installed"


class GitError(ProtoserveError):
    """A git command failed; the message is one line with git's reason."""


def run(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    exit_codes: Collection[int] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Runs a git command in `folder`, with `env` added to the environment.

    `exit_codes` are those that do not mean failure, such as 1 of a search without a match. Raises GitError.
    """
    inherited = {name: value for name, value in os.environ.items() if name not in _HOOK_VARIABLES}
    environment = {**inherited, "LC_ALL": "C", **(env or {})}
    command = ["git", *arguments]
    try:
        done = subprocess.run(command, cwd=folder, input=stdin, env=environment, capture_output=True, check=False)
    except FileNotFoundError:
        raise GitError(_NOT_INSTALLED) from None
    if done.returncode not in exit_codes:
        raise GitError(reason(done.stderr.decode(errors="replace")))
    return done


def git(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    exit_codes: Collection[int] = (0,),
) -> bytes:
    """The standard output of a git command; the arguments are those of `run`. Raises GitError."""
    return run(folder, *arguments, stdin=stdin, env=env, exit_codes=exit_codes).stdout


def git_line(folder: Path, *arguments: str, stdin: bytes = b"", exit_codes: Collection[int] = (0,)) -> str:
    """The one line that a git command prints, without its end. Raises GitError."""
    return os.fsdecode(git(folder, *arguments, stdin=stdin, exit_codes=exit_codes).rstrip(b"\n"))


def git_paths(folder: Path, *arguments: str, stdin: bytes = b"", exit_codes: Collection[int] = (0,)) -> list[str]:
    """The paths, or other fields, that a git command with -z prints. Raises GitError."""
    output = git(folder, *arguments, stdin=stdin, exit_codes=exit_codes)
    return [os.fsdecode(field) for field in output.split(b"\0") if field]


def clear_hook_variables() -> None:
    """Removes the variables of a git hook from the environment, for git commands that other programs run."""
    for name in _HOOK_VARIABLES:
        os.environ.pop(name, None)


def reason(stderr: str) -> str:
    """The line of git's error output that names the cause, without ssh's and git's own warnings before it."""
    lines = [line.strip() for line in stderr.splitlines()]
    causes = [line for line in lines if line and not line.startswith(("warning:", "hint:", "Cloning into"))]
    return causes[0].removeprefix("fatal: ").removeprefix("error: ") if causes else "git failed"


def status(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    """For each file that differs from HEAD the two letters of `git status` and its path from the repository's root."""
    for entry in git_paths(folder, "status", "--porcelain=v1", "-z", "--no-renames", *options):
        yield entry[:2], entry[3:]


@dataclass(frozen=True, slots=True)
class Repository:
    """The repository around a project; `prefix` is the project's folder in it, "" for the root.

    Unless a docstring says otherwise, methods raise GitError when git fails.
    """

    project: Path
    prefix: str

    @property
    def root(self) -> Path:
        """The folder of the repository's files."""
        return self.project.joinpath(*[".."] * len(PurePosixPath(self.prefix).parts)).resolve()

    def path_from_root(self, name: str) -> str:
        """A path below the project as a path from the repository's root."""
        return (PurePosixPath(self.prefix) / name).as_posix()

    def git_path(self, name: str) -> Path:
        """A file or folder inside `.git`, such as `index` or `objects`."""
        return self.project / git_line(self.project, "rev-parse", "--git-path", name)

    @property
    def shallow(self) -> bool:
        """Whether it was cloned without all of its history."""
        return git_line(self.project, "rev-parse", "--is-shallow-repository") == "true"

    @property
    def object_format(self) -> str:
        """The hash function, `sha1` or `sha256`."""
        return git_line(self.project, "rev-parse", "--show-object-format")

    @property
    def tree(self) -> str:
        """The hash of the project's folder in HEAD."""
        return git_line(self.project, "rev-parse", "--verify", "--quiet", f"HEAD:{self.prefix}")

    def commit(self, revision: str) -> str | None:
        """The full hash of a revision, None if the repository has no such revision."""
        if revision.startswith("-"):
            return None
        try:
            return git_line(self.project, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
        except GitError:
            return None

    def ancestors(self, commit: str, count: int) -> list[str]:
        """The commit and its ancestors along first parents, at most `count`."""
        return git(self.project, "rev-list", "--first-parent", f"--max-count={count}", commit).decode().split()

    def files(self, commit: str, folder: str) -> list[str]:
        """The paths from the root of all files that a commit has below `folder`; "" is the root."""
        options = ("-r", "-z", "--name-only", "--full-tree")
        return git_paths(self.project, "ls-tree", *options, commit, "--", folder or ".")

    def read(self, commit: str, path: str) -> str | None:
        """The text of a file in a commit, None if it is not there. Raises GitError if it is not UTF-8."""
        try:
            content = git(self.project, "cat-file", "blob", f"{commit}:{path}")
        except GitError:
            return None
        try:
            return content.decode("utf-8").removeprefix("\ufeff")
        except UnicodeDecodeError:
            raise GitError(f"{path} of {commit[:12]} is not UTF-8") from None

    def listed(self) -> list[str]:
        """The paths below the project of its tracked files and of untracked ones that are not ignored."""
        return git_paths(self.project, "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", ".")

    def tracked(self) -> list[str]:
        """The paths below the project of its tracked files."""
        return git_paths(self.project, "ls-files", "-z")

    def uncommitted(self, paths: Sequence[str] = (".",)) -> list[str]:
        """The files at these paths of the project that are changed, staged, unmerged or untracked, but not ignored.

        The result has paths from the repository's root.
        """
        return [name for _, name in status(self.project, "--untracked-files=all", "--", *paths)]


def find_repository(project: Path) -> Repository | None:
    """The repository that the project lies in, None if there is none.

    Raises GitError if git cannot say: it is not installed, or does not trust the folder's owner.
    """
    project = project.resolve()
    try:
        prefix = git_line(project, "rev-parse", "--show-prefix")
    except GitError as error:
        if any((folder / ".git").exists() for folder in (project, *project.parents)):
            text = str(error)
            raise GitError(text if text == _NOT_INSTALLED else f"git cannot read the repository: {text}") from None
        return None
    return Repository(project, prefix.rstrip("/"))


def repository_with_commits(project: Path) -> Repository:
    """The repository that the project lies in. Raises GitError unless files of the project are committed in it."""
    repository = find_repository(project)
    if repository is None:
        raise GitError(f"{project.resolve()} is not in a git repository: run `git init` and commit the project")
    try:
        repository.tree  # noqa: B018  # fails if nothing is committed
    except GitError:
        raise GitError(f"nothing of {repository.project} is committed in {repository.root}: commit it first") from None
    return repository
