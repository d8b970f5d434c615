"""Stubs in a company's own namespace, beside the company's own library of that name."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from support import Project, run
from workplace import Workplace


def company(folder: Path) -> Path:
    """A library `acme` as a company would have it: a regular package, with a module of its own."""
    package = folder / "acme"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("NAME = 'the company'\n", encoding="utf-8")
    (package / "tools.py").write_text("ANSWER = 42\n", encoding="utf-8")
    (folder / "pyproject.toml").write_text('[project]\nname = "acme"\nversion = "1.0"\n', encoding="utf-8")
    return folder


SOURCE = """
import acme, acme.tools
from fraud import contract
from acme.fraud.v1 import prediction_pb2 as pb
import acme.tools
print(acme.NAME, acme.tools.ANSWER, pb.ScoreRequest.DESCRIPTOR.full_name)
"""


@pytest.mark.parametrize("first", ["company", "project"])
def test_neither_hides_the_other_whichever_is_first_on_the_path(fraud: Project, tmp_path: Path, first: str) -> None:
    folders = [str(company(tmp_path)), str(fraud.path / "src")]
    path = os.pathsep.join(folders if first == "company" else reversed(folders))
    done = fraud.python("-c", SOURCE, env={"PYTHONPATH": path})
    assert done.stdout == "the company 42 acme.fraud.v1.ScoreRequest\n"


@pytest.mark.slow
def test_a_project_works_with_the_library_installed(fraud: Project, tmp_path: Path) -> None:
    shutil.copytree(fraud.path, tmp_path / "fraud", ignore=shutil.ignore_patterns("__pycache__"))
    work = Workplace(tmp_path / "fraud")
    work.set_up()
    python = str(work.path / ".venv/bin/python")
    run([python, "-m", "pip", "install", "--quiet", company(tmp_path / "company")], cwd=tmp_path)
    assert run([python, "-c", SOURCE], cwd=tmp_path).stdout == "the company 42 acme.fraud.v1.ScoreRequest\n"
    work.make("check")
