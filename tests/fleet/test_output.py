"""The forms of a fleet's status for people: what a pipe, a terminal and a pull request get."""

from __future__ import annotations

import sys

import pytest

from protoserve.fleet.status.output import as_markdown, as_table
from protoserve.fleet.status.report import FleetReport, ProjectReport, unknown
from protoserve.project.status.report import Row, State

ROWS = (
    Row("template", State.TODO, "v1.0.0; the newest is v2.0.0"),
    Row("files", State.EDITED, "1 edited"),
    Row("policy", State.TODO, "1 not allowed: answers.port"),
)
HOSTILE = "https://h.example/team/\x1b[31m|evil\nline.git"
REPORT = FleetReport(
    (
        ProjectReport("https://h.example/team/fraud.git", ROWS, version="v1.0.0"),
        ProjectReport("https://h.example/team/ok.git", (Row("template", State.OK, "newest"),), version="v2.0.0"),
        ProjectReport(HOSTILE, (unknown("unreachable", "it cannot be read: \x1b[2J"),)),
    ),
    frozenset(["template", "policy"]),
)
TOTALS = ["3 projects: 1 ok, 1 todo, 1 unknown", "versions: 1 at v1.0.0, 1 at v2.0.0", "template: 1 todo"]


def terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    lines = as_table(REPORT).splitlines()
    assert all(len(line) <= columns for line in lines[:6])
    assert "\x1b[31m" not in "".join(lines)
    return [" ".join(line.split()) for line in lines]


def test_a_pipe_gets_a_line_for_each_project() -> None:
    lines = [" ".join(line.split()) for line in as_table(REPORT).splitlines()]
    first = "│ https://h.example/team/fraud.git │ v1.0.0 │ todo │ (edited) │ todo │ │"
    assert f"{first} template: v1.0.0; the newest is v2.0.0; policy: 1 not allowed: answers.port │" in lines
    assert len(lines) == 3 + 3 + 1 + 6
    assert lines[7:10] == TOTALS
    assert "\x1b" not in "".join(lines)


def test_a_wide_terminal_has_the_states_and_a_narrow_one_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = terminal(monkeypatch, 120)
    assert lines[0] == "projects of https://h.example/team/"
    assert lines[1:2] + lines[3:5] == [
        "project version template files policy",
        "fraud.git v1.0.0 todo (edited) todo",
        "ok.git v2.0.0 ok",
    ]
    assert "fraud.git policy: 1 not allowed: answers.port" in lines
    lines = terminal(monkeypatch, 80)
    assert lines[1] == "project version to do"
    assert lines[3] == "fraud.git v1.0.0 template: v1.0.0; the newest is v2.0.0;"


def test_markdown_has_the_projects_that_are_not_ok() -> None:
    text = as_markdown(REPORT)
    assert text.startswith(f"**{TOTALS[0]}**\n\n- {TOTALS[1]}\n- {TOTALS[2]}\n")
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 2 + 2
    assert all(row.count("|") == rows[0].count("|") for row in rows)
    assert "ok.git" not in text
    assert "\x1b" not in text
