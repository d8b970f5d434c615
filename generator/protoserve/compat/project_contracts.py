"""The contracts of a project, on disk and in commits: one for each version of its API, by proto package.

`schema.yaml` has the newest version, `schemas/*.yaml` the older ones.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from protoserve.compat import CompatError
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
    """The contracts of the project's schemas. Raises SchemaError."""
    return read(project_schemas.read(project), package)


def read(schemas: dict[str, str], package: str) -> Contracts:
    """The contracts of schemas, given by path, with all numbers; `package` is the project's. Raises SchemaError.

    Of two contracts of one package the first counts; they are refused elsewhere.
    """
    contracts: Contracts = {}
    for file, text in schemas.items():
        contract = loads(numbered(text, file=file), file, default_package=f"{package}.v1")
        contracts.setdefault(contract.package, contract)
    return contracts


def at_commit(repository: Repository, commit: str, package: str) -> Contracts:
    """The project's contracts in a commit; empty if it has none.

    A project that has moved since is recognised by its answers. Raises SchemaError for an invalid schema, and GitError
    if git fails.
    """
    here = _schemas_in(repository, commit, repository.prefix)
    if here:
        return read(here, package)
    for folder in _former_folders(repository, commit, package):
        elsewhere = _schemas_in(repository, commit, folder)
        if elsewhere:
            return read(elsewhere, package)
    return {}


def nearest_valid(repository: Repository, commit: str, package: str) -> tuple[str, Contracts]:
    """The newest commit whose schemas are valid, from this one back by first parents, and its contracts.

    A merge can leave invalid ones. Raises SchemaError of the commit itself if none of the last 50 is valid.
    """
    first_error: SchemaError | None = None
    for candidate in repository.ancestors(commit, 50):
        try:
            return candidate, at_commit(repository, candidate, package)
        except SchemaError as error:
            first_error = first_error or error
    if first_error is None:
        raise CompatError(f"git has no history of {commit[:12]}")
    raise first_error


def _schemas_in(repository: Repository, commit: str, folder: str) -> dict[str, str]:
    """The schemas of the project in that folder of a commit, by path in the project."""
    names = [SCHEMA, *_older_schemas(repository, commit, folder)]
    texts = {name: repository.read(commit, (PurePosixPath(folder) / name).as_posix()) for name in names}
    return {name: text for name, text in texts.items() if text is not None}


def _older_schemas(repository: Repository, commit: str, folder: str) -> list[str]:
    schemas = (PurePosixPath(folder) / project_schemas.FOLDER).as_posix()
    paths = (PurePosixPath(name) for name in repository.files(commit, schemas))
    return sorted(
        f"{project_schemas.FOLDER}/{path.name}"
        for path in paths
        if path.suffix == ".yaml" and path.parent.name == project_schemas.FOLDER
    )


def _former_folders(repository: Repository, commit: str, package: str) -> list[str]:
    """Folders that have the answers of a project with this Python package in the commit, but not on disk."""
    folders = []
    for path in map(PurePosixPath, repository.files(commit, "")):
        if path.name == answers.FILE and not (repository.root / path).exists():
            text = repository.read(commit, path.as_posix()) or ""
            if f"\npackage: {package}\n" in f"\n{text}\n":
                folders.append("" if path.parent == PurePosixPath() else path.parent.as_posix())
    return folders
