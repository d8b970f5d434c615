"""`protoserve fleet update`: from its arguments to a report."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from protoserve.fleet import fleet_file
from protoserve.fleet.mirrors import Mirror, MirrorError, mirror, mirrors
from protoserve.fleet.model import Fleet, Project
from protoserve.fleet.progress import Progress
from protoserve.fleet.selection import Selection, SelectionError, Shard
from protoserve.fleet.update import output
from protoserve.fleet.update.branches import require_identity
from protoserve.fleet.update.check import Check
from protoserve.fleet.update.planning import Plan, Planner, Template
from protoserve.fleet.update.publishing import Publisher
from protoserve.fleet.update.report import Result, UpdateReport
from protoserve.fleet.update.rollout import PACKAGES, SETUP, Rollout, planned
from protoserve.fleet.update.run_folder import processes_lock, run_folder
from protoserve.fleet.update.worker import SETTINGS
from protoserve.fleet.workers import Worker, WorkerError
from protoserve.platform import interrupts
from protoserve.platform.git import set_environment
from protoserve.platform.printing import write
from protoserve.project.update.template_checkouts import Checkouts
from protoserve.project.update.template_versions import Versions

CANARY = "canary"
_Item = TypeVar("_Item")
_Made = TypeVar("_Made")


def update(options: argparse.Namespace) -> int:
    """Exit code 0 if all is done, 1 if a project has failed or was refused, 3 if one waits for a person.

    Raises FleetFileError, SelectionError, IdentityError, RunningError and UnwritableError.
    """
    environment = dict(os.environ)  # for commands of the user and of projects, with the user's own settings
    set_environment()
    outcome = "every branch is complete or was not made; run the command again to continue"
    return interrupts.stoppable(lambda: _update(options, environment), outcome)


def _update(options: argparse.Namespace, environment: Mapping[str, str]) -> int:
    fleet = fleet_file.load(options.fleet)
    projects = selected(fleet, options)
    if not options.dry_run:
        require_identity()
    with run_folder() as place:
        report = UpdateReport(_results(fleet, projects, options, place, environment), options.dry_run)
    write(output.FORMATS[options.format](report))
    return report.exit_code


def selected(fleet: Fleet, options: argparse.Namespace) -> list[Project]:
    """The projects that the options select: canaries first, then in the order of the fleet, at most `--limit`, and of
    these the part of `--shard`. Raises SelectionError."""
    projects = Selection(tuple(options.only), tuple(options.label)).of(fleet)
    projects.sort(key=lambda project: CANARY not in project.labels)
    projects = projects[: options.limit]
    if options.shard is None:
        return projects
    try:
        shard = Shard.parse(options.shard)
    except ValueError as error:
        raise SelectionError(f"--shard {error}") from None
    return [project for project in projects if shard.has(project)]


def _results(
    fleet: Fleet, projects: Sequence[Project], options: argparse.Namespace, place: Path, environment: Mapping[str, str]
) -> list[Result]:
    addresses = list(dict.fromkeys(project.address for project in projects))
    with ThreadPoolExecutor(1) as pool, Progress("fetching", len(addresses)) as progress:
        fetching = pool.submit(_templates, fleet, place)
        fetched = mirrors(addresses, lambda _: progress.advance())
        templates = fetching.result()
    planner = Planner(templates, options.to, tuple(options.set))
    plans = _in_threads(lambda project: planned(planner, project, fetched[project.address]), projects)
    checked = options.check
    waiting = [plan for plan in plans if isinstance(plan, Plan) and plan.is_waiting(checked=checked)]
    logs = place / "logs"
    shutil.rmtree(logs, ignore_errors=True)  # of an earlier run
    with _worker(templates, waiting, place) as worker, Progress("updating", len(projects)) as progress:
        rollout = Rollout(
            worker,
            Publisher(options.push, options.push_option, options.open, environment),
            Check(environment, logs) if options.check else None,
            options.keep_conflicts,
            options.dry_run,
        )

        def one(plan: Plan | Result) -> Result:
            result = plan if isinstance(plan, Result) else rollout.result(plan)
            progress.advance()
            return result

        return _in_threads(one, plans, rollout.stop)


def _templates(fleet: Fleet, place: Path) -> dict[str, Template | str]:
    """The templates of the fleet; for one that cannot be read, the reason."""
    found: dict[str, Template | str] = {}
    for source in fleet.templates:
        try:
            repository = mirror(source, whole=True)
        except MirrorError as error:
            found[source] = str(error)
            continue
        folder = place / "templates" / repository.folder.stem
        folder.mkdir(parents=True, exist_ok=True)
        found[source] = Template(source, _versions(repository), Checkouts(repository.folder, folder))
    return found


def _versions(repository: Mirror) -> Versions:
    references = repository.references

    def named(prefix: str) -> dict[str, str]:
        names = [name for name in references if name.startswith(prefix) and not name.endswith("^{}")]
        return {name.removeprefix(prefix): references.get(f"{name}^{{}}", references[name]) for name in names}

    return Versions(references.get("HEAD", ""), named("refs/tags/"), named("refs/heads/"))


@contextmanager
def _worker(templates: Mapping[str, Template | str], plans: Sequence[Plan], place: Path) -> Iterator[Worker | None]:
    """The worker for these updates; None where there can be none, or nothing is to do."""
    known = {source: template for source, template in templates.items() if isinstance(template, Template)}
    settings = {
        "lock": str(processes_lock(place)),
        "compiled": str(place / "compiled"),
        "templates": {
            source: [str(template.checkouts.git_dir), str(template.checkouts.folder)]
            for source, template in known.items()
        },
        "targets": sorted({(plan.template.source, plan.made.template) for plan in plans}),
    }
    Path(tempfile.gettempdir(), SETTINGS).write_text(json.dumps(settings), encoding="utf-8")
    worker = None
    if plans:
        try:
            worker = Worker(PACKAGES, SETUP)
        except WorkerError:
            worker = None
    try:
        yield worker
    finally:
        if worker is not None:
            worker.close()


def _in_threads(
    work: Callable[[_Item], _Made], items: Sequence[_Item], stop: Callable[[], None] = lambda: None
) -> list[_Made]:
    """Does the work for each item, for as many at once as this process may use processors.

    `stop` is called when this is interrupted, and lets the work that has begun end soon.
    """
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
    with ThreadPoolExecutor(count) as pool:
        try:
            return list(pool.map(work, items))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            stop()
            raise
