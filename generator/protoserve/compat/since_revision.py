"""The contracts of a project against those of a git revision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from protoserve.compat import EvolveError, project_contracts
from protoserve.compat.change import Break, Change
from protoserve.compat.compare import STABILITY_WITHDRAWN, compare
from protoserve.compat.project_contracts import Contracts
from protoserve.compat.revisions import unknown
from protoserve.compat.rules.renames import unknown_renames
from protoserve.platform import answers
from protoserve.platform.git import find_repository
from protoserve.schema.errors import SchemaError
from protoserve.schema.model import Contract, Where, without_places
from protoserve.schema.project_schemas import SCHEMA


@dataclass(frozen=True, slots=True)
class Evolution:
    """One contract, matched by its proto package: `old` or `new` is None where it is there on one side only.

    `changes` have paths within the schema, as its errors have.
    """

    package: str
    old: Contract | None
    new: Contract | None
    changes: tuple[Change, ...]

    @property
    def withdrawn(self) -> bool:
        """Whether it was stable, and is a draft again."""
        return any(change.rule == STABILITY_WITHDRAWN for change in self.changes)

    @property
    def stable(self) -> bool:
        """Whether callers were promised stability: what counts is the contract that they know."""
        return self.old is not None and self.old.status == "stable"

    @property
    def file(self) -> str:
        """The schema on disk; for a contract that is gone the one that took its place."""
        return SCHEMA if self.new is None else self.new.file

    @property
    def breaking(self) -> tuple[Change, ...]:
        return tuple(change for change in self.changes if change.breaking)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What changed in a project's contracts. `since` says since when, for people."""

    evolutions: tuple[Evolution, ...]
    since: str

    @property
    def changes(self) -> tuple[Change, ...]:
        """All changes; the path of one in another schema than schema.yaml begins with the file and a `#`."""
        return tuple(sorted(change for _, change in self.placed()))

    def placed(self) -> Iterator[tuple[str, Change]]:
        """All changes, each with the file of its `where`."""
        for evolution in self.evolutions:
            for change in evolution.changes:
                path = change.path if evolution.file == SCHEMA else f"{evolution.file}#{change.path}"
                moved = Change(path, change.rule, change.breaks, change.why, change.remedy, change.where)
                yield evolution.file, moved

    @property
    def breaking(self) -> bool:
        return any(evolution.breaking for evolution in self.evolutions)

    @property
    def stable_breaking(self) -> bool:
        """Whether a contract that was stable breaks, or is stable no more: what breaks it next would go unseen."""
        return any(evolution.breaking or evolution.withdrawn for evolution in self.evolutions if evolution.stable)

    @property
    def verdict(self) -> str:
        return "breaking" if self.breaking else "compatible"


def between(old: Contracts, new: Contracts, since: str) -> Comparison:
    """Matches contracts by package and compares each."""
    found = []
    for package in sorted({*old, *new}):
        before, after = old.get(package), new.get(package)
        if before is not None and after is not None:
            same = without_places(before) == without_places(after)
            changes = () if same else compare(before, after)
            others = [item for name, item in new.items() if name != package]
            changes = tuple(sorted((*changes, *unknown_renames(before, after, others))))
        elif before is not None:
            why = f"the contract {package} is gone: no call of its methods is found"
            remedy = f"keep it: `protoserve version` starts a new version and leaves {package} beside it"
            place = next((item.where("package") for item in new.values() if item.file == SCHEMA), Where(1, 1, ""))
            changes = (Change("package", "package-removed", (Break.WIRE,), why, remedy, place),)
        else:
            assert after is not None  # one of the two has the package
            why = f"the contract {package} is new"
            changes = (Change("package", "package-added", (), why, "", after.where("package")),)
        found.append(Evolution(package, before, after, changes))
    return Comparison(tuple(found), since)


def against(project: Path, revision: str = "HEAD") -> Comparison:
    """The project's schemas as they lie on disk against those of a git revision.

    Raises EvolveError and GitError where there is nothing to compare with, SchemaError for a schema on disk that is not
    sound, and answers.AnswersError for a folder that is no project.
    """
    package = answers.read(project)["package"]
    now = project_contracts.on_disk(project, package)
    repository = find_repository(project)
    if repository is None:
        raise EvolveError(f"{project.resolve()} is in no git repository, so there is no {revision} to compare with")
    commit = repository.commit(revision)
    if commit is None:
        if revision == "HEAD":
            raise EvolveError("the repository has no commit yet: commit the project, and compare from then on")
        raise EvolveError(unknown(repository, revision))
    try:
        then = project_contracts.at_revision(repository, commit, package)
    except SchemaError as error:
        problem = str(error).splitlines()[0]
        raise EvolveError(f"the contract of {revision} is not sound, and cannot be compared with: {problem}") from None
    if not then:
        raise EvolveError(
            f"{revision} has no {repository.path_from_root(SCHEMA)}: there is no contract to compare with"
        )
    return between(then, now, revision)
