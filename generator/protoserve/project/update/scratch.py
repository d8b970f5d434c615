"""A scratch repository with what a project has committed, in which an update can go wrong without harm.

The project's folder is the top of it, also when the project is a subfolder of a larger repository. It borrows the
objects of the project's repository and writes nothing there.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from protoserve.platform.git import Repository, git, status

_IDENTITY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "protoserve"), ("EMAIL", "protoserve@localhost"))
}
# Large files stay the pointers that they are in git: an update does not merge into them.
_ENVIRONMENT = {**_IDENTITY, "GIT_LFS_SKIP_SMUDGE": "1"}


@contextmanager
def scratch(repository: Repository) -> Iterator[Path]:
    """The folder of a new scratch repository, removed at the end. Raises GitError."""
    with tempfile.TemporaryDirectory(prefix="protoserve-update-", ignore_cleanup_errors=True) as temporary:
        folder = Path(temporary).resolve() / repository.project.name
        folder.mkdir()
        git(folder, "init", "--quiet", "--template=", f"--object-format={repository.object_format}")
        alternates = folder / ".git" / "objects" / "info" / "alternates"
        alternates.parent.mkdir(parents=True, exist_ok=True)
        alternates.write_bytes(os.fsencode(repository.own("objects").resolve()) + b"\n")
        tree = repository.tree
        git(folder, "read-tree", tree)
        git(folder, "checkout-index", "--quiet", "--all", "-u", env=_ENVIRONMENT)
        commit = git(folder, "commit-tree", "-m", "before the update", tree, env=_IDENTITY).decode().strip()
        git(folder, "update-ref", "HEAD", commit)
        yield folder


def changed(folder: Path) -> list[str]:
    """The paths that are not as the project has them committed, ignored files among them."""
    return sorted({name for _, name in status(folder, "--untracked-files=all", "--ignored=traditional")})


def unmerged(folder: Path) -> dict[str, list[tuple[str, str, str]]]:
    """For each path that git lists as unmerged its stages: mode, hash, and stage number."""
    found: dict[str, list[tuple[str, str, str]]] = {}
    for entry in filter(None, git(folder, "ls-files", "--unmerged", "-z").split(b"\0")):
        about, _, name = entry.decode(errors="surrogateescape").partition("\t")
        mode, blob, stage = about.split(" ")
        found.setdefault(name, []).append((mode, blob, stage))
    return found


def diff(folder: Path) -> bytes:
    """What the update changes, as `git apply` takes it; markers of conflicts are part of it."""
    git(folder, "add", "--all", "--force")
    options = (
        "--cached",
        "--no-color",
        "--no-ext-diff",
        "--no-textconv",
        "--binary",
        "--src-prefix=a/",
        "--dst-prefix=b/",
    )
    return git(folder, "diff", *options, "HEAD")
