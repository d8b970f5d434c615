"""`protoserve fleet update`, killed: the next run leads to what a run that was left alone leads to."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from fleet_kills import kill_rounds
from fleet_projects import make_fleet
from small_template import make_three_releases


@pytest.mark.slow
def test_the_next_run_continues(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet", 2, make_three_releases)
    assert not list(kill_rounds(fleet, 3, seed=random.randrange(10**6)))
