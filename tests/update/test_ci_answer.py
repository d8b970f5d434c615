"""The answer `ci` of a project that exists: it keeps its workflows, until `--set` chooses others."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from releases import Work, edit, git, make_project, release
from small_template import start_template
from support import ROOT

CI, UPDATE = ".github/workflows/ci.yml", ".github/workflows/template-update.yml"
WORKFLOWS = (f"{CI}.jinja", f"{UPDATE}.jinja", ".github/dependabot.yml", ".gitlab-ci.yml.jinja")


def make_template(folder: Path) -> Path:
    """v1.0.0 has a workflow for GitHub and no question for it; v2.0.0 has the workflows and the question of today."""
    start_template(folder, "tabular")
    questions = yaml.safe_load((folder / "copier.yml").read_text(encoding="utf-8"))
    others = {"python_version": {"type": "str", "default": "3.12"}, "platforms": {"type": "yaml", "default": []}}
    whole = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    (folder / "template/.github/workflows").mkdir(parents=True)
    shutil.copy2(ROOT / "template" / WORKFLOWS[0], folder / "template" / WORKFLOWS[0])
    edit(folder / "template" / WORKFLOWS[0], "timeout-minutes: 30", "timeout-minutes: 20")
    write_questions(folder, {**questions, **others})
    release(folder, "v1.0.0")
    for name in WORKFLOWS:
        shutil.copy2(ROOT / "template" / name, folder / "template" / name)
    write_questions(folder, {**questions, **others, "_exclude": whole["_exclude"], "ci": whole["ci"]})
    release(folder, "v2.0.0")
    return folder


def write_questions(folder: Path, questions: dict[str, object]) -> None:
    (folder / "copier.yml").write_text(yaml.safe_dump(questions, sort_keys=False, width=1000), encoding="utf-8")


def workflows(work: Work) -> set[str]:
    return {name for name in git(work.path, "ls-files").splitlines() if name.startswith((".github/", ".gitlab"))}


@pytest.mark.slow
def test_workflows_stay_until_others_are_chosen_and_edits_are_kept(tmp_path: Path, home: Path) -> None:
    work = make_project(make_template(tmp_path / "models"), tmp_path / "iris", "v1.0.0", home)
    work.edit(CI, "branches: [main]", "branches: [ours]")
    work.commit()
    printed = work.update().stdout
    assert "| `ci` | (none) | `github` | a new question, its default |" in printed
    assert "branches: [ours]" in work.read(CI)
    assert "timeout-minutes: 30" in work.read(CI)
    work.commit()
    assert workflows(work) == {CI, UPDATE, ".github/dependabot.yml"}

    done = work.update("--set", "ci=gitlab", check=False)
    assert done.returncode == 3
    assert f"{CI}: you edited it, and the template no longer has it" in done.stdout
    assert "branches: [ours]" in work.read(CI)
    git(work.path, "rm", "--quiet", CI)
    work.commit()
    assert workflows(work) == {".gitlab-ci.yml"}

    work.update("--set", "ci=none")
    work.commit()
    assert workflows(work) == set()
