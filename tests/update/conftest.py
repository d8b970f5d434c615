"""A template with three releases, and a project of its first; tests work in copies of that.

It is the template of this checkout without most of its files, which take most of the time of an update; `whole` is a
project of one that has them all.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from releases import Work, make_project, make_template
from small_template import make_three_releases
from support import made_once


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose caches all these projects share."""
    return made_once(tmp_path_factory, "home", Path.mkdir)


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of that template; no test writes into it."""
    return made_once(tmp_path_factory, "few", make_three_releases) / "models"


@pytest.fixture(scope="session")
def first(releases: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project of v1.0.0."""
    make = partial(make_project, releases, tag="v1.0.0", home=home)
    return Work(made_once(tmp_path_factory, "first/iris", make), home)


@pytest.fixture(scope="session")
def whole(home: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The same of the whole template."""
    template = made_once(tmp_path_factory, "models", make_template)
    make = partial(make_project, template, tag="v1.0.0", home=home)
    return Work(made_once(tmp_path_factory, "whole/iris", make), home)


@pytest.fixture
def copied(first: Work, tmp_path: Path) -> Callable[..., Work]:
    """Makes a copy of that project under a name, or of another one."""

    def copy(name: str = "iris", of: Work = first) -> Work:
        shutil.copytree(of.path, tmp_path / name, symlinks=True)
        return Work(tmp_path / name, of.home)

    return copy


@pytest.fixture
def fork(releases: Path, tmp_path: Path) -> Callable[[Work], Path]:
    """Gives a project a copy of the template's repository, to which a test may add what it likes."""

    def make(work: Work) -> Path:
        template = tmp_path / "fork"
        shutil.copytree(releases, template, symlinks=True)
        work.edit(".copier-answers.yml", f"_src_path: {releases}\n", f"_src_path: {template}\n")
        work.commit("another template")
        return template

    return make


@pytest.fixture
def work(copied: Callable[..., Work]) -> Work:
    """A project of v1.0.0 of one's own."""
    return copied()
