"""The contracts of a project: those on disk, and those of a commit. A project has one a version of its API.

`schema.yaml` is the newest; `schemas/*.yaml` are the versions before it. They are told apart by their proto package.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from protoserve.compat import EvolveError
from protoserve.platform import answers
from protoserve.platform.git import Repository
from protoserve.schema import project_schemas
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads
from protoserve.schema.model import Contract
from protoserve.schema.project_schemas import SCHEMA

Contracts = dict[str, Contract]


def on_disk(project: Path, package: str) -> Contracts:
    """The contracts as they lie there, by proto package; raises SchemaError."""
    return read(project_schemas.read(project), package)


def read(texts: dict[str, str], package: str) -> Contracts:
    """The contracts of some texts, each with all its numbers; `package` is the project's. Raises SchemaError."""
    default = f"{package}.v1"
    found = (loads(numbered(text, file=file), file, default_package=default) for file, text in texts.items())
    return by_package(found)


def by_package(contracts: Iterable[Contract]) -> Contracts:
    """The first of each package: two of one package are refused elsewhere."""
    found: Contracts = {}
    for contract in contracts:
        found.setdefault(contract.package, contract)
    return found


def at_revision(repository: Repository, commit: str, package: str) -> Contracts:
    """The contracts of a commit; empty where it has none of this project.

    A project that lay elsewhere then is found by its answers. Raises SchemaError for a schema that is not sound, and
    GitError where git fails.
    """
    here = _at(repository, commit, repository.prefix)
    if here:
        return read(here, package)
    for folder in _projects(repository, commit, package):
        there = _at(repository, commit, folder)
        if there:
            return read(there, package)
    return {}


def _at(repository: Repository, commit: str, folder: str) -> dict[str, str]:
    """The schemas of the project that lay in that folder, by their path in it."""
    names = [SCHEMA, *_older(repository, commit, folder)]
    found = {name: repository.read(commit, (PurePosixPath(folder) / name).as_posix()) for name in names}
    return {name: text for name, text in found.items() if text is not None}


def _older(repository: Repository, commit: str, folder: str) -> list[str]:
    below = (PurePosixPath(folder) / project_schemas.FOLDER).as_posix()
    paths = (PurePosixPath(name) for name in repository.files(commit, below))
    return sorted(
        f"{project_schemas.FOLDER}/{path.name}"
        for path in paths
        if path.suffix == ".yaml" and path.parent.name == project_schemas.FOLDER
    )


def _projects(repository: Repository, commit: str, package: str) -> list[str]:
    """Folders of a commit that hold answers of a project with this Python package, and are no project any more."""
    found = []
    for path in map(PurePosixPath, repository.files(commit, "")):
        if path.name == answers.FILE and not (repository.root / path).exists():
            text = repository.read(commit, path.as_posix()) or ""
            if f"\npackage: {package}\n" in f"\n{text}\n":
                found.append("" if path.parent == PurePosixPath() else path.parent.as_posix())
    return found


def nearest_sound(repository: Repository, commit: str, package: str) -> tuple[str, Contracts]:
    """The newest commit, from this one back by first parents, whose schemas are sound, and its contracts.

    A merge can leave one that is not. Raises SchemaError of the commit itself where none of the last 50 is sound.
    """
    first: SchemaError | None = None
    for candidate in repository.ancestors(commit, 50):
        try:
            return candidate, at_revision(repository, candidate, package)
        except SchemaError as error:
            first = first or error
    if first is None:
        raise EvolveError(f"git has no history of {commit[:12]}")
    raise first
