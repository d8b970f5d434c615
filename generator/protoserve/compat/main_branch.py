"""The contracts on the main branch, which callers may know while a branch still changes its own additions."""

from __future__ import annotations

from pathlib import Path

from protoserve.compat import CompatError, project_contracts
from protoserve.compat.project_contracts import Contracts
from protoserve.compat.unknown_revision import describe_unknown
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import Repository, find_repository
from protoserve.schema.model import Contract

# Remote branches come first: others have them too.
NAMES = ("origin/main", "origin/master", "main", "master")


def find_main_branch(repository: Repository) -> str:
    """The revision of the main branch. Raises CompatError if there is none."""
    for name in NAMES:
        if repository.commit(name) is not None:
            return name
    raise CompatError(f"none of the branches {', '.join(NAMES)} exists: name the main branch with --base REV")


def contracts_on_main(repository: Repository, revision: str, package: str) -> Contracts:
    """The contracts of the main branch's newest commit whose schemas are valid, since a merge may have broken the last.

    Raises ProtoserveError if there is no such revision, or none of its last commits is valid.
    """
    commit = repository.commit(revision)
    if commit is None:
        raise CompatError(describe_unknown(repository, revision))
    _, contracts = project_contracts.nearest_valid(repository, commit, package)
    return contracts


def paths_on_main(project: Path, package: str, proto_package: str) -> set[str] | None:
    """The paths of a contract's fields and values on the main branch, as in errors; None without a main branch."""
    try:
        repository = find_repository(project)
        if repository is None:
            return None
        contract = contracts_on_main(repository, find_main_branch(repository), package).get(proto_package)
    except ProtoserveError:
        return None
    return set() if contract is None else _paths(contract)


def _paths(contract: Contract) -> set[str]:
    fields = {item.where.path for message in contract.all_messages() for item in message.fields}
    return fields | {value.where.path for enum in contract.enums for value in enum.values}
