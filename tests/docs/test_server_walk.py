"""Every file and function that the walk through the server names exists, and every module has its place there."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from support import ROOT

PAGE = (ROOT / "docs" / "server-walk.md").read_text(encoding="utf-8")
SERVER = ROOT / "template" / "src" / "{{package}}" / "server"
PLATFORMS = next(SERVER.glob("*platforms*"))
STEPS = re.findall(r"`([\w/]+\.py)`,\s+`(?![\w/]+\.py`)([\w.]+)`", PAGE)


def module(name: str) -> Path:
    """The template's file for a file of the server as a project has it."""
    folder, _, file = name.rpartition("/")
    return PLATFORMS / file if folder == "platforms" else SERVER / name


def definitions(path: Path) -> set[str]:
    """Functions, classes, methods and constants of a module: `Calls.unary`, `REFUSALS`."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        if isinstance(node, ast.ClassDef):
            names |= {f"{node.name}.{part.name}" for part in node.body if hasattr(part, "name")}
    return names


@pytest.mark.parametrize(("file", "name"), STEPS)
def test_every_function_of_the_walk_exists(file: str, name: str) -> None:
    assert name in definitions(module(file))


def test_both_walks_have_steps() -> None:
    request, _, sigterm = PAGE.partition("\n## One SIGTERM")
    for walk in (request.partition("\n## One request")[2], sigterm):
        assert len(re.findall(r"^\d+\. ", walk, re.MULTILINE)) >= 13


def test_every_file_of_the_server_is_in_the_tables() -> None:
    listed = set(re.findall(r"`([\w/]+\.py)`", PAGE.partition("## The files")[2].partition("\n## ")[0]))
    paths = [path for pattern in ("*.py", "core/*.py", "transports/**/*.py") for path in SERVER.glob(pattern)]
    files = {path.relative_to(SERVER).as_posix() for path in paths}
    files |= {path.name.removesuffix(".jinja") for path in SERVER.glob("*.py.jinja")}
    assert listed == {name for name in files if not name.endswith("__init__.py")}
