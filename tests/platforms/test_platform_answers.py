"""Platforms as an answer that changes: what an update adds, takes away and leaves."""

from __future__ import annotations

import os
import shlex
import shutil
from pathlib import Path

import copier
import pytest

from support import Project, copy_template, create, run

pytestmark = pytest.mark.slow

DEPLOY = "deploy/kubernetes"


def git(folder: Path, *commands: str) -> str:
    """What the last of the commands prints."""
    author = {f"GIT_{who}_{what}": "t@e" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    done = [run(["git", *shlex.split(command)], cwd=folder, env=os.environ | author) for command in commands]
    return done[-1].stdout


@pytest.fixture(scope="module")
def released(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = copy_template(tmp_path_factory.mktemp("released") / "protoserve")
    git(folder, "init --quiet", "add --all", "commit --quiet --message=release", "tag v1.0.0")
    return folder


@pytest.fixture
def project(released: Path, tmp_path: Path) -> Project:
    made = create(released, tmp_path / "iris", framework="python")
    git(made.path, "init --quiet", "add --all", "commit --quiet --message=new")
    return made


def update(project: Project, platforms: list[str]) -> set[str]:
    """The files that an update with these platforms changed; they are committed."""
    data = {"platforms": platforms}
    copier.run_update(str(project.path), data=data, defaults=True, unsafe=True, overwrite=True, quiet=True)
    changed = git(project.path, "add --all", "diff --cached --name-status --no-renames")
    git(project.path, "commit --quiet --message=update")
    return set(changed.splitlines())


def test_without_a_platform_there_is_nothing_of_one(project: Project) -> None:
    assert not (project.path / "deploy").exists()
    for name in ("Makefile", "README.md", ".github/workflows/ci.yml"):
        text = (project.path / name).read_text(encoding="utf-8")
        assert "kubernetes" not in text.lower().replace("kubernetes can see that it is not root", ""), name


def test_added_edited_taken_away_and_added_again(project: Project, capfd: pytest.CaptureFixture[str]) -> None:
    # The author has a file there already, of which the template knows nothing.
    own = project.path / DEPLOY / "base" / "mine.yaml"
    own.parent.mkdir(parents=True)
    own.write_text("mine\n", encoding="utf-8")
    git(project.path, "add --all", "commit --quiet --message=mine")
    added = update(project, ["kubernetes"])
    assert {"M\t.copier-answers.yml", f"A\t{DEPLOY}/base/deployment.yaml", f"A\t{DEPLOY}/kubernetes.mk"} <= added
    beyond = {line for line in added if DEPLOY not in line}
    assert beyond == {"M\t.copier-answers.yml", "M\t.github/workflows/ci.yml", "M\tREADME.md"}

    # The author edits a file of the template, and adds an overlay.
    deployment = project.path / DEPLOY / "base/deployment.yaml"
    original = deployment.read_text(encoding="utf-8")
    deployment.write_text(original.replace('cpu: "1"', 'cpu: "2"'), encoding="utf-8")
    overlays = project.path / DEPLOY / "overlays"
    shutil.copytree(overlays / "dev", overlays / "staging")
    git(project.path, "add --all", "commit --quiet --message=mine")
    # An answer that changes something else leaves both.
    copier.run_update(str(project.path), data={"port": 9100}, defaults=True, unsafe=True, overwrite=True, quiet=True)
    assert 'cpu: "2"' in deployment.read_text(encoding="utf-8")
    assert "containerPort: 9100" in deployment.read_text(encoding="utf-8")
    git(project.path, "add --all", "commit --quiet --message=port")

    # Taken away: the template's files go, all but the edited one, which is a conflict; the author's own stay.
    update(project, [])
    left = {path for path in (project.path / "deploy").rglob("*") if path.is_file()}
    assert left == {own, overlays / "staging" / "kustomization.yaml", deployment}
    assert "base/deployment.yaml: you edited it, and the template no longer has it" in capfd.readouterr().err
    git(project.path, f"rm --quiet {DEPLOY}/base/deployment.yaml", "commit --quiet --message=gone")

    # Added again it is as new.
    assert {line for line in update(project, ["kubernetes"]) if DEPLOY in line} == {
        line for line in added if DEPLOY in line
    }
    assert deployment.read_text(encoding="utf-8") == original.replace("9000", "9100")
