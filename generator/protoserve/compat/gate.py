"""The gate before `generate`: a stable contract does not break its callers unless the author says so."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from protoserve.compat import dropped_versions, project_contracts
from protoserve.compat.baseline import Baseline, baseline
from protoserve.compat.change import Change
from protoserve.compat.compare import STABILITY_WITHDRAWN, compare
from protoserve.compat.main_branch import paths_on_main
from protoserve.compat.missing_reservations import leftovers
from protoserve.compat.output import line
from protoserve.compat.project_comparison import Comparison, ContractChanges, compare_contracts
from protoserve.compat.project_contracts import Contracts
from protoserve.compat.rules.renames import RENAMED_FROM_NOTHING
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.plain_text import visible
from protoserve.schema import project_schemas
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.load import loads
from protoserve.schema.project_schemas import SCHEMA
from protoserve.schema.reserve import reserve

_NUMBER_RULES = {"field-renumbered", "value-renumbered"}


class RefusedError(ProtoserveError):
    """Breaking changes of a stable contract: a line for each, and then the ways out."""

    def report(self) -> str:
        """The text alone: its lines begin with the places of the changes."""
        return visible(str(self))


@dataclass(frozen=True, slots=True)
class Passed:
    """The schemas to generate from, by path in the project, with all numbers and `reserved` filled in.

    `committed` says whether the baseline is a commit.
    """

    schemas: dict[str, str]
    committed: bool


def gate(project: Path, package: str, *, accept: bool) -> Passed:
    """Compares the schemas on disk with the baseline, warns of breaks in drafts, and refuses them in stable contracts.

    The baseline's status counts, since that is what callers were promised. Versions that were dropped by command are
    not missed. Writes nothing. Raises RefusedError, and SchemaError for an invalid schema.
    """
    known = baseline(project, package)
    dropped = dropped_versions.read(project)
    old = {name: contract for name, contract in known.contracts.items() if name not in dropped}
    schemas = _numbered(project_schemas.read(project), old, package)
    if known.warning:
        print(f"protoserve: {known.warning}", file=sys.stderr)
    if not old:
        return Passed(schemas, known.committed)
    comparison = compare_contracts(old, project_contracts.read(schemas, package), known.since)
    _warn_of_unknown_renames(comparison)
    refused = {
        item.package: _refused_changes(project, package, item, known.merging)
        for item in comparison.contracts
        if item.stable
    }
    count = sum(map(len, refused.values()))
    if count and not accept:
        raise RefusedError(_refusal(comparison, refused, known))
    if known.committed:  # a draft that was never committed has no callers
        _warn_of_breaking_drafts(comparison)
    if count:
        schemas = _with_reservations(comparison, schemas)
        print(f"protoserve: accepted: {_count(count)} of a stable contract", file=sys.stderr)
    return Passed(schemas, known.committed)


def _numbered(schemas: dict[str, str], old: Contracts, package: str) -> dict[str, str]:
    """The schemas with all numbers; a renamed field keeps its old one."""
    result = {}
    for file, text in schemas.items():
        contract = loads(text, file, default_package=f"{package}.v1")
        result[file] = numbered(text, file, known=old.get(contract.package))
    return result


def _refused_changes(project: Path, package: str, item: ContractChanges, merging: Contracts) -> list[Change]:
    """The changes that a stable contract must not make.

    Withdrawing stability breaks nobody by itself, but would let the next commit break them. A number that never was on
    the main branch may still change, and changes of the branch that is being merged were settled there.
    """
    changes = [change for change in item.changes if change.breaking or change.rule == STABILITY_WITHDRAWN]
    if any(change.rule in _NUMBER_RULES for change in changes):
        on_main = paths_on_main(project, package, item.package)
        if on_main is not None:
            changes = [change for change in changes if change.rule not in _NUMBER_RULES or change.path in on_main]
    theirs = merging.get(item.package)
    if item.new is None:
        return changes if theirs is not None or not merging else []
    if theirs is not None:
        ours = {(change.path, change.rule) for change in compare(theirs, item.new)}
        changes = [change for change in changes if (change.path, change.rule) in ours]
    return changes


def _refusal(comparison: Comparison, refused: dict[str, list[Change]], known: Baseline) -> str:
    lines = [line(item.file, change) for item in comparison.contracts for change in refused.get(item.package, ())]
    names = " and ".join(package for package, changes in refused.items() if changes)
    count = sum(map(len, refused.values()))
    lines.append(
        f"protoserve: nothing was written: {names} is stable since {known.since} or before, and {_count(count)} of it. "
        "Do what each line says; or start a new version beside it, `protoserve version v2`; or, if no caller is left "
        "to break, run `make generate ARGS=--accept-breaking`"
    )
    return "\n".join(lines)


def _count(count: int) -> str:
    return "1 change breaks callers" if count == 1 else f"{count} changes break callers"


def _warn_of_breaking_drafts(comparison: Comparison) -> None:
    """Lists what breaks in drafts.

    For a new version beside an older one only the count is printed: its callers have the older version, and the list
    would bury what the author has to write to upgrade their requests.
    """
    several = sum(item.new is not None for item in comparison.contracts) > 1
    for item in comparison.contracts:
        if item.stable or not item.breaking:
            continue
        is_new_version = several and item.file == SCHEMA and item.new is not None
        if not is_new_version:
            for change in item.breaking:
                print(f"warning: {line(item.file, change)}", file=sys.stderr)
        details = " (`protoserve diff` or `make diff` lists them)" if is_new_version else ""
        summary = f"{_count(len(item.breaking))} of {item.package} since {comparison.since}{details}"
        print(f"protoserve: {summary}; it is a draft, so its files are written anyway", file=sys.stderr)


def _warn_of_unknown_renames(comparison: Comparison) -> None:
    for item in comparison.contracts:
        for change in item.changes:
            if change.rule == RENAMED_FROM_NOTHING:
                print(f"warning: {line(item.file, change)}", file=sys.stderr)


def _with_reservations(comparison: Comparison, schemas: dict[str, str]) -> dict[str, str]:
    """The schemas with `reserved` for what stable contracts lose. Raises SchemaError if it cannot be written."""
    result = dict(schemas)
    for item in comparison.contracts:
        if item.stable and item.old is not None and item.new is not None:
            file, missing = item.new.file, leftovers(item.old, item.new)
            result[file] = reserve(result[file], file, missing)
            for owner, reserved in missing.items():
                names = [*(str(low) for low, _ in reserved.ranges), *reserved.names]
                print(f"{file}: reserved in {owner}: {', '.join(names)}", file=sys.stderr)
    return result
