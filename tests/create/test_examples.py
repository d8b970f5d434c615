"""The projects in examples/ are what the template and the generator of this checkout make."""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from types import ModuleType

import pytest

from support import ROOT, Project

EXAMPLES = ROOT / "examples"
# What tools leave behind in a project that somebody tries out, and what `make model` writes.
LEFT_BEHIND = (
    "__pycache__",
    ".venv",
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    "*.egg-info",
    "last",
    "model.npz*",
    "model.skops*",
)


def regenerate() -> ModuleType:
    spec = importlib.util.spec_from_file_location("regenerate", EXAMPLES / "regenerate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["regenerate"] = module  # its dataclasses look for their module
    spec.loader.exec_module(module)
    return module


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["iris", "fraud"])
def test_an_example_is_what_the_template_and_the_generator_make(name: str, tmp_path: Path) -> None:
    script = regenerate()
    example = next(example for example in script.PROJECTS if example.name == name)
    script.create(example, tmp_path / "new")
    shutil.copytree(EXAMPLES / name, tmp_path / "committed", ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    new, committed = files(tmp_path / "new"), files(tmp_path / "committed")
    assert sorted(new) == sorted(committed)
    differing = [path for path in new if new[path] != committed[path]]
    assert differing == [], f"run {Path(sys.executable).name} examples/regenerate.py and commit what it writes"


def test_the_example_with_two_versions_serves_both(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES / "fraud", tmp_path / "fraud", ignore=shutil.ignore_patterns(*LEFT_BEHIND))
    project = Project(tmp_path / "fraud", "fraud")
    project.python("train.py")
    project.python("-m", "pytest", "-q", "tests/test_smoke.py")
