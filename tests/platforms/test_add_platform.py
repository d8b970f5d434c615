"""A platform is added by what docs/develop.md says of it, and by nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import guide
from support import ROOT, create
from workplace import Workplace


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template with the platform of the page."""
    folder = tmp_path_factory.mktemp("source") / "protoserve"
    template, files = guide.extended(folder, guide.section("Add a platform"), "platforms")
    assert files == ["service.yaml.jinja", "cloud-run.mk"]
    return template


def test_a_project_with_the_new_platform_has_its_files_and_targets(extended: Path, tmp_path: Path) -> None:
    answers = {"package": "fraud_scores", "framework": "python", "port": 9100}
    project = create(extended, tmp_path / "made", alone=True, platforms=["cloud-run"], **answers)
    deploy = project.path / "deploy"
    assert {path.relative_to(deploy).as_posix() for path in deploy.rglob("*") if path.is_file()} == {
        "cloud-run/service.yaml",
        "cloud-run/cloud-run.mk",
    }
    service = yaml.safe_load((deploy / "cloud-run" / "service.yaml").read_text(encoding="utf-8"))
    assert service["metadata"]["name"] == "fraud-scores"
    (container,) = service["spec"]["template"]["spec"]["containers"]
    assert container["ports"] == [{"name": "h2c", "containerPort": 9100}]
    assert "make cloud-run    deploy to Cloud Run" in Workplace(project.path).make().stdout


def test_it_is_not_there_when_another_was_chosen(extended: Path, tmp_path: Path) -> None:
    project = create(extended, tmp_path / "made", alone=True, platforms=["kubernetes"])
    assert [path.name for path in (project.path / "deploy").iterdir()] == ["kubernetes"]


@pytest.mark.parametrize("name", ["vertex-ai", "kubernetes"])
def test_a_platform_has_what_the_page_asks_for(name: str) -> None:
    """Its choice, its page with a row in the table, its folder, and its page in the index."""
    questions = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    assert name in questions["platforms"]["choices"].values()
    assert set(questions["platforms"]["choices"].values()) == {"vertex-ai", "kubernetes"}
    assert (ROOT / "template" / "deploy" / f"{{{{ '{name}' if '{name}' in platforms else '' }}}}").is_dir()
    table = (ROOT / "docs" / "platforms" / "README.md").read_text(encoding="utf-8")
    assert re.search(rf"^\| `{name}` \|.*\({name}\.md\) \|$", table, re.MULTILINE)
