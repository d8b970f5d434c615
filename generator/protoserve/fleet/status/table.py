"""A fleet's status as a table: each project on one line in a pipe, and within the width of a terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import StringIO
from typing import TYPE_CHECKING

from protoserve.fleet.status.report import REPOSITORY, FleetReport, ProjectReport, counts
from protoserve.fleet.status.words import row_names, state_text, to_do, total_lines
from protoserve.platform.plain_text import one_line
from protoserve.platform.printing import colour_system, is_terminal
from protoserve.project.status.report import Row, State

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

_STYLES = {State.OK: "green", State.TODO: "bold yellow", State.EDITED: "yellow", State.UNKNOWN: "red"}
_WIDTH = 10_000  # outside of a terminal, so that each project is one line
_WIDTH_OF_STATES = 100  # columns of a terminal that has room for all states beside the names of projects


def as_table(report: FleetReport) -> str:
    """A line for each project with the state of each row, what needs action, and the totals."""
    from rich.console import Console
    from rich.text import Text

    terminal = is_terminal(sys.stdout)
    lines = StringIO()  # since rich's own capture also writes, an empty text, to standard output
    width = None if terminal else _WIDTH
    console = Console(
        file=lines, color_system=colour_system(sys.stdout), force_terminal=terminal, width=width, highlight=False
    )
    if terminal:
        prefix = _common_prefix(report)
        if prefix:
            console.print(Text(f"projects of {one_line(prefix)}"), soft_wrap=True)
        if console.width < _WIDTH_OF_STATES:
            console.print(_narrow_table(report, prefix))
        else:
            console.print(_table_of_states(report, prefix))
            for text in _reasons(report, prefix):
                console.print(text, soft_wrap=True)
    else:
        console.print(_wide_table(report))
    for line in total_lines(report):
        console.print(Text(line), soft_wrap=True)
    return lines.getvalue()


def _wide_table(report: FleetReport) -> Table:
    """All of it, with what needs action in the last column."""
    from rich.table import Table
    from rich.text import Text

    names = row_names(report)
    table = Table("project", "version", *names, "to do")
    for project in report.projects:
        states = [_cell(project.row(name), report) for name in names]
        texts = [Text(one_line(text)) for text in (project.name, project.version, to_do(project, report.fail_on))]
        table.add_row(*texts[:2], *states, texts[2])
    return table


def _narrow_table(report: FleetReport, prefix: str) -> Table:
    """What needs action, in a terminal that has no room for a column for each row."""
    from rich.text import Text

    table = _open_table()
    table.add_column("to do", overflow="fold")
    for project in report.projects:
        name, version = one_line(project.name.removeprefix(prefix)), one_line(project.version)
        table.add_row(Text(name), Text(version), Text(to_do(project, report.fail_on) or "ok"))
    return table


def _table_of_states(report: FleetReport, prefix: str) -> Table:
    """The states; a project that could not be judged has the word in place of its version."""
    from rich.text import Text

    names = [name for name in row_names(report) if name != REPOSITORY]
    table = _open_table()
    for heading in names:
        table.add_column(heading, no_wrap=True)
    for project in report.projects:
        reason = project.row(REPOSITORY)
        version = Text(one_line(project.version)) if reason is None else _cell(reason, report)
        states = [_cell(project.row(name), report) for name in names]
        table.add_row(Text(one_line(project.name.removeprefix(prefix))), version, *states)
    return table


def _open_table() -> Table:
    """A table without borders, for the name and the version of projects."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("project", overflow="fold")
    table.add_column("version", no_wrap=True)
    return table


def _reasons(report: FleetReport, prefix: str) -> Sequence[Text]:
    """What needs action beside a newer version, which the table shows, a line for each project."""
    from rich.text import Text

    lines = []
    for project in report.projects:
        if said := to_do(_without_version(project), report.fail_on):
            name = Text(one_line(project.name.removeprefix(prefix)), "bold")
            lines.append(name.append(f"  {said}", "not bold"))
    return [*lines, Text("")] if lines else []


def _without_version(project: ProjectReport) -> ProjectReport:
    rows = tuple(row for row in project.rows if row.name != "template" or row.state is not State.TODO)
    return ProjectReport(project.name, rows)


def _cell(row: Row | None, report: FleetReport) -> Text:
    from rich.text import Text

    if row is None:
        return Text("")
    counted = counts(row, report.fail_on) or row.state is State.OK
    return Text(state_text(row, report.fail_on), _STYLES[row.state] if counted else "dim")


def _common_prefix(report: FleetReport) -> str:
    """What all names begin with, up to a slash; "" for one project."""
    names = [project.name.partition("#")[0] for project in report.projects]
    common = os.path.commonprefix(names) if len(names) > 1 else ""  # noqa: RUF071  # it ends at a slash below
    return common[: common.rfind("/") + 1]
