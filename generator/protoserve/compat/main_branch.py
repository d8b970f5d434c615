"""What is on the main branch: the fields and values that callers may know, where a branch has some of its own."""

from __future__ import annotations

from pathlib import Path

from protoserve.compat import EvolveError, project_contracts
from protoserve.compat.project_contracts import Contracts
from protoserve.compat.revisions import unknown
from protoserve.platform.git import GitError, Repository, find_repository
from protoserve.schema.errors import SchemaError
from protoserve.schema.model import Contract

# In the order in which they are asked; what a remote has is what others have.
NAMES = ("origin/main", "origin/master", "main", "master")


def find(repository: Repository) -> str:
    """The revision that stands for the main branch; raises EvolveError where there is none."""
    for name in NAMES:
        if repository.commit(name) is not None:
            return name
    raise EvolveError(f"there is no branch {', '.join(NAMES)} here: name the main branch with --base REV")


def released(repository: Repository, revision: str, package: str) -> Contracts:
    """The contracts of the main branch; of its newest commit that is sound, since a merge may have broken the last.

    Raises EvolveError and GitError, and SchemaError where none of the last commits is sound.
    """
    commit = repository.commit(revision)
    if commit is None:
        raise EvolveError(unknown(repository, revision))
    _, found = project_contracts.nearest_sound(repository, commit, package)
    return found


def on_main(project: Path, package: str, contract: str) -> set[str] | None:
    """The paths of fields and values of a contract on the main branch; None where git knows no main branch."""
    try:
        repository = find_repository(project)
        if repository is None:
            return None
        found = released(repository, find(repository), package).get(contract)
    except (EvolveError, GitError, SchemaError):
        return None
    return set() if found is None else paths(found)


def paths(contract: Contract) -> set[str]:
    """The paths of all fields and values, as they stand in errors."""
    fields = {item.where.path for message in contract.all_messages() for item in message.fields}
    return fields | {value.where.path for enum in contract.enums for value in enum.values}
