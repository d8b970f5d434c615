"""A scratch repository with what a project has committed, in which an update can fail without harm.

The project's folder is its root, even if the project lies in a subfolder of a larger repository. It borrows the
objects of the project's repository and writes nothing there, except that a partial clone fetches what it lacks.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from protoserve.emit.generated_files import SCHEMA
from protoserve.platform import answers
from protoserve.platform.files import with_remedy_for_full_disk
from protoserve.platform.git import GitError, Repository, git, git_line, git_paths, is_partial, object_format, status
from protoserve.platform.git.repository_settings import filters_run
from protoserve.platform.reading import read_bytes
from protoserve.project.git_settings import unreadable_names
from protoserve.schema import project_schemas

_IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "protoserve"), ("EMAIL", "protoserve@localhost"))
}
# An update does not merge into large files, so they stay the pointers that they are in git.
_CHECKOUT = {**_IDENTITY, "GIT_LFS_SKIP_SMUDGE": "1"}
# Settings of how git converts files, which may be those of the project alone.
_CONVERSIONS = r"^(filter\..*|core\.(autocrlf|eol|attributesfile))$"
# What the project has committed: HEAD has another answers file if the recorded tag was moved.
_COMMITTED = "refs/protoserve/committed"
_PATCH = ("--no-color", "--no-ext-diff", "--no-textconv", "--binary", "--src-prefix=a/", "--dst-prefix=b/")


@dataclass(frozen=True, slots=True)
class Stage:
    """One side of an unmerged file in git's index: `number` is 1 for the base, 2 for ours, 3 for theirs."""

    mode: str
    blob: str
    number: str


@dataclass(frozen=True, slots=True)
class Committed:
    """A project as one commit has it: its name, the tree of its folder, and a repository with the objects of that.

    Git runs in the folder `place`; for a bare repository, `environment` names it by GIT_DIR. Methods raise GitError.
    """

    name: str
    tree: str
    place: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def head(cls, repository: Repository) -> Committed:
        """The project of a work tree as HEAD has it."""
        return cls(repository.project.name, repository.tree, repository.project)

    def git_path(self, name: str) -> Path:
        """A file or folder of the repository, such as `objects`."""
        output = git(self.place, "rev-parse", "--git-path", name, env=self.environment)
        return self.place / os.fsdecode(output.rstrip(b"\n"))

    @property
    def settings(self) -> list[str]:
        """The settings of how git converts files, each with its name in the first line."""
        options = ("-z", "--get-regexp", _CONVERSIONS)
        output = git(self.place, "config", *options, env=self.environment, exit_codes=(0, 1))
        return [os.fsdecode(setting) for setting in output.split(b"\0") if setting]


@contextmanager
def scratch_repository(committed: Committed) -> Iterator[Path]:
    """The folder of a new scratch repository with these files, removed at the end. Raises GitError."""
    with tempfile.TemporaryDirectory(prefix="protoserve-update-", ignore_cleanup_errors=True) as temporary:
        # Copier writes this path into a file of lines.
        folder = Path(temporary).resolve() / committed.name.replace("\n", " ")
        folder.mkdir()
        try:
            _fill(folder, committed, Path(temporary) / "fetched")
        except GitError as error:
            raise GitError(with_remedy_for_full_disk(str(error))) from None
        yield folder


def _fill(folder: Path, committed: Committed, fetched: Path) -> None:
    """Makes the folder a repository with one commit, what the project has committed; `fetched` may be used for that."""
    # Copier's own repositories, which borrow from this one, are of SHA-1.
    git(folder, "init", "--quiet", "--template=", "--object-format=sha1")
    _copy_conversions(committed, folder)
    if object_format(committed.place, committed.environment) == "sha1":
        if is_partial(committed.place, committed.environment):
            # Only the clone itself can fetch what it lacks; a checkout fetches all of it in one go.
            _fetch(committed, fetched)
        _borrow(committed, folder)
    else:
        _check_out(committed, folder)
        git(folder, "add", "--all", "--force")
    _leave_out_unreadable_names(folder)
    if object_format(committed.place, committed.environment) == "sha1":
        git(folder, "checkout-index", "--quiet", "--all", "-u", env=_CHECKOUT)
    _commit(folder, git_line(folder, "write-tree", "--missing-ok"))
    git(folder, "update-ref", _COMMITTED, "HEAD")


def _copy_conversions(committed: Committed, folder: Path) -> None:
    """Lets git convert files in the scratch repository as it does in the project."""
    settings = committed.settings
    if not filters_run():
        settings = [setting for setting in settings if not setting.startswith("filter.")]
    for setting in settings:
        name, has_value, value = setting.partition("\n")
        git(folder, "config", "--add", name, value if has_value else "true")
    attributes = committed.git_path("info/attributes")
    if attributes.is_file():
        (folder / ".git" / "info").mkdir(exist_ok=True)
        (folder / ".git" / "info" / "attributes").write_bytes(read_bytes(attributes))


def _borrow(committed: Committed, folder: Path) -> None:
    """Fills the index of the scratch repository, with the project's objects by reference."""
    alternates = folder / ".git" / "objects" / "info" / "alternates"
    alternates.parent.mkdir(parents=True, exist_ok=True)
    alternates.write_bytes(_quoted(os.fsencode(committed.git_path("objects").resolve())) + b"\n")
    git(folder, "read-tree", committed.tree)


def _fetch(committed: Committed, folder: Path) -> None:
    try:
        _check_out(committed, folder)
    except GitError as error:
        raise GitError(f"this clone is partial, and what it lacks of the project cannot be fetched: {error}") from None


def _check_out(committed: Committed, folder: Path) -> None:
    """Writes what the project has committed into a folder, without the index and the work tree of its repository."""
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="protoserve-index-") as temporary:
        elsewhere = {"GIT_INDEX_FILE": str(Path(temporary) / "index"), "GIT_WORK_TREE": str(folder)}
        options = ("--reset", "-u", "--no-sparse-checkout")
        variables = {**committed.environment, **_CHECKOUT, **elsewhere}
        git(committed.place, "read-tree", *options, committed.tree, env=variables)


def _commit(folder: Path, tree: str) -> None:
    commit = git(folder, "commit-tree", "-m", "before the update", tree, env=_IDENTITY).decode().strip()
    git(folder, "update-ref", "HEAD", commit)


def record_version(folder: Path, commit: str) -> None:
    """Commits an answers file that names another version of the template, for Copier to merge from. Raises GitError."""
    path = folder / answers.FILE
    line = yaml.safe_dump({"_commit": commit}).strip().encode()  # a tag such as 1.10 gets quotes
    text = re.sub(rb"^_commit:[^\n]*$", lambda _: line, path.read_bytes(), count=1, flags=re.MULTILINE)
    path.write_bytes(text)
    git(folder, "add", "--force", "--", answers.FILE)
    tree = git(folder, "write-tree").decode().strip()
    _commit(folder, tree)


def _quoted(path: bytes) -> bytes:
    """A path as git reads it in a file of lines, whatever bytes it has."""
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def _leave_out_unreadable_names(folder: Path) -> None:
    """Takes files whose names are not UTF-8 out of the index: Copier cannot read them, and no template has them."""
    names = unreadable_names(git_paths(folder, "ls-files", "-z"))
    if names:
        listed = b"".join(os.fsencode(name) + b"\0" for name in names)
        git(folder, "update-index", "--force-remove", "-z", "--stdin", stdin=listed)


def changed_files(folder: Path) -> list[str]:
    """The paths that differ from the commit, ignored files among them."""
    return sorted({name for _, name in status(folder, "--untracked-files=all", "--ignored=traditional")})


def committed_files(folder: Path) -> set[str]:
    """The paths that the project has committed."""
    return set(git_paths(folder, "ls-tree", "-r", "--name-only", "-z", "HEAD"))


def concerned_files(folder: Path, changed: Iterable[str]) -> set[str]:
    """The committed files that an update writes, `changed`, or reads: generated files follow from the schemas."""
    schemas = f"{project_schemas.FOLDER}/"
    read = {name for name in committed_files(folder) if name == SCHEMA or name.startswith(schemas)}
    return {*changed, *read}


def unmerged_files(folder: Path) -> dict[str, list[Stage]]:
    """The stages of each path that git lists as unmerged."""
    stages: dict[str, list[Stage]] = {}
    for entry in git_paths(folder, "ls-files", "--unmerged", "-z"):
        attributes, _, name = entry.partition("\t")
        stages.setdefault(name, []).append(Stage(*attributes.split(" ")))
    return stages


def patch(folder: Path) -> bytes:
    """The changes as `git apply` takes them, conflict markers included."""
    git(folder, "add", "--all", "--force")
    return git(folder, "diff", "--cached", *_PATCH, _COMMITTED)
