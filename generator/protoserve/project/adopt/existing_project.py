"""The project that is adopted: its committed files, and the .proto with its service."""

from __future__ import annotations

import re
from pathlib import Path

from protoserve.platform.answers import FILE
from protoserve.platform.git import GitError, repository_with_commits
from protoserve.project.adopt import AdoptError

_SERVICE = re.compile(r"^\s*service\s+\w+\s*\{?", re.MULTILINE)


def committed_files(project: Path) -> list[str]:
    """The paths of a project's committed files, relative to it. Raises AdoptError unless the work tree is clean."""
    if not project.is_dir():
        raise AdoptError(f"{project} is not a folder")
    if (project / FILE).exists():
        raise AdoptError(f"{project} has a {FILE}: it is already a protoserve project; use `protoserve update`")
    try:
        repository = repository_with_commits(project)
        uncommitted, listed = repository.uncommitted(), repository.tracked()
    except GitError as error:
        raise AdoptError(str(error)) from None
    if uncommitted:
        named = ", ".join(uncommitted[:5])
        more = f" and {len(uncommitted) - 5} more" if len(uncommitted) > 5 else ""
        raise AdoptError(f"{project} has changes that are not committed: commit or stash {named}{more}")
    return listed


def service_proto(project: Path, listed: list[str], option: Path | None) -> str:
    """The path of the .proto with the service, relative to the project; `option` is --proto. Raises AdoptError."""
    if option is not None:
        path = option if option.is_absolute() or option.is_file() else project / option
        if not path.is_file():
            raise AdoptError(f"{option} is not a file: --proto is relative to this folder or to {project}")
        if not path.resolve().is_relative_to(project.resolve()):
            raise AdoptError(f"{option} is not in {project}: copy it there and commit it")
        return path.resolve().relative_to(project.resolve()).as_posix()
    candidates = [
        name
        for name in listed
        if name.endswith(".proto") and _SERVICE.search((project / name).read_text(encoding="utf-8", errors="replace"))
    ]
    if not candidates:
        raise AdoptError(f"no committed .proto of {project} has a service: name one with --proto FILE")
    if len(candidates) > 1:
        raise AdoptError(
            f"several files have a service ({', '.join(sorted(candidates))}): choose one with --proto FILE"
        )
    return candidates[0]
