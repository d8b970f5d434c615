"""Copies of a project of a small template with three releases, for tests to work in.

`whole` is a project of a template that has all files.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from releases import Work, make_project, make_template
from small_releases import first, home, releases
from support import made_once

__all__ = ["first", "home", "releases"]


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
