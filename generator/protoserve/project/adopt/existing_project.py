"""The project that is adopted: its committed files, and the .proto with its service."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from pathlib import Path

from protoserve.platform.answers import FILE
from protoserve.platform.git import GitError, find_repository, repository_with_commits
from protoserve.platform.printing import listed
from protoserve.platform.reading import read_bytes
from protoserve.project.adopt import AdoptError, python_source

STUB = re.compile(r"_pb2(?:_grpc)?\.pyi?$")
_BUILD = re.compile(
    r"\.github/workflows/[^/]+\.ya?ml|\.gitlab-ci\.yml|\.circleci/config\.yml|\.travis\.yml|azure-pipelines\.ya?ml"
    r"|bitbucket-pipelines\.yml|Jenkinsfile|tox\.ini|noxfile\.py|(docker-)?compose\.ya?ml"
)
MAX_BYTES = 4_000_000  # of a file; larger ones are not searched
_SERVICE = re.compile(r"^\s*service\s+\w+\s*\{?", re.MULTILINE)


def committed_files(project: Path) -> list[str]:
    """The paths of a project's committed files, relative to it. Raises AdoptError unless the work tree is clean."""
    if not project.is_dir():
        raise AdoptError(f"{project} is not a folder")
    if (project / FILE).exists():
        raise AdoptError(f"{project} has a {FILE}: it is already a protoserve project; use `protoserve update`")
    try:
        repository = repository_with_commits(project)
        uncommitted, tracked = repository.uncommitted(), repository.tracked()
    except GitError as error:
        raise AdoptError(str(error)) from None
    if uncommitted:
        raise AdoptError(f"{project} has changes that are not committed: commit or stash {listed(uncommitted)}")
    return tracked


def readable_files(project: Path, tracked: list[str]) -> list[str]:
    """The committed files, each under one name: without links to other committed files or out of the repository."""
    repository = find_repository(project)
    root = repository.root if repository is not None else project.resolve()
    links = [name for name in tracked if (project / name).is_symlink()]
    names = {_target(project / name): name for name in tracked if name not in links}
    for name in links:
        target = _target(project / name)
        if target.is_file() and target.is_relative_to(root):
            names.setdefault(target, name)
    chosen = set(names.values())
    return [name for name in tracked if name in chosen]


def content(project: Path, name: str) -> bytes:
    """The content of a committed file; nothing of one that is too large or cannot be read, which is not searched."""
    try:
        return read_bytes(project / name, most=MAX_BYTES)
    except OSError:
        return b""


def text(project: Path, name: str) -> str:
    """The same as text."""
    return content(project, name).decode("utf-8", "replace")


def _target(path: Path) -> Path:
    """Where a path leads to; a loop of links leads to itself."""
    return Path(os.path.realpath(path))


def service_proto(project: Path, readable: list[str], option: Path | None) -> str:
    """The path of the .proto with the service, relative to the project; `option` is --proto. Raises AdoptError."""
    if option is not None:
        path = option if option.is_absolute() or option.is_file() else project / option
        if not path.is_file():
            raise AdoptError(f"{option} is not a file: --proto is relative to this folder or to {project}")
        if not path.resolve().is_relative_to(project.resolve()):
            raise AdoptError(f"{option} is not in {project}: copy it there and commit it")
        return path.resolve().relative_to(project.resolve()).as_posix()
    candidates = [name for name in readable if name.endswith(".proto") and _SERVICE.search(text(project, name))]
    if not candidates:
        raise AdoptError(f"no committed .proto of {project} has a service: name one with --proto FILE")
    if len(candidates) > 1:
        raise AdoptError(f"several files have a service ({listed(sorted(candidates))}): choose one with --proto FILE")
    return candidates[0]


def python_file(project: Path, option: Path, trees: Collection[str]) -> str:
    """The path below the project of the file that --servicer names, one of the parsed `trees`. Raises AdoptError."""
    path = option if option.is_absolute() or option.is_file() else project / option
    if path.is_dir():
        raise AdoptError(f"--servicer {option} is a folder: name the Python file with the class")
    if not path.is_file():
        raise AdoptError(f"--servicer {option} is not a file: it is relative to this folder or to {project}")
    for name in trees:
        if _target(project / name) == _target(path):
            return name
    if STUB.search(path.name):
        raise AdoptError(
            f"--servicer {option} has stubs, which protoc writes: name the file with the class that derives from them"
        )
    try:
        python_source.parse(read_bytes(path, most=MAX_BYTES))
    except (ValueError, RecursionError, MemoryError) as error:
        raise AdoptError(f"--servicer {option}: Python cannot parse it: {error}") from None
    except SyntaxError as error:
        raise AdoptError(
            f"--servicer {option}:{error.lineno}:{error.offset}: Python cannot parse it: {error.msg}"
        ) from None
    raise AdoptError(
        f"--servicer {option} is not a committed Python file of {project}: commit it, with a name that ends in .py"
    )


def prefix(project: Path) -> str:
    """The project's folder in its repository, "" if it is the repository's root."""
    repository = find_repository(project)
    return repository.prefix if repository is not None else ""


def ci(listed: Sequence[str]) -> str:
    """The answer to the question `ci` that keeps the service which the project uses."""
    uses_github = any(name.startswith(".github/workflows/") for name in listed)
    return "gitlab" if ".gitlab-ci.yml" in listed and not uses_github else "github"


def builds(tracked: Sequence[str], renamed: Collection[str]) -> list[str]:
    """The files that still build or test the project as before, such as other workflows of a CI."""
    return [name for name in tracked if _BUILD.fullmatch(name) and name not in renamed]
