"""All contracts of a project compared with other ones, such as those of a git revision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from protoserve.compat import CompatError, project_contracts
from protoserve.compat.change import Break, Change
from protoserve.compat.compare import STABILITY_WITHDRAWN, compare
from protoserve.compat.project_contracts import Contracts
from protoserve.compat.rules.renames import unknown_renames
from protoserve.compat.unknown_revision import describe_unknown
from protoserve.platform import answers
from protoserve.platform.git import find_repository
from protoserve.schema.errors import SchemaError
from protoserve.schema.model import Contract, Where, without_places
from protoserve.schema.project_schemas import SCHEMA


@dataclass(frozen=True, slots=True)
class ContractChanges:
    """The changes of one contract, which its proto package identifies; `old` or `new` is None if one side lacks it."""

    package: str
    old: Contract | None
    new: Contract | None
    changes: tuple[Change, ...]

    @property
    def stable(self) -> bool:
        """Whether callers were promised stability: the old status counts, which they know."""
        return self.old is not None and self.old.status == "stable"

    @property
    def stability_withdrawn(self) -> bool:
        """Whether the contract was stable and is a draft again."""
        return any(change.rule == STABILITY_WITHDRAWN for change in self.changes)

    @property
    def file(self) -> str:
        """The contract's schema; schema.yaml for a contract that was removed."""
        return SCHEMA if self.new is None else self.new.file

    @property
    def breaking(self) -> tuple[Change, ...]:
        """The changes that break callers."""
        return tuple(change for change in self.changes if change.breaking)


@dataclass(frozen=True, slots=True)
class Comparison:
    """The changes of all contracts of a project. `since` describes the old ones for people."""

    contracts: tuple[ContractChanges, ...]
    since: str

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes; in another schema than schema.yaml a path begins with the file and a `#`."""
        return tuple(sorted(change for _, change in self.with_files()))

    def with_files(self) -> Iterator[tuple[str, Change]]:
        """All changes, each with the file that its `where` is in."""
        for item in self.contracts:
            for change in item.changes:
                path = change.path if item.file == SCHEMA else f"{item.file}#{change.path}"
                yield item.file, replace(change, path=path)

    @property
    def breaking(self) -> bool:
        return any(item.breaking for item in self.contracts)

    @property
    def stable_breaking(self) -> bool:
        """Whether a stable contract breaks, or becomes a draft, so that its next break would pass unnoticed."""
        return any(item.breaking or item.stability_withdrawn for item in self.contracts if item.stable)

    @property
    def verdict(self) -> str:
        return "breaking" if self.breaking else "compatible"


def compare_with_revision(project: Path, revision: str = "HEAD") -> Comparison:
    """Compares the project's schemas on disk with those of a git revision.

    Raises CompatError or GitError if there is nothing to compare with, SchemaError for an invalid schema on disk, and
    AnswersError for a folder that is not a project.
    """
    package = answers.read(project)["package"]
    new = project_contracts.on_disk(project, package)
    repository = find_repository(project)
    if repository is None:
        raise CompatError(f"{project.resolve()} is not in a git repository: there is no {revision} to compare with")
    commit = repository.commit(revision)
    if commit is None:
        if revision == "HEAD":
            raise CompatError("the repository has no commit yet: commit the project first")
        raise CompatError(describe_unknown(repository, revision))
    try:
        old = project_contracts.at_commit(repository, commit, package)
    except SchemaError as error:
        problem = str(error).splitlines()[0]
        raise CompatError(f"the contract of {revision} is not valid and cannot be compared with: {problem}") from None
    if not old:
        schema = repository.path_from_root(SCHEMA)
        raise CompatError(f"{revision} has no {schema}: there is no contract to compare with")
    return compare_contracts(old, new, revision)


def compare_contracts(old: Contracts, new: Contracts, since: str) -> Comparison:
    """Compares the contracts of each proto package."""
    return Comparison(tuple(_compare_package(name, old, new) for name in sorted({*old, *new})), since)


def _compare_package(package: str, old: Contracts, new: Contracts) -> ContractChanges:
    before, after = old.get(package), new.get(package)
    changes: tuple[Change, ...]
    if before is None:
        assert after is not None  # one of the two has the package
        changes = (
            Change("package", "package-added", (), f"the contract {package} is new", "", after.where("package")),
        )
    elif after is None:
        why = f"the contract {package} is gone: calls of its methods fail"
        remedy = f"keep it: `protoserve version` starts a new version beside {package}"
        place = next((item.where("package") for item in new.values() if item.file == SCHEMA), Where(1, 1, ""))
        changes = (Change("package", "package-removed", (Break.WIRE,), why, remedy, place),)
    else:
        equal = without_places(before) == without_places(after)
        others = [item for name, item in new.items() if name != package]
        renames = unknown_renames(before, after, others)
        changes = tuple(sorted((*(() if equal else compare(before, after)), *renames)))
    return ContractChanges(package, before, after, changes)
