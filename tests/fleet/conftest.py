"""A project of a small template with three releases, in a bare repository, for fleets of few projects.

The template and the project are those of the tests of updates, so that a run makes them once. `fleet_projects.py` has
fleets of as many projects as one likes, with drift of each kind.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import yaml

from releases import Work, git, make_project
from small_template import make_three_releases
from support import made_once


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose caches all these projects share."""
    return made_once(tmp_path_factory, "home", Path.mkdir)


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of the template; no test writes into it."""
    return made_once(tmp_path_factory, "few", make_three_releases) / "models"


@pytest.fixture(scope="session")
def first(releases: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project of v1.0.0, in a repository that no test writes into."""
    make = partial(make_project, releases, tag="v1.0.0", home=home)
    return Work(made_once(tmp_path_factory, "first/iris", make), home)


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
