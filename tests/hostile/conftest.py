"""A project of a small template, and a project made by hand, for attacks on the commands that are called in them."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from adopt.handmade import GREETER
from releases import Work, commit, git, make_project
from small_template import make_two_releases
from support import made_once


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template's repository, with tags v1.0.0 and v2.0.0."""
    return made_once(tmp_path_factory, "small", make_two_releases) / "models"


@pytest.fixture(scope="session")
def sound(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project of v1.0.0; no test writes into it."""
    home = made_once(tmp_path_factory, "home", Path.mkdir)
    make = partial(make_project, template, tag="v1.0.0", home=home)
    return Work(made_once(tmp_path_factory, "hostile/iris", make), home)


@pytest.fixture
def work(sound: Work, tmp_path: Path) -> Work:
    """A copy of it."""
    shutil.copytree(sound.path, tmp_path / "iris", symlinks=True)
    return Work(tmp_path / "iris", sound.home)


@pytest.fixture
def by_hand(tmp_path: Path) -> Path:
    """A project that was made by hand, committed."""
    folder = tmp_path / "greeter"
    for name, text in GREETER.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "made")
    return folder
