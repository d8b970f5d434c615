"""A project in which somebody works: it has an environment, so that its own commands can be run."""

from __future__ import annotations

import shutil

import pytest

from support import Project
from workplace import Workplace


@pytest.fixture(scope="session")
def workplace(iris: Project, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """The default project with its environment and without an artifact, in a folder with a space in its name."""
    path = tmp_path_factory.mktemp("work place") / "my iris"
    shutil.copytree(iris.path, path, ignore=shutil.ignore_patterns("__pycache__", "model.skops*"))
    work = Workplace(path)
    work.set_up()
    return work
