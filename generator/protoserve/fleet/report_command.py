"""`protoserve fleet report`: joins the reports of all parts of a fleet into one."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from protoserve.fleet.selection import Shard
from protoserve.fleet.status import output
from protoserve.fleet.status.report import FleetReport, ProjectReport, row_of
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.printing import listed, write
from protoserve.platform.reading import read_text

_MAX_BYTES = 256 * 2**20
_REMEDY = "give the output of `protoserve fleet status --format json`"


class PartError(ProtoserveError):
    """Parts cannot be joined."""


def report(options: argparse.Namespace) -> int:
    """The exit code of `fleet status` for all parts together. Raises PartError and UnwritableError."""
    joined = join([(path, _load(path)) for path in options.parts])
    write(output.FORMATS[options.format](joined))
    return joined.exit_code


def join(parts: Sequence[tuple[Path, FleetReport]]) -> FleetReport:
    """One report of all parts, in the order of their numbers. Raises PartError unless they are all of one fleet."""
    first_path, first = parts[0]
    for path, part in parts[1:]:
        if part.fleet != first.fleet:
            raise PartError(f"{path} and {first_path} are of different fleets: select the same projects in all parts")
        if part.fail_on != first.fail_on:
            raise PartError(f"{path} and {first_path} have different --fail-on: give all parts the same")
    numbered = _numbered(parts)
    projects = [project for number in sorted(numbered) for project in numbered[number].projects]
    names = [(project.name, project.branch) for project in projects]
    if twice := sorted({name for name, branch in names if names.count((name, branch)) > 1}):
        raise PartError(f"more than one part has {listed(twice)}: give each part once")
    return FleetReport(tuple(projects), first.fail_on, first.fleet)


def _numbered(parts: Sequence[tuple[Path, FleetReport]]) -> dict[int, FleetReport]:
    """The parts by their numbers. Raises PartError if one is missing or given twice."""
    numbered: dict[int, FleetReport] = {}
    paths: dict[int, Path] = {}
    counts = set()
    for path, part in parts:
        shard = Shard.parse(part.shard) if part.shard else Shard(1, 1)
        counts.add(shard.count)
        if shard.number in numbered and len(counts) == 1:
            raise PartError(f"{paths[shard.number]} and {path} are the same part, {shard}: give each part once")
        numbered[shard.number], paths[shard.number] = part, path
    if len(counts) > 1:
        raise PartError(f"the parts are of {' and of '.join(map(str, sorted(counts)))} parts: run all with one number")
    (count,) = counts
    if missing := [f"{number}/{count}" for number in range(1, count + 1) if number not in numbered]:
        raise PartError(f"missing: the parts {listed(missing)}: give all parts of one run")
    return numbered


def _load(path: Path) -> FleetReport:
    """The report in a file. Raises PartError."""
    try:
        data = json.loads(read_text(path, most=_MAX_BYTES))
    except FileNotFoundError:
        raise PartError(f"{path} does not exist: {_REMEDY}") from None
    except (ValueError, RecursionError) as error:
        raise PartError(f"{path} is not JSON: {_REMEDY} ({error})") from None
    try:
        if data["shard"]:
            Shard.parse(data["shard"])
        projects = tuple(map(_project, data["projects"]))
        return FleetReport(projects, frozenset(map(str, data["fail_on"])), str(data["fleet"]), str(data["shard"]))
    except (KeyError, TypeError, ValueError, AttributeError):
        raise PartError(f"{path} is not the report of a fleet: {_REMEDY}") from None


def _project(data: Mapping[str, Any]) -> ProjectReport:
    rows = tuple(map(row_of, data["rows"]))
    texts = {name: str(data[name]) for name in ("owner", "branch", "commit", "template", "version", "diff")}
    labels = tuple(map(str, data["labels"]))
    return ProjectReport(str(data["project"]), rows, labels=labels, title=str(data["project_name"]), **texts)
