"""The formats of a fleet's status: a table for people, Markdown for chats, JSON for programs, a page for browsers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from protoserve.fleet.status.report import FleetReport, Verdict, row_data
from protoserve.fleet.status.table import as_table
from protoserve.fleet.status.words import row_names, state_text, to_do, total_lines
from protoserve.platform.plain_text import markdown

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


def as_markdown(report: FleetReport) -> str:
    """The totals, a table of the projects that are not ok, and how many are."""
    names = row_names(report)
    lines = [f"**{line}**" if number == 0 else f"- {markdown(line)}" for number, line in enumerate(total_lines(report))]
    lines.insert(1, "")
    headings = ["project", "version", *names, "to do"]
    shown = [project for project in report.projects if project.verdict(report.fail_on) is not Verdict.OK]
    if shown:
        lines += ["", f"| {' | '.join(headings)} |", f"|{'---|' * len(headings)}"]
    for project in shown:
        states = [state_text(project.row(name), report.fail_on) for name in names]
        cells = [
            markdown(project.name),
            markdown(project.version),
            *states,
            markdown(to_do(project, report.fail_on)[:_LONGEST]),
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
