"""A project's folder at a commit, checked out into a temporary repository that borrows the objects of its mirror.

It looks to git like a clone, so that what works in a clone works here. No hook and no filter runs, and nothing is
written into the mirror, except that a partial one fetches the contents of files that it lacks.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from protoserve.fleet.git_access import without_filters, without_prompts
from protoserve.fleet.mirrors import Mirror
from protoserve.fleet.model import Project
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import NOWHERE, git, git_paths
from protoserve.platform.printing import printable

_SECONDS = 300.0
_MOST_FILES = 100_000
_MOST_BYTES = 2 * 2**30
_FOLDER, _LINK = "040000", "120000"
# Large files stay the pointers that they are in git.
_CHECKOUT = {"GIT_LFS_SKIP_SMUDGE": "1"}


class CheckoutError(ProtoserveError):
    """A project cannot be checked out: there is no such branch or folder, or it is too large."""


def commit_of(project: Project, mirror: Mirror) -> str:
    """The commit of the project's branch. Raises CheckoutError."""
    if mirror.is_empty:
        raise CheckoutError("the repository is empty: nothing has been committed to it")
    commit = mirror.branch(project.branch)
    if commit is None and project.branch:
        raise CheckoutError(f"the repository has no branch {project.branch}")
    if commit is None:
        raise CheckoutError("the repository's default branch does not exist: give `branch` in fleet.yaml")
    return commit


@contextmanager
def checked_out(project: Project, mirror: Mirror, commit: str) -> Iterator[Path]:
    """The project's folder in a temporary repository whose HEAD is that commit.

    Only that folder is checked out. Raises CheckoutError and GitError.
    """
    refuse_folder(project, mirror, commit)
    with tempfile.TemporaryDirectory(prefix="protoserve-fleet-", ignore_cleanup_errors=True) as temporary:
        # What the last part of the source is called, as a clone would be.
        root = Path(temporary).resolve() / "project"
        _make_repository(root, mirror, commit)
        _check_out(root, project.folder, mirror, commit)
        yield root / project.folder


def refuse_folder(project: Project, mirror: Mirror, commit: str) -> None:
    """Raises CheckoutError if the folder is not one of the commit, or has too much in it."""
    above = [str(path) for path in reversed(PurePosixPath(project.folder).parents)][1:] if project.folder else []
    for path in [*above, project.folder] if project.folder else []:
        entries = git_paths(NOWHERE, "--git-dir", str(mirror.folder), "ls-tree", "-z", commit, "--", path)
        mode = entries[0].split(" ", 1)[0] if entries else ""
        if mode == _LINK:
            raise CheckoutError(f"{printable(path)} is a symbolic link, which is not followed: give the folder itself")
        if mode != _FOLDER:
            raise CheckoutError(f"the repository has no folder {printable(path)} on this branch")
    tree = f"{commit}:{project.folder}" if project.folder else commit
    # The sizes of files are not asked for in a partial mirror, which would have to fetch each.
    partial = (mirror.folder / "objects" / "pack").is_dir() and _is_partial(mirror)
    options = ("-r", "-z") if partial else ("-r", "-z", "-l")
    files = git_paths(NOWHERE, "--git-dir", str(mirror.folder), "ls-tree", *options, tree)
    if len(files) > _MOST_FILES:
        raise CheckoutError(f"it has more than {_MOST_FILES} files")
    sizes = (line.partition("\t")[0].split() for line in ([] if partial else files))
    if sum(int(fields[3]) for fields in sizes if fields[3] != "-") > _MOST_BYTES:
        raise CheckoutError(f"its files have more than {_MOST_BYTES >> 30} GiB")


def _is_partial(mirror: Mirror) -> bool:
    return "partialclone" in (mirror.folder / "config").read_text(encoding="utf-8", errors="replace").lower()


def _make_repository(root: Path, mirror: Mirror, commit: str) -> None:
    """A repository without files, written without git, which would take as long as the rest."""
    own = root / ".git"
    (own / "objects" / "info").mkdir(parents=True)
    (own / "refs").mkdir()
    config = (mirror.folder / "config").read_text(encoding="utf-8", errors="surrogateescape")
    (own / "config").write_text(config.replace("bare = true", "bare = false"), "utf-8", "surrogateescape")
    alternates = os.fsencode(mirror.folder / "objects") + b"\n"
    (own / "objects" / "info" / "alternates").write_bytes(alternates)
    tags = sorted((f"refs/tags/{name}", value) for name, value in mirror.tags.items())
    packed = "".join(f"{value} {name}\n" for name, value in tags)
    (own / "packed-refs").write_text(packed, "utf-8", "surrogateescape")
    (own / "HEAD").write_text(f"{commit}\n", "ascii")


def _check_out(root: Path, folder: str, mirror: Mirror, commit: str) -> None:
    options = ("-c", "core.bare=false", *without_filters(), "--git-dir", str(mirror.folder), "--work-tree", str(root))
    variables = {**_CHECKOUT, **without_prompts(), "GIT_INDEX_FILE": str(root / ".git" / "index")}
    if not folder:
        git(NOWHERE, *options, "read-tree", "-u", "--reset", commit, env=variables, seconds=_SECONDS)
        return
    git(NOWHERE, *options, "read-tree", "--reset", commit, env=variables, seconds=_SECONDS)
    names = git(NOWHERE, *options, "ls-files", "-z", "--", f":(top,literal){folder}", env=variables)
    git(NOWHERE, *options, "checkout-index", "-q", "-u", "-z", "--stdin", stdin=names, env=variables, seconds=_SECONDS)
