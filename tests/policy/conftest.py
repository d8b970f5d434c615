"""A template whose second release has a policy, and a project of the first that breaks it."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest

from commands import run_copy
from policies import AUDITED
from releases import Work, commit, environment, git, release
from small_template import start_template
from support import made_once


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "home of policies", Path.mkdir)


@pytest.fixture(scope="session")
def team_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository; v1.0.0 allows everything, v2.0.0 has the policy AUDITED. No test writes into it."""
    return made_once(tmp_path_factory, "policies/models", _make_template)


def _make_template(folder: Path) -> None:
    start_template(folder, "x: float64 -> y: float64")
    (folder / "generator" / "renames.txt").write_text("", encoding="utf-8")
    for name in ("README.md", "Dockerfile", "src/{{package}}/server/transports/health.py"):
        (folder / "template" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "template" / name).write_text(f"one of {name}\n", encoding="utf-8")
    release(folder, "v1.0.0")
    (folder / "template" / "README.md").write_text("two\n", encoding="utf-8")
    release(folder, "v2.0.0", {"v2.0.0": AUDITED})


@pytest.fixture(scope="session")
def first(team_template: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project of v1.0.0 whose port v2.0.0 does not allow."""
    return Work(made_once(tmp_path_factory, "policies/iris", partial(_make_project, team_template, home)), home)


def _make_project(template: Path, home: Path, folder: Path) -> None:
    options = ("--quiet", "--trust", "--defaults", "--vcs-ref=v1.0.0", "--data=port=7000")
    command = ("copier", "copy", *options, template, folder)
    run_copy(*command, cwd=folder.parent, env=environment(home), copies_generator=True)
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "made")


@pytest.fixture
def work(first: Work, tmp_path: Path) -> Work:
    """Such a project of one's own."""
    shutil.copytree(first.path, tmp_path / "iris", symlinks=True)
    return Work(tmp_path / "iris", first.home)
