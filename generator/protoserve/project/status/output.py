"""The forms of a status: a table for people, JSON for what reads it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping

from protoserve.project.status.report import Report, State

_STYLES = {State.OK: "green", State.TODO: "bold yellow", State.EDITED: "yellow", State.UNKNOWN: "red"}
_WIDTH = 10_000  # where the output is no terminal: a row is a line
_NAMED = ("breaking", "edited", "deleted", "differ", "unmerged")  # details that people read below the table


def as_table(report: Report) -> str:
    """A line for each row, and below it the files that it counts."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    table = Table(title=Text(f"{report.project}: template {report.version}"), title_justify="left")
    for heading in ("", "state", "what was found", "to do"):
        table.add_column(heading)
    for row in report.rows:
        counts = row.name in report.fail_on or row.state is State.OK
        state = Text(row.state if counts else f"({row.state})", _STYLES[row.state] if counts else "dim")
        table.add_row(Text(row.name), state, Text(row.said), Text(row.remedy))
    with console.capture() as captured:
        console.print(table)
        for row in report.rows:
            for kind in _NAMED:
                for name in row.details.get(kind, ()):
                    console.print(Text(f"{kind:<9} {name}"), soft_wrap=True)
    return captured.get()


def as_json(report: Report) -> str:
    """All of it."""
    data = {
        "project": report.project,
        "template": report.template,
        "version": report.version,
        "exit_code": report.exit_code,
        "rows": [
            {
                "name": row.name,
                "state": row.state,
                "counts": row.name in report.fail_on,
                "said": row.said,
                "details": dict(row.details),
                "remedy": row.remedy,
            }
            for row in report.rows
        ],
    }
    return json.dumps(data, indent=2)


FORMATS: Mapping[str, Callable[[Report], str]] = {"table": as_table, "json": as_json}
