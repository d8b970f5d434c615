"""docs/update.md: its tables are those of the commands, what it prints comes out, and its job opens pull requests."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest
import yaml

from protoserve import cli
from protoserve.project.status.options import ROWS
from protoserve.project.status.report import State
from releases import Work, git, make_project, make_template
from support import ROOT

PAGE = (ROOT / "docs/update.md").read_text(encoding="utf-8")
FENCES = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [line.partition("  #")[0].strip() for kind, text in FENCES if kind == "sh" for line in text.splitlines()]


def subparser(name: str) -> argparse.ArgumentParser:
    actions = cli.parser()._actions
    (commands,) = (action.choices for action in actions if isinstance(action, argparse._SubParsersAction))
    return commands[name]


def section(heading: str) -> str:
    return PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def test_every_option_of_update_is_in_the_table() -> None:
    options = {
        action.option_strings[0] if action.option_strings else action.metavar for action in subparser("update")._actions
    }
    table = re.findall(r"^\| `(--[\w-]+|PROJECT)", section("protoserve update"), re.MULTILINE)
    assert set(table) == options - {"-h"}


def test_every_option_of_status_is_told() -> None:
    options = [action.option_strings[0] for action in subparser("status")._actions if action.option_strings]
    assert [option for option in options if option != "-h" and option not in section("protoserve status")] == []


def test_the_rows_of_status_are_in_the_table() -> None:
    table = re.findall(r"^\| `(\w+)` \|.*\| (yes|no)\b.*\|$", section("protoserve status"), re.MULTILINE)
    assert {name: counts == "yes" for name, counts in table} == ROWS


def test_the_states_of_status_are_in_the_table() -> None:
    table = section("protoserve status").partition("| state | what it means |\n|---|---|\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(State)


def test_an_answer_without_a_value_is_no_command_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        cli.main(["update", "--set", "port"])
    assert stopped.value.code == 2
    assert "argument --set: port must be KEY=VALUE, such as port=9000" in capsys.readouterr().err


@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_are_taken(command: str) -> None:
    _, name, *arguments = shlex.split(command)
    subparser(name).parse_args(arguments)


def test_the_commands_are_found() -> None:
    assert len(COMMANDS) > 6


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project of an old release, on a server of which `origin` is the name."""
    folder = tmp_path_factory.mktemp("page")
    (folder / "home").mkdir()
    work = make_project(make_template(folder / "models"), folder / "iris", "v1.0.0", folder / "home")
    git(folder, "init", "--quiet", "--bare", "origin.git")
    git(work.path, "remote", "add", "origin", str(folder / "origin.git"))
    git(work.path, "push", "--quiet", "origin", "main")
    return work


def job(work: Work, tmp_path: Path) -> str:
    """Runs the job's step as a runner does, with a `gh` that writes down what it was asked; gives that."""
    (text,) = (text for kind, text in FENCES if kind == "yaml")
    steps = yaml.safe_load(text)["jobs"]["update"]["steps"]
    commands, temporary = tmp_path / "bin", tmp_path / "runner"
    commands.mkdir()
    temporary.mkdir()
    asked = tmp_path / "asked.txt"
    (commands / "gh").write_text(f'#!/bin/sh\necho "$@" >> {asked}\n', encoding="utf-8")
    (commands / "gh").chmod(0o755)
    script = f"export PATH={commands}:$PATH\n{steps[-1]['run']}"
    work.run("bash", "-e", "-o", "pipefail", "-c", script, RUNNER_TEMP=str(temporary))
    return asked.read_text(encoding="utf-8") if asked.exists() else ""


@pytest.mark.slow
def test_the_job_opens_a_pull_request_with_the_summary(project: Work, tmp_path: Path) -> None:
    asked = job(project, tmp_path)
    assert asked.startswith("pr create --head template-update --title Update the template --body-file ")
    assert "--draft" not in asked
    summary = (tmp_path / "runner/summary.md").read_text(encoding="utf-8")
    assert summary.startswith("## iris: template v1.0.0 → v2.0.0\n")
    pushed = git(project.path.parent / "origin.git", "show", "template-update:.copier-answers.yml")
    assert "_commit: v2.0.0\n" in pushed


@pytest.mark.slow
def test_with_conflicts_it_is_a_draft_and_with_nothing_new_there_is_none(project: Work, tmp_path: Path) -> None:
    git(project.path, "checkout", "--quiet", "main")
    project.edit("src/iris/server/core/outcomes.py", "the server failed to answer this request", "no luck today")
    project.commit()
    (tmp_path / "first").mkdir()
    assert job(project, tmp_path / "first").rstrip().endswith("--draft")
    # It is as the page shows it.
    (markers,) = (text for kind, text in FENCES if kind == "text" and text.startswith("<<<<<<<"))
    assert markers in project.read("src/iris/server/core/outcomes.py")
    (tmp_path / "second").mkdir()
    assert job(project, tmp_path / "second") == ""
