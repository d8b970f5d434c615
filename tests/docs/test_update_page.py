"""docs/update.md: its tables are those of the commands, what it prints comes out, and its job opens pull requests."""

from __future__ import annotations

import argparse
import re
import shlex

import pytest

from protoserve import cli
from protoserve.project.status.options import ROWS
from protoserve.project.status.report import State
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
