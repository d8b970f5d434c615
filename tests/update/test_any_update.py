"""Whatever an author did and whatever a release brings: an update loses nothing, and reports what it did truly."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from random_updates import Plan, Step, random_plan, shorter
from small_template import make_small_project, make_small_template
from update_properties import COPIER, COPIER_REJECTING, PROTOSERVE, Bench


@pytest.fixture(scope="module")
def bench(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    folder = tmp_path_factory.mktemp("any update")
    template = make_small_template(folder / "template")
    return Bench(template, make_small_project(template, folder / "project", home), folder)


def hold(bench: Bench, plan: Plan, program: str = PROTOSERVE) -> None:
    """Fails with the shortest plan that shows the first fault, if this one shows any."""
    faults = bench.faults(plan, program)
    if not faults:
        return
    kind = _kind(faults[0])
    candidates = iter(shorter(plan))
    while (candidate := next(candidates, None)) is not None:
        found = [fault for fault in bench.faults(candidate, program) if _kind(fault) == kind]
        if found:
            plan, faults, candidates = candidate, found, iter(shorter(candidate))
    pytest.fail("\n".join([f"{program} update", str(plan), *faults]), pytrace=False)


def _kind(fault: str) -> str:
    return re.sub(r"[^:]*: |\[.*|100\d+", "", fault)[:40]


FOUND = Plan(
    (
        # Only the template's new version is binary: Copier took back its own merge, and left the author's.
        Step("empty", "src/part0.py", 0),
        # Only the author's is binary, and the template gave it another name.
        Step("NUL", "src/part1.py", 1),
        # A file that the author had removed, in favour of a folder, came back under its new name.
        Step("folder", "config/old/one.ini", 4),
    ),
    (Step("NUL", "src/part0.py", 2), Step("rename", "src/part1.py", 3), Step("rename folder", "config/old/two.ini", 5)),
)
# Bare Copier replaced a file that git ignores, and removed one.
REPLACED = Plan((Step("untrack", "Makefile", 0),), (Step("insert", "README.md", 1),))
REMOVED = Plan((Step("untrack", "notes", 0),), (Step("remove", "notes", 1),))
# Edits that were merged under the new name, or by their bytes, waited as rejected ones, too.
REJECTED = Plan(
    (Step("replace half", "src/part1.py", 0), Step("Latin-1", "notes", 1), Step("replace half", "notes", 2)),
    (Step("replace half", "src/part1.py", 0), Step("rename", "src/part1.py", 1), Step("replace half", "notes", 2)),
)


def test_an_update_loses_nothing(bench: Bench) -> None:
    hold(bench, FOUND)


@pytest.mark.parametrize(
    "plan", [pytest.param(REPLACED, id="replaced"), pytest.param(REMOVED, id="removed", marks=pytest.mark.slow)]
)
def test_bare_copier_loses_nothing(bench: Bench, plan: Plan) -> None:
    hold(bench, plan, COPIER)


# Each has about thirty steps in as many files.
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(502, 517))
def test_an_update_loses_nothing_of_more(bench: Bench, seed: int) -> None:
    hold(bench, random_plan(seed))


@pytest.mark.slow
@pytest.mark.parametrize("program", [COPIER, COPIER_REJECTING])
@pytest.mark.parametrize("seed", range(601, 605))
def test_bare_copier_loses_nothing_of_more(bench: Bench, program: str, seed: int) -> None:
    hold(bench, random_plan(seed), program)


@pytest.mark.slow
def test_merged_edits_are_not_rejected_ones(bench: Bench) -> None:
    hold(bench, REJECTED, COPIER_REJECTING)
