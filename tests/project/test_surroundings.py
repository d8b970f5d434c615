"""What stands around the server in a project: its tools find nothing, and its files agree with each other."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from support import ROOT, Project, create, run

BIN = Path(sys.executable).parent

LINTERS = {
    "ruff check": ["ruff", "check", "--no-cache", "."],
    "ruff format": ["ruff", "format", "--no-cache", "--check", "."],
    "buf lint": ["buf", "lint"],
    "buf format": ["buf", "format", "--diff", "--exit-code"],
    "hadolint": ["hadolint", "Dockerfile"],
}


@pytest.fixture(params=["iris", "fraud"])
def project(request: pytest.FixtureRequest) -> Project:
    made: Project = request.getfixturevalue(request.param)
    return made


@pytest.mark.parametrize("command", LINTERS.values(), ids=LINTERS)
def test_a_linter_finds_nothing(project: Project, command: list[str]) -> None:
    run([BIN / command[0], *command[1:]], cwd=project.path, env=project.environment)


def test_mypy_finds_nothing(project: Project) -> None:
    project.python("-m", "mypy")


def test_the_server_is_small_enough_to_be_read_in_one_sitting(iris: Project) -> None:
    files = (iris.path / "src" / "iris" / "server").glob("*.py")
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) <= 700


def test_generate_has_nothing_to_do(project: Project) -> None:
    done = project.python("scripts/generate.py", "--check")
    assert done.stdout == ""


def test_the_projects_own_tests_pass(project: Project) -> None:
    project.python("-m", "pytest", "-p", "no:cacheprovider")


def test_the_readme_gives_every_target_of_make(iris: Project) -> None:
    targets = re.findall(r"^([a-z-]+):.*## ", (iris.path / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    rows = re.findall(r"^\| `make ([a-z-]+)` ", (iris.path / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted({*targets} - {"help"})


def test_the_generators_pins_are_the_development_environments() -> None:
    """`make generate` then runs in .venv, without another environment being made for it."""
    generator = (ROOT / "generator" / "requirements" / "generate.in").read_text(encoding="utf-8")
    development = (ROOT / "template" / "requirements" / "dev.txt").read_text(encoding="utf-8")
    needed = {line for line in generator.splitlines() if line and not line.startswith(("#", "jinja2"))}
    assert needed <= set(development.splitlines())


def test_answers_with_characters_that_mean_something_elsewhere(template: Path, tmp_path: Path) -> None:
    name, description = 'A "b" \\ $c', 'It "costs" $5 \\ ${HOME} ünïcode `x` # no comment'
    project = create(template, tmp_path / "odd", project_name=name, package="odd", description=description)
    metadata = tomllib.loads((project.path / "pyproject.toml").read_text(encoding="utf-8"))
    assert metadata["project"]["description"] == description
    dockerfile = (project.path / "Dockerfile").read_text(encoding="utf-8")
    label = re.search(r'image\.description="((?:[^"\\]|\\.)*)"', dockerfile)
    assert label is not None
    assert re.sub(r"\\(.)", r"\1", label[1]) == description
    run([BIN / "hadolint", "Dockerfile"], cwd=project.path)
    run([BIN / "ruff", "check", "--no-cache", "."], cwd=project.path)
