"""Fixtures of a small template with three releases, and a project of its first: a run makes them once.

It is the template of this checkout without most of its files, which take most of the time of an update.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from releases import Work, make_project
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
