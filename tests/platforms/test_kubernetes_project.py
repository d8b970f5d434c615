"""What somebody does in a project with the platform Kubernetes: its own checks, and `make kubernetes`."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
import yaml

from platforms.manifests import faults, kubectl
from support import create, run, tool
from workplace import Workplace

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kubernetes")]


def test_the_project_passes_its_own_checks(slow_project: Workplace) -> None:
    assert " passed" in slow_project.make("check").stdout


@pytest.mark.usefixtures("mypy_knows_libraries")
def test_with_both_platforms_it_passes_them_too(template: Path, tmp_path: Path) -> None:
    """In the environment of the tests, which holds what both need."""
    project = create(template, tmp_path / "both", framework="python", platforms=["vertex-ai", "kubernetes"])
    assert {path.name for path in (project.path / "deploy").iterdir()} == {"vertex-ai", "kubernetes"}
    project.python("train.py")
    run([tool("ruff"), "check", "--no-cache", "."], cwd=project.path)
    run([tool("ruff"), "format", "--no-cache", "--check", "."], cwd=project.path)
    project.python("-m", "mypy")
    project.python("-m", "pytest", "--quiet", "tests")


def test_make_kubernetes_renders_and_checks_every_overlay(slow_project: Workplace) -> None:
    kubectl()
    done = slow_project.make("kubernetes")
    names = ["dev", "production"]
    assert done.stdout.splitlines() == [f"build/kubernetes/{name}.yaml: all keys and types are valid" for name in names]
    for name in names:
        text = (slow_project.path / f"build/kubernetes/{name}.yaml").read_text(encoding="utf-8")
        assert faults(list(yaml.safe_load_all(text))) == []
    assert "make kubernetes" in slow_project.make().stdout


@pytest.fixture
def broken(slow_project: Workplace, tmp_path: Path) -> Workplace:
    """A copy whose overlays can be written to; it has the environment of the first."""
    kubectl()
    copied = tmp_path / "slow"
    shutil.copytree(slow_project.path, copied, ignore=shutil.ignore_patterns(".venv", "build"))
    (copied / ".venv").symlink_to(slow_project.path / ".venv")
    return Workplace(copied)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("requests:", "request:", "'request' was unexpected"),
        ("count: 1", "count: two", "cannot unmarshal string"),
        ("../../base", "../../bass", "bass"),
        ("images:\n  - name: slow", "images:\n  - name: slower", "dev sets no tag"),
    ],
)
def test_make_kubernetes_says_what_is_wrong(broken: Workplace, old: str, new: str, said: str) -> None:
    overlay = broken.path / "deploy/kubernetes/overlays/dev/kustomization.yaml"
    text = overlay.read_text(encoding="utf-8")
    assert old in text
    overlay.write_text(text.replace(old, new), encoding="utf-8")
    done = broken.make("kubernetes", check=False)
    assert done.returncode != 0
    assert said in done.stdout + done.stderr
    assert "dev.yaml: all keys" not in done.stdout


def test_make_kubernetes_takes_the_version_of_the_cluster(broken: Workplace) -> None:
    done = broken.make("kubernetes", "KUBERNETES_VERSION=1.25")
    assert done.stdout.count("all keys and types are valid") == 2
    done = broken.make("kubernetes", "KUBERNETES_VERSION=9.1", check=False)
    assert done.returncode != 0
    assert re.search(r"^KUBERNETES_VERSION=9.1 has no schemas: use 1.25 to 1\.\d+$", done.stderr, re.MULTILINE)
    assert done.stdout == ""


def test_before_setup_it_says_so(slow_project: Workplace, tmp_path: Path) -> None:
    fresh = tmp_path / "fresh"
    shutil.copytree(slow_project.path, fresh, ignore=shutil.ignore_patterns(".venv", "build"))
    assert "run 'make setup' first" in Workplace(fresh).make("kubernetes", check=False).stderr
    # The platform came after the environment.
    (fresh / ".venv" / "bin").mkdir(parents=True)
    (fresh / ".venv" / "bin" / "python").touch()
    assert "run 'make setup' again" in Workplace(fresh).make("kubernetes", check=False).stderr
