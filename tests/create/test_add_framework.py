"""A framework is added by what docs/develop.md says of it, and by nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import FRAUD
from support import ROOT, copy_template, create, run, tool


@pytest.fixture(scope="module")
def section() -> str:
    """The section of the page."""
    page = (ROOT / "docs" / "develop.md").read_text(encoding="utf-8")
    found = re.search(r"^## Add a framework\n(.*?)^## ", page, re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.fixture(scope="module")
def extended(section: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with the framework of the page: the files that it names, and the line that it gives."""
    template = copy_template(tmp_path_factory.mktemp("source") / "protoserve")
    files = re.findall(r"^`([^`\n]+)`:\n\n```\w+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [Path(name).name for name, _ in files] == ["framework.toml", "model.py.jinja", "train.py.jinja"]
    for name, content in files:
        path = template / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(content, encoding="utf-8")
    (line,) = re.findall(r"^```yaml\n(.*)\n```$", section, re.MULTILINE)
    questions = template / "copier.yml"
    framework = re.compile(r"(^framework:\n(?:  .*\n)*?  choices:\n)", re.MULTILINE)
    text, count = framework.subn(rf"\1{line}\n", questions.read_text(encoding="utf-8"))
    assert count == 1
    questions.write_text(text, encoding="utf-8")
    return template


@pytest.mark.parametrize(
    ("schema", "artifact"),
    [
        ("tabular", "model.npy"),  # one model, of classes, from rows in a file
        (FRAUD, "models.zip"),  # two, of numbers, from rows that are made up
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
    project = create(extended, tmp_path / "made", **answers)
    run([tool("ruff"), "check", "--no-cache", "."], cwd=project.path)
    run([tool("ruff"), "format", "--no-cache", "--check", "."], cwd=project.path)
    project.python("-m", "mypy")
    project.python("train.py")
    assert (project.path / "artifacts" / artifact).is_file()
    project.python("-m", "pytest", "--quiet", "tests")


def test_the_page_names_every_block(section: str) -> None:
    folder = ROOT / "generator" / "protoserve" / "frameworks"
    cells = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    named = {word for cell in cells for word in re.findall(r"\w+", cell)}
    for name in ("base_model.py.jinja", "base_train.py.jinja"):
        text = (folder / name).read_text(encoding="utf-8")
        assert set(re.findall(r"{% block (\w+)", text)) <= named
