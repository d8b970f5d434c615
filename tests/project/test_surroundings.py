"""What stands around the server in a project: its tools find nothing, and its files agree with each other."""

from __future__ import annotations

import re
import shutil
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support import ROOT, Project, create, run

BIN = Path(sys.executable).parent

LINTERS = {
    "ruff check": ["ruff", "check", "--no-cache", "."],
    "ruff format": ["ruff", "format", "--no-cache", "--check", "."],
    "buf lint": ["buf", "lint"],
    "buf format": ["buf", "format", "--diff", "--exit-code"],
    "hadolint": ["hadolint", "Dockerfile"],
}


@pytest.fixture(params=["trained_iris", "fraud"], ids=["iris", "fraud"])
def project(request: pytest.FixtureRequest) -> Project:
    made: Project = request.getfixturevalue(request.param)
    return made


@pytest.mark.parametrize("command", LINTERS.values(), ids=LINTERS)
def test_a_linter_finds_nothing(project: Project, command: list[str]) -> None:
    run([BIN / command[0], *command[1:]], cwd=project.path, env=project.environment)


@pytest.mark.usefixtures("mypy_knows_libraries")
def test_mypy_finds_nothing(project: Project) -> None:
    project.python("-m", "mypy")


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
    needed = {line for line in generator.splitlines() if line and not line.startswith("#")}
    assert needed <= set(development.splitlines())


def test_the_lock_of_the_development_tools_is_up_to_date() -> None:
    """Each requirement of the tests has a pinned version in generator/requirements/dev.txt that it accepts."""
    folder = ROOT / "generator" / "requirements"
    pins: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([a-z0-9._-]+)==(\S+)", (folder / "dev.txt").read_text(encoding="utf-8"), re.M):
        pins.setdefault(name, []).append(version)
    for path in (folder / name for name in ("generate.in", "imports.in", "command.in", "dev.in")):
        for line in path.read_text(encoding="utf-8").splitlines():
            if line and not line.startswith("#"):
                requirement = Requirement(line)
                versions = pins.get(canonicalize_name(requirement.name), [])
                assert any(requirement.specifier.contains(version) for version in versions), f"lock {line} again"


def test_pre_commit_runs_the_tools_of_make_check(iris: Project) -> None:
    config = yaml.safe_load((iris.path / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    hooks = [hook["entry"] for repository in config["repos"] for hook in repository["hooks"]]
    recipe = (iris.path / "Makefile").read_text(encoding="utf-8").partition("\ncheck: ")[2].partition("\ntest: ")[0]
    commands = re.findall(r"^\t(?:\$\(if [^,]+,)?\$\(BIN\)/(.*?)(?: \$\(wildcard .*)?$", recipe, re.MULTILINE)
    simplified = [re.sub(r" (--check|--force-exclude|Dockerfile|\.)(?= |$)", "", command) for command in commands]
    assert [re.sub(r" --(check|force-exclude)$", "", hook.removeprefix(".venv/bin/")) for hook in hooks] == simplified


@pytest.mark.slow
def test_pre_commit_passes_on_a_fresh_project(iris: Project, tmp_path: Path) -> None:
    folder = tmp_path / "iris"
    shutil.copytree(iris.path, folder, ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "partial-*"))
    (folder / ".venv").symlink_to(sys.prefix)
    environment = {**iris.environment, "PRE_COMMIT_HOME": str(tmp_path / "pre-commit")}
    run(["git", "init", "--quiet"], cwd=folder)
    run(["git", "add", "--all"], cwd=folder)
    run([BIN / "pre-commit", "run", "--all-files"], cwd=folder, env=environment)


@pytest.mark.parametrize("workflow", ["protoserve's", "ci.yml", "template-update.yml"])
def test_workflows_pin_actions_and_may_only_read(workflow: str, iris: Project) -> None:
    path = (
        ROOT / ".github/workflows/ci.yml" if workflow == "protoserve's" else iris.path / ".github/workflows" / workflow
    )
    text = path.read_text(encoding="utf-8")
    uses = re.findall(r"uses: (.*)", text)
    assert uses
    assert all(re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", action) for action in uses)
    only = {} if workflow == "template-update.yml" else {"contents": "read"}
    assert yaml.safe_load(text)["permissions"] == only
    ours = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert set(uses) <= set(re.findall(r"uses: (.*)", ours)), "one version of each action, here and in projects"


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


SEAL = """\
import pathlib
from iris.server.artifact import read_seal, seal

path = pathlib.Path("model\\n# sealed by train.py\\n\\\\.bin")
path.write_bytes(b"model")
seal(path, "numpy")
print(read_seal(path).script)
"""


def test_the_name_of_a_model_file_is_a_name_in_its_seal(iris: Project, tmp_path: Path) -> None:
    """As `sha256sum` writes and reads it, whatever the name says."""
    sealed = run([sys.executable, "-c", SEAL], cwd=tmp_path, env=iris.environment)
    assert sealed.stdout == "\n", "sealed by hand, which the name does not change"
    (seal,) = tmp_path.glob("*.sha256")
    run(["sha256sum", "--check", "--strict", seal.name], cwd=tmp_path)
