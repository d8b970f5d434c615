"""The formats of a fleet's status: a table for people, Markdown for chats, JSON for programs, a page for browsers."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from io import StringIO
from typing import Any

from protoserve.fleet.status.report import REPOSITORY, FleetReport, ProjectReport, Verdict, counts, row_data
from protoserve.platform.plain_text import markdown, one_line
from protoserve.platform.printing import colour_system
from protoserve.project.status.options import ROWS
from protoserve.project.status.report import Row, State

_STYLES = {State.OK: "green", State.TODO: "bold yellow", State.EDITED: "yellow", State.UNKNOWN: "red"}
_WIDTH = 10_000  # outside of a terminal, so that each project is one line
_LONGEST = 160  # characters of a cell in Markdown


def as_data(report: FleetReport) -> dict[str, Any]:
    """The whole report as JSON has it."""
    projects = [
        {
            "project": project.name,
            "verdict": project.verdict(report.fail_on).value,
            "rows": [row_data(row, report.fail_on) for row in project.rows],
            "owner": project.owner,
            "labels": list(project.labels),
            "branch": project.branch,
            "commit": project.commit,
            "project_name": project.title,
            "template": project.template,
            "version": project.version,
            "diff": project.diff,
        }
        for project in report.projects
    ]
    data: dict[str, Any] = {"verdict": report.verdict.value, "projects": projects, "totals": report.totals}
    return {**data, "fail_on": sorted(report.fail_on), "fleet": report.fleet, "shard": report.shard}


def as_json(report: FleetReport) -> str:
    """The same as text."""
    return json.dumps(as_data(report), indent=2)


def as_table(report: FleetReport) -> str:
    """A line for each project with the state of each row, then what needs action, and the totals."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    lines = StringIO()  # since rich's own capture also writes, an empty text, to standard output
    width = None if terminal else _WIDTH
    console = Console(
        file=lines, color_system=colour_system(sys.stdout), force_terminal=terminal, width=width, highlight=False
    )
    names = _row_names(report)
    table = Table()
    for heading in ("project", "version", *names, "to do"):
        table.add_column(heading, overflow="fold")
    for project in report.projects:
        states = [_state(project.row(name), report.fail_on) for name in names]
        cells = [Text(text, style) for text, style in states]
        table.add_row(
            Text(one_line(project.name)), Text(one_line(project.version)), *cells, Text(_to_do(project, report))
        )
    console.print(table)
    for line in _total_lines(report):
        console.print(Text(line), soft_wrap=True)
    return lines.getvalue()


def as_markdown(report: FleetReport) -> str:
    """The totals, a table of the projects that are not ok, and how many are."""
    names = _row_names(report)
    lines = [
        f"**{line}**" if number == 0 else f"- {markdown(line)}" for number, line in enumerate(_total_lines(report))
    ]
    lines.insert(1, "")
    headings = ["project", "version", *names, "to do"]
    shown = [project for project in report.projects if project.verdict(report.fail_on) is not Verdict.OK]
    if shown:
        lines += ["", f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for project in shown:
        states = [_state(project.row(name), report.fail_on)[0] for name in names]
        cells = [
            markdown(project.name),
            markdown(project.version),
            *states,
            markdown(_to_do(project, report)[:_LONGEST]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def as_html(report: FleetReport) -> str:
    """The whole report as one page for a browser, with the time of now."""
    from protoserve.fleet.page import render

    return render(as_data(report), f"{datetime.now(UTC):%-d %B %Y, %H:%M} UTC")


FORMATS: Mapping[str, Callable[[FleetReport], str]] = {
    "table": as_table,
    "json": as_json,
    "markdown": as_markdown,
    "html": as_html,
}


def _row_names(report: FleetReport) -> list[str]:
    """The names of the columns: the rows of a status, and that of what could not be judged where it occurs."""
    present = {row.name for project in report.projects for row in project.rows}
    known = [*ROWS, REPOSITORY]
    return [name for name in (*known, *sorted(present.difference(known))) if name in present]


def _state(row: Row | None, fail_on: frozenset[str]) -> tuple[str, str]:
    """The text and the style of a row's state; one that does not count is in parentheses."""
    if row is None:
        return "", ""
    counted = counts(row, fail_on) or row.state is State.OK
    return (row.state.value, _STYLES[row.state]) if counted else (f"({row.state})", "dim")


def _to_do(project: ProjectReport, report: FleetReport) -> str:
    """What each row that counts and is not ok says."""
    rows = [row for row in project.rows if counts(row, report.fail_on) and row.state is not State.OK]
    return "; ".join(one_line(f"{row.name}: {row.text}") for row in rows)


def _total_lines(report: FleetReport) -> list[str]:
    totals = report.totals
    shard = f" (part {report.shard})" if report.shard else ""
    verdicts = ", ".join(f"{totals[verdict]} {verdict}" for verdict in Verdict)
    lines = [f"{totals['projects']} projects{shard}: {verdicts}"]
    if totals["versions"]:
        lines.append(
            "versions: " + ", ".join(f"{count} at {one_line(name)}" for name, count in totals["versions"].items())
        )
    for name, states in totals["rows"].items():
        wrong = [f"{count} {state}" for state, count in states.items() if state != State.OK]
        if wrong:
            lines.append(f"{name}: {', '.join(wrong)}")
    return lines
