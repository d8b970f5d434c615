"""What an update could not merge and left for the author: conflict markers, and files with rejected edits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import Repository, git_paths
from protoserve.platform.printing import listed
from protoserve.platform.reading import read_bytes

_MARKER = re.compile(rb"^<<<<<<< before updating\r?$", re.MULTILINE)
# `git apply --reject` leaves edits of NAME in NAME.rej, under this heading. `copier update --conflict rej` keeps them.
_SUFFIX = ".rej"
_REJECTED = re.compile(rb"diff [^\n]*\(rejected hunks\)")


class RejectedEditsError(ProtoserveError):
    """Files with rejected edits wait for the author, or would be taken for such."""


def unmerged_files(repository: Repository) -> set[str]:
    """The files below the project that git lists as unmerged. Raises GitError."""
    return {entry.partition("\t")[2] for entry in git_paths(repository.project, "ls-files", "--unmerged", "-z")}


def marked_files(repository: Repository) -> set[str]:
    """The files below the project with conflict markers of an update, whatever git knows of them. Raises GitError."""
    return {name for name in _files(repository.project) if _MARKER.search(_read(repository.project / name))}


def rejected_edits(repository: Repository) -> set[str]:
    """The files below the project with edits that an update could not apply. Raises GitError."""
    names = (name for name in _files(repository.project) if name.endswith(_SUFFIX))
    return {name for name in names if _REJECTED.match(_read(repository.project / name))}


def refuse_rejected_edits(repository: Repository) -> None:
    """Raises RejectedEditsError if edits that an earlier update could not apply still wait."""
    if names := sorted(rejected_edits(repository)):
        raise RejectedEditsError(
            f"{listed(names)}: an earlier update could not apply these edits: make them by hand, then remove the file"
        )


def refuse_reject_names(repository: Repository) -> None:
    """Raises RejectedEditsError if Copier would take a file for edits that it has just rejected.

    Copier merges NAME again for every NAME.rej of the repository that is not tracked, then removes it; one that is
    tracked hides the edits that it rejects itself.
    """
    tracked = set(repository.tracked())
    names = [name for name in tracked if name.endswith(_SUFFIX) and name.removesuffix(_SUFFIX) in tracked]
    names += [name for name in _untracked(repository.root) if name.endswith(_SUFFIX)]
    if names:
        raise RejectedEditsError(
            f"{listed(sorted(names))}: Copier would take this for edits that it rejects, and remove it: apply what it "
            "holds if it is of an earlier update, then remove it or give it another name"
        )


def _files(project: Path) -> Iterator[str]:
    yield from git_paths(project, "ls-files", "-z")
    yield from _untracked(project)


def _untracked(folder: Path) -> Iterator[str]:
    """The files below a folder that git does not track, and ignored ones unless their whole folder is ignored."""
    yield from git_paths(folder, "ls-files", "-z", "--others", "--exclude-standard")
    ignored = git_paths(folder, "ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--directory")
    yield from (name for name in ignored if not name.endswith("/"))


def _read(path: Path) -> bytes:
    """The content of a file; nothing if it is too large, cannot be read, or is a link or folder."""
    try:
        return b"" if path.is_symlink() else read_bytes(path)
    except OSError:
        return b""
