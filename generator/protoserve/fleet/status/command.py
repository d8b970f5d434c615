"""`protoserve fleet status`: from its arguments to a report."""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path

from protoserve.fleet import fleet_file
from protoserve.fleet.generators import Generators
from protoserve.fleet.mirrors import Mirror, MirrorError, mirrors
from protoserve.fleet.model import Fleet, Project
from protoserve.fleet.progress import Progress
from protoserve.fleet.selection import Selection, SelectionError, Shard
from protoserve.fleet.status import output
from protoserve.fleet.status.cache import ReportCache
from protoserve.fleet.status.judging import Judge, judging_worker, unreachable
from protoserve.fleet.status.report import FleetReport, ProjectReport
from protoserve.fleet.template_lookup import TemplateLookup, listed_versions
from protoserve.platform import interrupts
from protoserve.platform.git import set_environment
from protoserve.platform.printing import write

Mirrors = Mapping[str, Mirror | MirrorError]


def status(options: argparse.Namespace) -> int:
    """Exit code 0 if all rows that count of all projects are as they should be; 1 if one is not; 2 if one is unknown.

    Raises FleetFileError, SelectionError and UnwritableError.
    """
    set_environment()
    return interrupts.stoppable(lambda: _status(options), "no project was changed")


def _status(options: argparse.Namespace) -> int:
    fleet = fleet_file.load(options.fleet)
    projects, shard = selected(fleet, options)
    with interrupts.scratch_folder():
        reports = _reports(fleet, shard)
    report = FleetReport(reports, options.fail_on, _identity(projects), options.shard or "")
    write(output.FORMATS[options.format](report))
    return report.exit_code


def selected(fleet: Fleet, options: argparse.Namespace) -> tuple[list[Project], list[Project]]:
    """The projects that the options --only and --label select, and those of them that --shard takes.

    Raises SelectionError.
    """
    projects = Selection(tuple(options.only), tuple(options.label)).of(fleet)
    if options.shard is None:
        return projects, projects
    try:
        shard = Shard.parse(options.shard)
    except ValueError as error:
        raise SelectionError(f"--shard {error}") from None
    return projects, [project for project in projects if shard.has(project)]


def _identity(projects: Sequence[Project]) -> str:
    """Identifies projects, so that parts of different fleets are not joined."""
    lines = "\n".join(f"{project.name} {project.branch}" for project in projects)
    return hashlib.sha256(lines.encode("utf-8", "surrogateescape")).hexdigest()[:24]


def _reports(fleet: Fleet, projects: Sequence[Project]) -> tuple[ProjectReport, ...]:
    addresses = list(dict.fromkeys(project.address for project in projects))
    with ThreadPoolExecutor(1) as pool, Progress("fetching", len(addresses)) as progress:
        listing = pool.submit(listed_versions, fleet.templates)
        fetched = mirrors(addresses, lambda _: progress.advance())
        versions = listing.result()
    kept = ReportCache.of(versions)
    reports: dict[Project, ProjectReport] = {}
    waiting: dict[Project, Mirror] = {}
    for project in projects:
        mirror = fetched[project.address]
        if isinstance(mirror, MirrorError):
            reports[project] = unreachable(project, mirror)
        elif (report := kept.report(project, mirror)) is not None:
            reports[project] = report
        else:
            waiting[project] = mirror
    if waiting:
        with tempfile.TemporaryDirectory(prefix="protoserve-versions-", ignore_cleanup_errors=True) as scratch:
            reports |= _judged(waiting, TemplateLookup(versions, Path(scratch)), kept)
    return tuple(reports[project] for project in projects)


def _judged(
    waiting: Mapping[Project, Mirror], lookup: TemplateLookup, kept: ReportCache
) -> dict[Project, ProjectReport]:
    """The reports of projects that have to be judged, several at once."""
    with _judge(lookup) as judge, Progress("judging", len(waiting)) as progress:

        def one(project: Project) -> ProjectReport:
            judged = judge.judge(project, waiting[project])
            kept.keep(project, waiting[project], judged)
            progress.advance()
            return judged.report

        return dict(zip(waiting, _in_threads(one, list(waiting)), strict=True))


@contextmanager
def _judge(lookup: TemplateLookup) -> Iterator[Judge]:
    """What judges projects, with its processes, which end with the block."""
    with Generators() as generators:
        worker = judging_worker()
        try:
            yield Judge(lookup, generators, worker)
        finally:
            if worker is not None:
                worker.close()


def _in_threads(work: Callable[[Project], ProjectReport], projects: Sequence[Project]) -> list[ProjectReport]:
    """Does the work for each project, for as many at once as this process may use processors."""
    with ThreadPoolExecutor(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None) as pool:
        futures = [pool.submit(work, project) for project in projects]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [future.result() for future in futures]
