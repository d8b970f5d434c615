"""The formats of a fleet's update: a table for people, Markdown for pull requests and chats, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from io import StringIO

from protoserve.fleet.update.report import Result, State, UpdateReport
from protoserve.platform.plain_text import markdown, one_line
from protoserve.platform.printing import colour_system, is_terminal

_STYLES = {
    State.UPDATED: "green",
    State.UNCHANGED: "green",
    State.NEWEST: "dim",
    State.CONFLICTS: "bold yellow",
    State.TAKEN: "yellow",
    State.REFUSED: "red",
    State.FAILED: "red",
}
_WIDTH = 10_000  # outside of a terminal, so that each project is one line
_HEADINGS = ("project", "state", "from", "to", "branch", "")


def as_json(report: UpdateReport) -> str:
    """The whole report."""
    return json.dumps(report.as_data(), indent=2)


def as_table(report: UpdateReport) -> str:
    """A line for each project, the totals, and how to look at a branch."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = is_terminal(sys.stdout)
    lines = StringIO()
    width = None if terminal else _WIDTH
    colours = colour_system(sys.stdout)
    console = Console(file=lines, color_system=colours, force_terminal=terminal, width=width, highlight=False)
    table = Table()
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for result in report.results:
        cells = [Text(text) for text in _cells(result)]
        cells[1].stylize(_STYLES[result.state])
        table.add_row(*cells)
    console.print(table)
    for line in _last_lines(report):
        console.print(Text(line), soft_wrap=True)
    return lines.getvalue()


def as_markdown(report: UpdateReport) -> str:
    """The totals, and a table of the projects for which something was done or is to do."""
    first, *others = _last_lines(report)
    lines = [f"**{markdown(first)}**", ""]
    shown = [result for result in report.results if result.state is not State.NEWEST]
    if shown:
        lines += [f"| {' | '.join(_HEADINGS)} |", f"|{'---|' * len(_HEADINGS)}"]
        lines += [f"| {' | '.join(map(markdown, _cells(result)))} |" for result in shown]
    if others:
        lines += ["", *(f"- {markdown(line)}" for line in others)]
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[UpdateReport], str]] = {"table": as_table, "json": as_json, "markdown": as_markdown}


def _cells(result: Result) -> list[str]:
    cells = (result.project, result.state.value, result.before, result.after, result.branch, result.text)
    return [one_line(cell) for cell in cells]


def _last_lines(report: UpdateReport) -> Iterator[str]:
    totals = report.totals
    counted = ", ".join(f"{totals[state.value]} {state.value}" for state in State if totals[state.value])
    dry = " (dry run: nothing was changed)" if report.dry_run else ""
    count = totals["projects"]
    yield f"{count} project{'s' if count != 1 else ''}{dry}: {counted or 'nothing to do'}"
    local = next((result for result in report.results if result.commit and not result.pushed), None)
    if local is not None:
        yield f"branches that are not pushed are in the mirrors: git -C {local.mirror} log -p -1 {local.branch}"
