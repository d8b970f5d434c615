"""One template with three releases, and one project of its first; tests work in copies of that."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from releases import Work, make_project
from support import made_once


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Whose caches all these projects share."""
    return made_once(tmp_path_factory, "home", Path.mkdir)


@pytest.fixture(scope="session")
def first(releases: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project of v1.0.0."""

    def make(folder: Path) -> None:
        make_project(releases, folder, "v1.0.0", home)

    return Work(made_once(tmp_path_factory, "first/iris", make), home)


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
