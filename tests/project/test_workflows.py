"""The workflows of a project, for each answer to `ci`: their schemas, their shell, and what the update may."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import check_jsonschema
import pytest
import yaml

from support import ROOT, Project, copier_jinja, create, run, tool

GITHUB = (".github/workflows/ci.yml", ".github/workflows/template-update.yml")
GITLAB = ".gitlab-ci.yml"
ALL_PLATFORMS = ("vertex-ai", "kubernetes")


def rendered(name: str, platforms: tuple[str, ...] = ALL_PLATFORMS) -> str:
    answers: dict[str, Any] = {"package": "iris", "python_version": "3.12", "platforms": list(platforms)}
    conf = SimpleNamespace(answers_file=".copier-answers.yml")
    return copier_jinja().get_template(f"template/{name}.jinja").render(answers, _copier_conf=conf)


def write(folder: Path, names: tuple[str, ...], platforms: tuple[str, ...]) -> list[str]:
    paths = []
    for name in names:
        path = folder / str(len(platforms)) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered(name, platforms), encoding="utf-8")
        paths.append(str(path))
    return paths


def valid(schema: str, *arguments: str) -> bool:
    """Whether the files match a schema that check-jsonschema brings."""
    with pytest.raises(SystemExit) as stopped:
        check_jsonschema.main(["--builtin-schema", f"vendor.{schema}", *arguments])
    return stopped.value.code == 0


def test_the_workflows_match_the_published_schemas(tmp_path: Path) -> None:
    github = [*write(tmp_path, GITHUB, ()), *write(tmp_path, GITHUB, ALL_PLATFORMS)]
    assert valid("github-workflows", *github)
    assert valid("dependabot", str(ROOT / "template/.github/dependabot.yml"))
    gitlab = [*write(tmp_path, (GITLAB,), ()), *write(tmp_path, (GITLAB,), ALL_PLATFORMS)]
    assert valid("gitlab-ci", "--data-transform", "gitlab-ci", *gitlab)
    # They find mistakes.
    Path(github[0]).write_text(rendered(GITHUB[0]).replace("runs-on:", "run-on:"), encoding="utf-8")
    assert not valid("github-workflows", *github)
    Path(gitlab[0]).write_text(rendered(GITLAB).replace("  script:", "  scripts:"), encoding="utf-8")
    assert not valid("gitlab-ci", "--data-transform", "gitlab-ci", *gitlab)


def test_the_jobs_run_the_same_commands_in_good_shell() -> None:
    check, update = (yaml.safe_load(rendered(name))["jobs"] for name in GITHUB)
    (github,) = (job["steps"] for job in check.values())
    (update_github,) = (job["steps"] for job in update.values())
    gitlab = yaml.safe_load(rendered(GITLAB))
    lines = [step["run"] for step in (*github, *update_github) if "run" in step]
    lines_of_gitlab = [line for job in ("check", "diff", "template-update") for line in gitlab[job]["script"]]
    subprocess.run(["bash", "-n"], input="\n".join([*lines, *lines_of_gitlab]), text=True, check=True)
    programs = {" ".join(line.split()[:2]) for line in lines_of_gitlab if not line.startswith("apt-get ")}
    assert programs == {" ".join(line.split()[:2]) for line in lines}
    # The step that runs code of others has no token.
    tokens = [step for step in update_github if "PROTOSERVE_TOKEN" in str(step)]
    assert [step["run"] for step in tokens] == [".venv/bin/python scripts/propose_update.py github"]


@pytest.mark.slow
@pytest.mark.parametrize("ci", ["github", "gitlab", "none"])
def test_make_check_validates_the_workflows_of_the_answer(ci: str, template: Path, tmp_path: Path) -> None:
    project = create(template, tmp_path / "iris", alone=True, ci=ci)
    names = {path.relative_to(project.path).as_posix() for path in project.path.rglob("*") if path.is_file()}
    there = {"github": {*GITHUB, ".github/dependabot.yml"}, "gitlab": {GITLAB}, "none": set()}[ci]
    assert {name for name in names if name.startswith((".github/", ".gitlab"))} == there
    assert ("scripts/propose_update.py" in names) == (ci != "none")
    readme = (project.path / "README.md").read_text(encoding="utf-8")
    assert ("PROTOSERVE_TOKEN" in readme) == (ci != "none")
    checked = commands(project)
    assert len(checked) == (ci != "none")
    for name in there - {".github/dependabot.yml"}:
        (project.path / name).write_text("jobs: nonsense\n", encoding="utf-8")
        assert run(["sh", "-c", checked[0]], cwd=project.path, check=False).returncode == 1
        (project.path / name).unlink()
    assert commands(project) == []  # an author may have removed them


def commands(project: Project) -> list[str]:
    """Those of `make check` that validate workflows."""
    binaries = Path(tool("check-jsonschema")).parent
    listed = run(["make", "-n", "check", f"BIN={binaries}"], cwd=project.path, check=False).stdout
    return [line for line in listed.splitlines() if "check-jsonschema" in line]
