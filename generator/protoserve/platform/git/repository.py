"""The repository that a project lies in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from protoserve.platform.git.command import git, git_line, git_paths, status
from protoserve.platform.git.errors import NOT_INSTALLED, GitError


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
    def partial(self) -> bool:
        """Whether it was cloned without all objects, which git fetches when it needs them."""
        return is_partial(self.project)

    @property
    def object_format(self) -> str:
        """The hash function, `sha1` or `sha256`."""
        return object_format(self.project)

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

    def has_untracked(self) -> bool:
        """Whether there are files below the project that git does not track, ignored ones among them."""
        return bool(git(self.project, "ls-files", "-z", "--others", "--directory", "--no-empty-directory"))

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
            raise GitError(text if text == NOT_INSTALLED else f"git cannot read the repository: {text}") from None
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


def is_partial(folder: Path, environment: Mapping[str, str] | None = None) -> bool:
    """Whether the repository around `folder`, or that of GIT_DIR, lacks objects, which git fetches when it needs them.

    Raises GitError.
    """
    pattern = r"^(remote\..*\.promisor|extensions\.partialclone)$"
    return bool(git(folder, "config", "--get-regexp", pattern, env=environment, exit_codes=(0, 1)))


def object_format(folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """The hash function of the repository around `folder`, or that of GIT_DIR: `sha1` or `sha256`. Raises GitError."""
    return git(folder, "rev-parse", "--show-object-format", env=environment).decode().strip()
