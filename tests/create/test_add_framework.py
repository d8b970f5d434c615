"""A framework is added by what docs/develop.md says of it, and by nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import guide
from conftest import FRAUD
from support import ROOT, create, run, tool


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with the framework of the page."""
    folder = tmp_path_factory.mktemp("source") / "protoserve"
    template, files = guide.extended(folder, guide.section("Add a framework"), "framework")
    assert files == ["framework.toml", "model.py.jinja", "train.py.jinja"]
    return template


@pytest.mark.slow
@pytest.mark.usefixtures("mypy_knows_libraries")
@pytest.mark.parametrize(
    ("schema", "artifact"),
    [
        ("tabular", "model.npy"),  # one model, of classes, from rows in a file
        # Two, of numbers, from rows that are made up.
        (FRAUD, "models.zip"),
    ],
    ids=["tabular", "fraud"],
)
def test_a_project_with_the_new_framework_trains_and_serves(
    extended: Path, tmp_path: Path, schema: str, artifact: str
) -> None:
    if schema is FRAUD:
        (tmp_path / "fraud.yaml").write_text(FRAUD, encoding="utf-8")
        schema = str(tmp_path / "fraud.yaml")
    answers = {"project_name": "Thing", "package": "thing", "framework": "nearest", "schema": schema}
    project = create(extended, tmp_path / "made", by_copier=True, **answers)
    run([tool("ruff"), "check", "--no-cache", "."], cwd=project.path)
    run([tool("ruff"), "format", "--no-cache", "--check", "."], cwd=project.path)
    project.python("-m", "mypy")
    project.python("train.py")
    assert (project.path / "artifacts" / artifact).is_file()
    project.python("-m", "pytest", "--quiet", "tests")


def test_the_page_names_every_block() -> None:
    section = guide.section("Add a framework")
    folder = ROOT / "generator" / "protoserve" / "seeds"
    cells = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    named = {word for cell in cells for word in re.findall(r"\w+", cell)}
    for name in ("base_model.py.jinja", "base_train.py.jinja"):
        text = (folder / name).read_text(encoding="utf-8")
        assert set(re.findall(r"{% block (\w+)", text)) <= named
