"""What stands before `generate`: a contract that callers rely on does not break unless its author says so."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from protoserve.compat import dropped_versions, project_contracts
from protoserve.compat.baseline import Baseline, baseline
from protoserve.compat.change import Change
from protoserve.compat.compare import STABILITY_WITHDRAWN, compare
from protoserve.compat.main_branch import on_main
from protoserve.compat.missing_reservations import leftovers
from protoserve.compat.output import line
from protoserve.compat.project_contracts import Contracts
from protoserve.compat.rules.renames import RENAMED_FROM_NOTHING
from protoserve.compat.since_revision import Comparison, Evolution, between
from protoserve.platform.errors import ProtoserveError
from protoserve.schema import project_schemas as schemas
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.load import loads
from protoserve.schema.project_schemas import SCHEMA
from protoserve.schema.reserve import reserve

# What breaks nobody and is refused all the same: it would be the first half of a break in two commits.
_MOVED = {"field-renumbered", "value-renumbered"}


class Refused(ProtoserveError):
    """Breaking changes of a stable contract; the text says all there is to say."""

    def report(self) -> str:
        """The lines of the changes, which begin with their places, and the remedy."""
        return str(self)


@dataclass(frozen=True, slots=True)
class Passed:
    """`schemas` are the texts to generate from, by their path in the project: numbers and `reserved` are in them.

    `committed` says whether a commit has the contract.
    """

    schemas: dict[str, str]
    committed: bool


def gate(project: Path, package: str, *, accept: bool) -> Passed:
    """Compares the schemas on disk with the baseline; tells what breaks in drafts, and refuses it in stable contracts.

    Which status counts is the baseline's, since that is what callers were promised. Writes nothing. Raises Refused,
    and SchemaError for a schema that is not sound. A version that was dropped by command is not missed.
    """
    was = baseline(project, package)
    known = {name: contract for name, contract in was.contracts.items() if name not in dropped_versions.read(project)}
    texts = _numbered(schemas.read(project), known, package)
    found = between(known, project_contracts.read(texts, package), was.since) if known else None
    if was.told:
        print(f"protoserve: {was.told}", file=sys.stderr)
    if found is None:
        return Passed(texts, was.committed)
    _tell_renames(found)
    refused = {item.package: _refused(project, package, item, was.merging) for item in found.evolutions if item.stable}
    count = sum(map(len, refused.values()))
    if count and not accept:
        raise Refused(_refusal(found, refused, was))
    _tell_drafts(found)
    if count:
        texts = _with_leftovers(found, texts)
        print(f"protoserve: accepted: {_counted(count)} of a stable contract", file=sys.stderr)
    return Passed(texts, was.committed)


def _numbered(texts: dict[str, str], before: Contracts, package: str) -> dict[str, str]:
    """The texts with all numbers; what was renamed keeps the one that it had."""
    found = {}
    for file, text in texts.items():
        known = before.get(loads(text, file, default_package=f"{package}.v1").package)
        found[file] = numbered(text, file, known=known)
    return found


def _refused(project: Path, package: str, evolution: Evolution, merging: Contracts) -> list[Change]:
    """What a stable contract must not do.

    A number that never was on the main branch may still change, and what the branch that is being merged has done was
    settled there.
    """
    found = [change for change in evolution.changes if change.breaking or change.rule == STABILITY_WITHDRAWN]
    if any(change.rule in _MOVED for change in found):
        released = on_main(project, package, evolution.package)
        if released is not None:
            found = [change for change in found if change.rule not in _MOVED or change.path in released]
    theirs = merging.get(evolution.package)
    if evolution.new is None:
        return found if theirs is not None or not merging else []
    if theirs is not None:
        ours = {(change.path, change.rule) for change in compare(theirs, evolution.new)}
        found = [change for change in found if (change.path, change.rule) in ours]
    return found


def _refusal(found: Comparison, refused: dict[str, list[Change]], was: Baseline) -> str:
    lines = [
        line(evolution.file, change) for evolution in found.evolutions for change in refused.get(evolution.package, ())
    ]
    names = " and ".join(package for package, changes in refused.items() if changes)
    count = sum(map(len, refused.values()))
    lines.append(
        f"protoserve: nothing was written: {names} is stable since {was.since} or before, and {_counted(count)} of it. "
        "Ways out: what stands behind each line; a new version beside it, `protoserve version v2`; or, where no caller "
        "is left to break, `make generate ARGS=--accept-breaking`"
    )
    return "\n".join(lines)


def _counted(count: int) -> str:
    return "1 change breaks callers" if count == 1 else f"{count} changes break callers"


def _tell_drafts(found: Comparison) -> None:
    """Warns of what breaks in drafts: change by change, but for a new version, whose callers have the one before it.

    There the changes are what it was begun for, and would bury what the author has to write to carry callers over.
    """
    beside = sum(evolution.new is not None for evolution in found.evolutions) > 1
    for evolution in found.evolutions:
        if evolution.stable or not evolution.breaking:
            continue
        begun = beside and evolution.file == SCHEMA and evolution.new is not None
        for change in () if begun else evolution.breaking:
            print(f"warning: {line(evolution.file, change)}", file=sys.stderr)
        said = f"{_counted(len(evolution.breaking))} of {evolution.package} since {found.since}"
        where = " (`protoserve diff` or `make diff` names each)" if begun else ""
        print(f"protoserve: {said}{where}; it is a draft, and so they are written all the same", file=sys.stderr)


def _tell_renames(found: Comparison) -> None:
    for evolution in found.evolutions:
        for change in evolution.changes:
            if change.rule == RENAMED_FROM_NOTHING:
                print(f"warning: {line(evolution.file, change)}", file=sys.stderr)


def _with_leftovers(found: Comparison, texts: dict[str, str]) -> dict[str, str]:
    """The texts with `reserved` for what stable contracts lose; raises SchemaError where that cannot be written."""
    made = dict(texts)
    for item in found.evolutions:
        if item.stable and item.old is not None and item.new is not None:
            left = leftovers(item.old, item.new)
            made[item.new.file] = reserve(made[item.new.file], item.new.file, left)
            for owner, kept in left.items():
                gone = [*(str(low) for low, _ in kept.ranges), *kept.names]
                print(f"{item.new.file}: reserved in {owner}: {', '.join(gone)}", file=sys.stderr)
    return made
