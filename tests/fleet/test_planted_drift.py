"""The fleet that benchmarks and tests look at is what it says: a lone `protoserve status` agrees about each project."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from fleet_projects import KINDS, Fleet, Planted, make_fleet
from releases import Work, git
from small_template import make_three_releases


@pytest.mark.slow
def test_each_kind_is_what_a_lone_status_reports(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet", len(KINDS), make_three_releases)
    known = [project for project in fleet.projects if not project.kind.unknown]
    assert len(known) == len(KINDS) - 3
    with ThreadPoolExecutor(max_workers=2) as pool:
        for wrong in pool.map(lambda project: differences(fleet, project), known):
            assert not wrong


def differences(fleet: Fleet, project: Planted) -> list[str]:
    """Where a lone status of a clone of the project differs from what is planted."""
    clone = fleet.folder / "clones" / f"{project.number:04}"
    git(fleet.folder, "clone", "--quiet", project.url, str(clone))
    done = Work(clone / project.folder, fleet.home).status("--format", "json", check=False)
    return project.differences(json.loads(done.stdout)["rows"])
