"""What lies in a project that was made by hand: its repository, its files, its .proto."""

from __future__ import annotations

import re
from pathlib import Path

from protoserve.platform.answers import FILE
from protoserve.platform.git import GitError, repository_with_commits
from protoserve.project.adopt import AdoptError

_SERVICE = re.compile(r"^\s*service\s+\w+\s*\{?", re.MULTILINE)


def files(project: Path) -> list[str]:
    """The committed files of a project in git whose tree is clean, from the project on. Raises AdoptError."""
    if not project.is_dir():
        raise AdoptError(f"{project} is no folder")
    if (project / FILE).exists():
        raise AdoptError(f"{project} has a {FILE}: it is a protoserve project, and `protoserve update` is for it")
    try:
        repository = repository_with_commits(project)
        changed, listed = repository.uncommitted(), repository.tracked()
    except GitError as error:
        raise AdoptError(str(error)) from None
    if changed:
        named = ", ".join(changed[:5])
        more = f" and {len(changed) - 5} more" if len(changed) > 5 else ""
        raise AdoptError(f"{project} has changes that are not committed: commit or stash {named}{more}")
    return listed


def the_proto(project: Path, listed: list[str], given: Path | None) -> str:
    """The path of the .proto with the service, from the project on. Raises AdoptError."""
    if given is not None:
        path = given if given.is_absolute() or given.is_file() else project / given
        if not path.is_file():
            raise AdoptError(f"{given} is no file: --proto counts from here, or from {project}")
        if not path.resolve().is_relative_to(project.resolve()):
            raise AdoptError(f"{given} is not in {project}: copy it there and commit it")
        return path.resolve().relative_to(project.resolve()).as_posix()
    found = [
        name
        for name in listed
        if name.endswith(".proto") and _SERVICE.search((project / name).read_text(encoding="utf-8", errors="replace"))
    ]
    if len(found) == 1:
        return found[0]
    if not found:
        raise AdoptError(f"no committed .proto of {project} has a service: name it, --proto FILE")
    raise AdoptError(f"several files have a service ({', '.join(sorted(found))}): say which, --proto FILE")
