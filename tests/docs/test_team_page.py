"""docs/team.md is followed to the letter, with servers of git in a folder: its commands, its files, its workflows."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import check_jsonschema
import pytest
import yaml
from copier._vcs import get_latest_tag

from docs.test_start_page import is_in
from protoserve import cli
from protoserve.project.update.template_versions import Versions
from releases import edit, environment, git, release
from support import ROOT, copy_template, run

PAGE = (ROOT / "docs" / "team.md").read_text(encoding="utf-8")
FENCES = list(re.finditer(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
# Commands that fail on the page, by their last line, with their exit codes.
FAILING = {
    "protoserve new churn --template https://git.example/platform/models.git --defaults --framework xgboost": 1,
    "protoserve fleet status": 1,
}
GITHUB, GITLAB = ".github/workflows/fleet.yml", ".gitlab-ci.yml"


def make_upstream(folder: Path) -> None:
    """This template in two releases."""
    copy_template(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    release(folder, "v1.0.0")
    server = folder / "template/src/{{package}}/server"
    edit(server / "core" / "outcomes.py", "the server failed to answer", "the server could not answer")
    release(folder, "v1.1.0")


@pytest.fixture
def reader(tmp_path: Path) -> dict[str, str]:
    """The variables of a reader who reaches the servers; the repositories are there."""
    make_upstream(tmp_path / "servers/upstream/protoserve.git")
    for name in ("platform/models.git", "risk/churn.git"):
        git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", f"servers/{name}")
    home = tmp_path / "home"
    home.mkdir()
    address = f'[url "{(tmp_path / "servers").as_uri()}/"]\n\tinsteadOf = https://git.example/\n'
    identity = "[user]\n\tname = T\n\temail = t@example.com\n"
    (home / ".gitconfig").write_text(address + identity, encoding="utf-8")
    return environment(home)


def steps() -> Iterator[tuple[str, str, str]]:
    """Each block of commands with what is shown below it, and each file with its name, in their order."""
    for index, fence in enumerate(FENCES):
        if fence[1] == "sh":
            below = FENCES[index + 1] if index + 1 < len(FENCES) else None
            yield "run", fence[2], below[2] if below is not None and below[1] == "text" else ""
        elif named := re.search(r"^`([^`\n]+)`:\n\n\Z", PAGE[: fence.start()], re.MULTILINE):
            yield "write", named[1], fence[2]


@pytest.mark.slow
def test_the_commands_lead_from_a_fork_to_projects_that_follow_it(reader: dict[str, str], tmp_path: Path) -> None:
    folder, servers = tmp_path / "work", tmp_path / "servers"
    folder.mkdir()
    for kind, text, content in steps():
        if kind == "write":
            (folder / text).parent.mkdir(parents=True, exist_ok=True)
            (folder / text).write_text(content, encoding="utf-8")
            if text == "fleet.yaml":  # its second project is like the first
                shutil.copytree(servers / "risk/churn.git", servers / "risk/fraud.git")
            continue
        wanted = FAILING.get(text.splitlines()[-1], 0)
        script = f"trap 'pwd > {shlex.quote(str(tmp_path / 'folder'))}' EXIT\n{text}"
        done = run(["bash", "-e", "-c", script], cwd=folder, env=reader, check=False)
        assert done.returncode == wanted, f"{text}\n{done.stdout}\n{done.stderr}"
        printed = done.stdout + done.stderr
        assert is_in(content, printed), f"shown is\n{content}\nprinted is\n{printed}"
        folder = Path((tmp_path / "folder").read_text(encoding="utf-8").strip())
    template = servers / "platform/models.git"
    assert git(template, "tag").split() == ["v1.0.0+team.1", "v1.1.0+team.1"]
    assert "the mesh routes these" in git(template, "show", "v1.1.0+team.1:policy.yaml")
    for name in ("churn", "fraud"):
        branch = "protoserve/v1.1.0+team.1"
        assert "_commit: v1.1.0+team.1\n" in git(servers / f"risk/{name}.git", "show", f"{branch}:.copier-answers.yml")
    check_reports_of_the_jobs(folder, reader)


def check_reports_of_the_jobs(fleet: Path, reader: dict[str, str]) -> None:
    """What the jobs run, each part at the service of its own, makes one report of all projects."""
    for part, name in (("1", GITHUB), ("2", GITLAB)):
        variables = {**reader, "PART": part, "CI_NODE_INDEX": part, "CI_NODE_TOTAL": "2"}
        run(["bash", "-e", "-c", "\n".join(commands(name, "status"))], cwd=fleet, env=variables)
    assert set(commands(GITLAB, "report")) <= set(commands(GITHUB, "report"))
    summary = fleet / "summary.md"
    variables = {**reader, "GITHUB_STEP_SUMMARY": str(summary)}
    run(["bash", "-e", "-c", "\n".join(commands(GITHUB, "report"))], cwd=fleet, env=variables)
    for path in (fleet / "fleet.html", summary):
        text = path.read_text(encoding="utf-8")
        assert all(f"risk/{name}.git" in text for name in ("churn", "fraud"))


def text_of(name: str) -> str:
    (text,) = (content for kind, file, content in steps() if (kind, file) == ("write", name))
    return text


def workflow(name: str) -> dict[str, Any]:
    parsed: dict[str, Any] = yaml.safe_load(text_of(name))
    return parsed


def commands(name: str, job: str) -> list[str]:
    """The commands of protoserve that a job runs."""
    if name == GITLAB:
        lines = list(workflow(name)[job]["script"])
    else:
        scripts = [step["run"] for step in workflow(name)["jobs"][job]["steps"] if "run" in step]
        lines = [line for script in scripts for line in script.splitlines()]
    return [line for line in lines if line.startswith("protoserve ")]


def test_the_workflows_are_valid(tmp_path: Path) -> None:
    for name, options in ((GITHUB, ["github-workflows"]), (GITLAB, ["gitlab-ci", "--data-transform", "gitlab-ci"])):
        (tmp_path / "workflow.yml").write_text(text_of(name), encoding="utf-8")
        with pytest.raises(SystemExit) as stopped:
            check_jsonschema.main(
                ["--builtin-schema", f"vendor.{options[0]}", *options[1:], str(tmp_path / "workflow.yml")]
            )
        assert stopped.value.code == 0
        for job in ("status", "report", "update"):
            assert commands(name, job)
            subprocess.run(["sh", "-n"], input="\n".join(commands(name, job)), text=True, check=True)
            for line in commands(name, job):
                words = shlex.split(line.partition(" > ")[0].partition(" >> ")[0])
                cli.parser().parse_args([re.sub(r"\$\w+", "1", word) for word in words[1:]])


def test_the_command_of_open_opens_a_request_or_changes_it(tmp_path: Path) -> None:
    (step,) = (step for step in workflow(GITHUB)["jobs"]["update"]["steps"] if "OPEN" in step.get("env", {}))
    (tmp_path / "gh").write_text('#!/bin/sh\necho "$@" >> asked.txt\ntest "$2" = edit\n', encoding="utf-8")
    (tmp_path / "gh").chmod(0o755)
    names = ("URL", "BRANCH", "BASE", "TITLE", "SUMMARY")
    variables = {f"PROTOSERVE_{name}": f"the {name.lower()}" for name in names}
    path = os.pathsep.join([str(tmp_path), os.environ["PATH"]])
    run(["sh", "-c", step["env"]["OPEN"]], cwd=tmp_path, env={**os.environ, **variables, "PATH": path})
    texts = "--title the title --body-file the summary"
    assert (tmp_path / "asked.txt").read_text(encoding="utf-8").splitlines() == [
        f"pr create --repo the url --head the branch --base the base {texts}",
        f"pr edit the branch --repo the url {texts}",
    ]


def test_git_takes_the_token_of_the_workflows_from_the_environment() -> None:
    github = workflow(GITHUB)["env"]["CREDENTIALS"]
    gitlab = workflow(GITLAB)["variables"]["CREDENTIALS"].replace("$$", "$")  # as GitLab expands it
    for helper in (github, gitlab):
        command = ["git", "-c", "credential.helper=", "-c", f"credential.helper={helper}", "credential", "fill"]
        asked, variables = "protocol=https\nhost=example.com\n\n", {**os.environ, "FLEET_TOKEN": "secret"}
        done = subprocess.run(command, input=asked, env=variables, capture_output=True, text=True, check=True)
        assert done.stdout.splitlines()[-1] == "password=secret"


@pytest.mark.parametrize(("tags", "newest"), re.findall(r"^\| (`.*`, `.*`) \| `(.*)` \|$", PAGE, re.MULTILINE))
def test_the_newest_tag(tags: str, newest: str, tmp_path: Path) -> None:
    names = re.findall("`(.*?)`", tags)
    assert Versions("", dict.fromkeys(names, ""), {}).newest.name == newest
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "x")
    for name in names:
        git(tmp_path, "tag", name)
    assert get_latest_tag(str(tmp_path)) == newest


def test_the_page_has_commands() -> None:
    assert sum(kind == "run" for kind, _, _ in steps()) > 6
    assert PAGE.count("newest |\n") == 1
    for line in FAILING:
        assert PAGE.count(f"{line}\n") == 1
