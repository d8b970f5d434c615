"""A project of a small template with three releases, in a bare repository, for fleets of few projects.

`fleet_projects.py` has fleets of as many projects as one likes, with drift of each kind.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from releases import Work, git
from small_releases import first, home, releases

__all__ = ["first", "home", "releases"]


@pytest.fixture
def bare(first: Work, tmp_path: Path) -> Callable[[str], Path]:
    """Makes a bare repository of one's own with that project."""

    def make(name: str = "iris.git") -> Path:
        path = tmp_path / name
        git(tmp_path, "clone", "--quiet", "--bare", "--no-local", str(first.path), str(path))
        return path

    return make


@pytest.fixture
def fleet_file(releases: Path, tmp_path: Path) -> Callable[..., Path]:
    """Writes fleet.yaml with these projects, which trusts that template."""

    def write(*projects: object) -> Path:
        path = tmp_path / "fleet.yaml"
        path.write_text(yaml.safe_dump({"templates": [str(releases)], "projects": [*projects]}), encoding="utf-8")
        return path

    return write
