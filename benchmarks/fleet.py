"""`protoserve fleet` over 200 projects, against shell loops over the same projects, and killed at random moments.

    .venv/bin/python benchmarks/fleet.py                                        # all of it, about an hour
    .venv/bin/python benchmarks/fleet.py --projects 48 --parts status --loop 10 # a small part of it

The projects are in bare repositories and follow three releases of a template made from this checkout, with drift of
each kind (`tests/fleet_projects.py`). The parts:

- `status`: `fleet status` the first time, the second time, and its memory; a shell loop of `protoserve status` over
  clones; and whether the status reports all that was planted, and nothing else.
- `update`: `fleet update --push`; a shell loop of `copier update` over clones; and whether the tree of each branch is
  that which a lone `protoserve update` makes.
- `kills`: `fleet update --push` is killed at random moments and run again, which must lead to the same branches as a
  run that was not killed, and leave nothing else behind.

A loop over all projects takes many minutes. `--loop 20` goes through a sample of them only, with as many of each
release in proportion; its time is multiplied, and the table says so. Clones are made beforehand and their time is not
counted for the loops, though fetching counts for the fleet. On a machine that does other things, too, CPU time says
more than wall time; the fleet uses all cores, and a loop one.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from process_tree import Run, measure

from fleet_kills import branches, kill_rounds
from fleet_projects import NEWEST, Fleet, Planted, make_fleet
from releases import COMMANDS, commit, environment, git

PARTS = ("status", "update", "kills")
KILLED_PROJECTS = 10
CONFLICTS = 3
_BRANCH = f"protoserve/{NEWEST}"


@dataclass(frozen=True)
class Measure:
    """A row of the result: what was measured, and the goal. `met` is None where there is no goal."""

    name: str
    value: float
    unit: str
    goal: str = ""
    met: bool | None = None
    note: str = ""


def main() -> int:
    options = _options()
    measures: list[Measure] = []

    def report(measure: Measure) -> None:
        measures.append(measure)
        _say(_line(measure))  # at once, since the rest may take long

    with _folder(options.folder) as folder:
        run = Benchmark(options, folder, report)
        for part in options.parts:
            getattr(run, part)()
    if options.json:
        print(json.dumps([asdict(measure) for measure in measures], indent=2))
    else:
        print("\n".join(map(_line, measures)))
    return 1 if any(measure.met is False for measure in measures) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("--projects", type=int, default=200, help="how many projects; default: %(default)s")
    add("--parts", type=_parts, default=PARTS, help=f"what to measure; default: {','.join(PARTS)}")
    add("--loop", type=int, default=0, help="how many projects the shell loops go through; default: all")
    add("--kills", type=int, default=50, help="how often the update is killed; default: %(default)s")
    add("--killed-projects", type=int, default=KILLED_PROJECTS, help="of how many projects; default: %(default)s")
    add("--seed", type=int, default=random.randrange(10**6), help="of the sample and of the moments of the kills")
    add("--json", action="store_true", help="print JSON instead of a table")
    add("--folder", type=Path, help="where to work, a new folder that is kept; default: a temporary one")
    return parser.parse_args()


def _parts(text: str) -> Sequence[str]:
    parts = text.split(",")
    if unknown := set(parts) - {*PARTS}:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} must be of {', '.join(PARTS)}")
    return parts


@contextmanager
def _folder(kept: Path | None) -> Iterator[Path]:
    if kept is not None:
        kept.mkdir(parents=True)
        yield kept.resolve()
        return
    with tempfile.TemporaryDirectory(prefix="protoserve-benchmark-") as temporary:
        yield Path(temporary).resolve()


class Benchmark:
    """The parts. Those that need the fleet share it; it is made for the first."""

    def __init__(self, options: argparse.Namespace, folder: Path, report: Callable[[Measure], None]) -> None:
        self.options = options
        self.folder = folder
        self.report = report
        _say(f"seed {options.seed}")

    @cached_property
    def fleet(self) -> Fleet:
        """The projects."""
        _say(f"making {self.options.projects} projects in {self.folder}")
        return make_fleet(self.folder / "fleet", self.options.projects)

    @cached_property
    def known(self) -> list[Planted]:
        """The projects that a lone command can be called for; no loop executes a foreign template."""
        return [project for project in self.fleet.projects if not project.kind.unknown]

    @cached_property
    def sample(self) -> list[Planted]:
        """The projects of the shell loops: all, or as many of each release in proportion."""
        if not 0 < self.options.loop < len(self.known):
            return self.known
        mixed = random.Random(self.options.seed).sample(self.known, len(self.known))
        ordered = sorted(mixed, key=lambda project: project.release)
        step = len(ordered) / self.options.loop
        return [ordered[int(index * step)] for index in range(self.options.loop)]

    # --- the parts

    def status(self) -> None:
        """The first and the second run, memory, the loop, and what was reported."""
        command = [COMMANDS / "protoserve", "fleet", "status", self.fleet.file, "--format", "json"]
        loop, first = self._against_loop("protoserve status --format json", "fleet status, first run", command)
        second = self._measure("fleet status, second run", command)
        self._clear_cache()
        with_memory = self._measure("fleet status with memory", command, memory=True)
        scale = self.options.projects / 200
        self._at_most("fleet status, first run", first.seconds, "s", 60 * scale, f"{first.cpu_seconds:.1f} s of CPU")
        self._at_most("fleet status, second run", second.seconds, "s", 3, f"{second.cpu_seconds:.1f} s of CPU")
        self._at_most("fleet status, peak memory", with_memory.peak_bytes / 2**20, "MB", 500)
        self._ratios("protoserve status, shell loop", loop, "fleet status", first)
        missed = _differences(self.fleet, json.loads(first.output))
        for line in missed:
            _say(line)
        self._at_most("drift missed or false", len(missed), "projects", 0)
        changed = json.loads(first.output) != json.loads(second.output)
        self._at_most("second run reports something else", int(changed), "runs", 0)
        self._at_most("foreign template executed", int(self.fleet.trace.exists()), "times", 0)

    def update(self) -> None:
        """The loop and the fleet, then each tree."""
        command = [COMMANDS / "protoserve", "fleet", "update", self.fleet.file, "--push"]
        loop, updated = self._against_loop("copier update --trust --defaults --quiet", "fleet update", command)
        self.report(Measure("fleet update", updated.seconds, "s", note=f"{updated.cpu_seconds:.1f} s of CPU"))
        self._ratios("copier update, shell loop", loop, "fleet update", updated, at_least=4)
        wrong = list(self._wrong_trees())
        for line in wrong:
            _say(line)
        self._at_most("trees unlike a lone update's", len(wrong), "projects", 0, f"of {len(self.sample)} compared")
        self._at_most("foreign template executed", int(self.fleet.trace.exists()), "times", 0)

    def kills(self) -> None:
        """Rounds of a killed run and a whole one."""
        fleet = make_fleet(self.folder / "killed", self.options.killed_projects)
        failures = 0
        for failure in kill_rounds(fleet, self.options.kills, self.options.seed, say=_say):
            failures += 1
            _say(failure)
        self._at_most("left wrong by a kill", failures, "rounds", 0, f"of {self.options.kills}")

    # --- measuring

    def _measure(self, name: str, command: Sequence[str | Path], *, memory: bool = False) -> Run:
        _say(name)
        run = measure(command, cwd=self.fleet.folder, env=environment(self.fleet.home), memory=memory)
        if run.exit_code not in (0, 1, 2, 3) or b"Traceback" in run.errors:
            raise SystemExit(f"{name} exited {run.exit_code}: {run.errors.decode(errors='replace')}")
        return run

    def _against_loop(self, looped: str, name: str, command: Sequence[str | Path]) -> tuple[Run, Run]:
        """A loop over clones of the sample, in proportion to all projects, and the command.

        The command runs between two halves of the loop, so that what else the machine does slows both.
        """
        with tempfile.TemporaryDirectory(prefix="clones-", dir=self.folder) as temporary:
            clones = Path(temporary)
            for project in self.sample:
                git(clones, "clone", "--quiet", project.url, f"{project.number:04}")
            before = self._loop(looped, clones, self.sample[::2])
            run = self._measure(name, command)
            after = self._loop(looped, clones, self.sample[1::2])
        factor = len(self.known) / len(self.sample)
        seconds, cpu_seconds = before.seconds + after.seconds, before.cpu_seconds + after.cpu_seconds
        return replace(before, seconds=seconds * factor, cpu_seconds=cpu_seconds * factor), run

    def _loop(self, looped: str, clones: Path, projects: Sequence[Planted]) -> Run:
        _say(f"shell loop of {looped}")
        folders = [str(Path(f"{project.number:04}", project.folder)) for project in projects]
        script = f'for folder; do (cd "$folder" && {looped}) </dev/null >>loop.out 2>&1; done'
        return measure(["sh", "-c", script, "loop", *folders], cwd=clones, env=environment(self.fleet.home))

    def _ratios(self, loop_name: str, loop: Run, name: str, fleet: Run, *, at_least: float = 0) -> None:
        measured, known = len(self.sample), len(self.known)
        note = f"{known} projects" if measured == known else f"{measured} of {known} projects, time scaled"
        self.report(Measure(loop_name, loop.seconds, "s", note=f"{loop.cpu_seconds:.1f} s of CPU; {note}"))
        ratio = loop.seconds / fleet.seconds
        goal, met = (f"at least {at_least:g}", ratio >= at_least) if at_least else ("", None)
        self.report(Measure(f"{name}, times as fast as the loop", ratio, "", goal, met))
        self.report(Measure(f"{name}, CPU time of the loop by its own", loop.cpu_seconds / fleet.cpu_seconds, ""))

    def _at_most(self, name: str, value: float, unit: str, most: float, note: str = "") -> None:
        self.report(Measure(name, value, unit, f"at most {most:g}", value <= most, note))

    def _clear_cache(self) -> None:
        shutil.rmtree(self.fleet.home / "cache" / "protoserve" / "fleet", ignore_errors=True)

    def _wrong_trees(self) -> Iterator[str]:
        """Projects of the sample whose branch differs from what a lone update makes."""
        clones = self.folder / "lone"
        clones.mkdir()
        env = environment(self.fleet.home)
        for project in self.sample:
            clone = clones / f"{project.number:04}"
            git(clones, "clone", "--quiet", project.url, str(clone))
            lone = measure([COMMANDS / "protoserve", "update"], cwd=clone / project.folder, env=env)
            pushed = branches(project)
            if (lone.exit_code == CONFLICTS) != project.kind.conflicts:
                yield f"{project.where}: a lone update exited {lone.exit_code}"
            if lone.exit_code != 0 or not git(clone, "status", "--porcelain"):
                if pushed:
                    yield f"{project.where}: {', '.join(pushed)}, but a lone update makes nothing to commit"
                continue
            commit(clone, "updated")
            tree = git(clone, "rev-parse", "HEAD^{tree}").strip()
            if list(pushed.values()) != [tree] or not all(name.startswith(_BRANCH) for name in pushed):
                yield f"{project.where}: {pushed or 'no branch'}, but a lone update makes {tree}"


def _differences(fleet: Fleet, status: dict[str, Any]) -> list[str]:
    """A line for what a fleet's status says of a project and was not planted, or the other way round."""
    reported = {project["project"]: project for project in status["projects"]}
    lines = []
    for project in fleet.projects:
        found = reported.pop(project.name, None)
        if found is None:
            lines.append(f"{project.where}: missing")
            continue
        if found["verdict"] != project.verdict:
            lines.append(f"{project.where}: {found['verdict']}, not {project.verdict}")
        lines += project.differences(found["rows"])
    return lines + [f"{name}: not in the fleet" for name in reported]


def _line(measured: Measure) -> str:
    met = {True: "met", False: "MISSED", None: ""}[measured.met]
    value = f"{measured.value:.2f}" if isinstance(measured.value, float) else str(measured.value)
    line = f"{measured.name:<48} {value:>10} {measured.unit:<9} {measured.goal:<14} {met:<7} {measured.note}"
    return line.rstrip()


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
