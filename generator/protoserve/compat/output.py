"""A comparison for people and for programs: in words, as a table, as Markdown, as JSON."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator

from protoserve.compat.change import Change
from protoserve.compat.since_revision import Comparison

_WIDTH = 10_000  # where the output is no terminal


def as_json(comparison: Comparison) -> str:
    """`{"verdict": ..., "changes": [{"path", "rule", "breaks", "why", "remedy"}]}`."""
    changes = [
        {
            "path": change.path,
            "rule": change.rule,
            "breaks": list(change.breaks),
            "why": change.why,
            "remedy": change.remedy,
        }
        for change in comparison.changes
    ]
    return json.dumps({"verdict": comparison.verdict, "changes": changes}, indent=2, ensure_ascii=False)


def words(comparison: Comparison) -> str:
    """A line a change, those that break first, and the verdict."""
    lines = [line(file, change) for file, change in _sorted(comparison)]
    return "\n".join([*lines, f"{comparison.verdict}: {summary(comparison)}"])


def line(file: str, change: Change) -> str:
    """One change as an error is told: file, line, column, path, why, what to do."""
    place = f"{file}:{change.where.line}:{change.where.column}: {change.path.rpartition('#')[2]}"
    if not change.breaking:
        return f"{place}: {change.rule}: {change.why}"
    return f"{place}: {change.rule} (breaks {', '.join(change.breaks)}): {change.why}; {change.remedy}"


def summary(comparison: Comparison) -> str:
    """How many changes of which kind, since when."""
    total, breaking = len(comparison.changes), sum(change.breaking for change in comparison.changes)
    if not total:
        return f"nothing changed in the contract since {comparison.since}"
    changes = "1 change" if total == 1 else f"{total} changes"
    return f"{changes} since {comparison.since}, of which {breaking or 'none'} break{'s' * (breaking == 1)} callers"


def markdown(comparison: Comparison) -> str:
    """For the comment on a pull request, or a job's summary."""
    said = _cell(summary(comparison))
    head = f"### Contract: {comparison.verdict}\n\n{said[0].upper()}{said[1:]}."
    if not comparison.changes:
        return head
    rows = [
        f"| {', '.join(change.breaks) or 'nothing'} | `{change.path}` | {change.rule} | {_cell(change.why)} "
        f"| {_cell(change.remedy)} |"
        for _, change in _sorted(comparison)
    ]
    return "\n".join([head, "", "| breaks | where | change | why | what to do |", "|---|---|---|---|---|", *rows])


def table(comparison: Comparison) -> str:
    """For people; a row is a line unless a terminal is too narrow. Needs rich, which the generator has not."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = None if sys.stdout.isatty() else _WIDTH
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("breaks", "where", "change", "why and what to do"):
        made.add_column(name, overflow="fold")
    for _, change in _sorted(comparison):
        breaks = Text(", ".join(change.breaks) or "nothing", "bold red" if change.breaking else "green")
        told = f"{change.why}; {change.remedy}" if change.remedy else change.why
        made.add_row(breaks, Text(change.path), Text(change.rule), Text(told))
    with console.capture() as captured:
        if comparison.changes:
            console.print(made)
        console.print(Text(f"{comparison.verdict}: {summary(comparison)}"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").splitlines())


def _sorted(comparison: Comparison) -> Iterator[tuple[str, Change]]:
    return iter(sorted(comparison.placed(), key=lambda item: (not item[1].breaking, item[0], item[1])))


def _cell(text: str) -> str:
    """Text within a cell, where a bar would end it and other signs would be markup."""
    return re.sub(r"[|*_<>\[\]\\]", lambda found: f"&#{ord(found[0])};", text)


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "words": words,
    "table": table,
    "json": as_json,
    "markdown": markdown,
}
