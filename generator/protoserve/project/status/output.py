"""The formats of a status: a table for people, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from io import StringIO

from protoserve.platform.plain_text import one_line
from protoserve.platform.printing import colour_system, is_terminal
from protoserve.project.status.report import Report, State

_STYLES = {State.OK: "green", State.TODO: "bold yellow", State.EDITED: "yellow", State.UNKNOWN: "red"}
_WIDTH = 10_000  # outside of a terminal, so that each row is one line
# The details that stand below the table.
_LISTED = ("breaking", "blocked", "edited", "deleted", "differ", "unmerged", "rejected", "violations", "excepted")
_SHORT = {"violations": "policy"}  # what stands at the beginning of a line


def as_table(report: Report) -> str:
    """A line for each row, and below them the files that the rows count."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = is_terminal(sys.stdout)
    lines = StringIO()  # since rich's own capture also writes, an empty text, to standard output
    width = None if terminal else _WIDTH
    console = Console(
        file=lines, color_system=colour_system(sys.stdout), force_terminal=terminal, width=width, highlight=False
    )
    table = Table(title=Text(one_line(f"{report.project}: template {report.version}")), title_justify="left")
    for heading in ("", "state", "details", "to do"):
        table.add_column(heading)
    for row in report.rows:
        counts = row.name in report.fail_on or row.state is State.OK
        state = Text(row.state if counts else f"({row.state})", _STYLES[row.state] if counts else "dim")
        table.add_row(Text(row.name), state, Text(one_line(row.text)), Text(one_line(row.remedy)))
    console.print(table)
    for row in report.rows:
        for kind in _LISTED:
            for name in row.details.get(kind, ()):
                console.print(Text(f"{_SHORT.get(kind, kind):<9} {one_line(name)}"), soft_wrap=True)
    return lines.getvalue()


def as_json(report: Report) -> str:
    """The whole report."""
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
                "said": row.text,
                "details": dict(row.details),
                "remedy": row.remedy,
            }
            for row in report.rows
        ],
    }
    return json.dumps(data, indent=2)


FORMATS: Mapping[str, Callable[[Report], str]] = {"table": as_table, "json": as_json}
