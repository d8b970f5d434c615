"""The output formats of a comparison: words, a table, Markdown and JSON."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

from protoserve.compat.change import Change
from protoserve.compat.project_comparison import Comparison
from protoserve.platform import plain_text
from protoserve.platform.printing import colour_system, is_terminal

_UNLIMITED_WIDTH = 10_000  # for output that is not a terminal


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
    return plain_text.in_json({"verdict": comparison.verdict, "changes": changes}, indent=2)


def words(comparison: Comparison) -> str:
    """One line per change, breaking ones first, and then the verdict."""
    lines = [line(file, change) for file, change in _breaking_first(comparison)]
    return "\n".join([*lines, f"{comparison.verdict}: {summary(comparison)}"])


def line(file: str, change: Change) -> str:
    """One change in the form of an error: file, line, column, path, rule, why, and what to do."""
    place = f"{file}:{change.where.line}:{change.where.column}: {change.path.rpartition('#')[2]}"
    breaks = f" (breaks {', '.join(change.breaks)})" if change.breaking else ""
    remedy = f"; {change.remedy}" if change.breaking else ""
    return plain_text.one_line(f"{place}: {change.rule}{breaks}: {change.why}{remedy}")


def summary(comparison: Comparison) -> str:
    """How many changes there are, and how many of them break callers."""
    total, breaking = len(comparison.changes), sum(change.breaking for change in comparison.changes)
    if not total:
        return f"nothing changed in the contract since {comparison.since}"
    changes = "1 change" if total == 1 else f"{total} changes"
    return f"{changes} since {comparison.since}, of which {breaking or 'none'} break{'s' * (breaking == 1)} callers"


def markdown(comparison: Comparison) -> str:
    """For the comment on a pull request, or a job's summary."""
    text = plain_text.markdown(summary(comparison))
    head = f"### Contract: {comparison.verdict}\n\n{text[0].upper()}{text[1:]}."
    if not comparison.changes:
        return head
    rows = [
        f"| {', '.join(change.breaks) or 'nothing'} | `{change.path}` | {change.rule} "
        f"| {plain_text.markdown(change.why)} | {plain_text.markdown(change.remedy)} |"
        for _, change in _breaking_first(comparison)
    ]
    return "\n".join([head, "", "| breaks | where | change | why | what to do |", "|---|---|---|---|---|", *rows])


def table(comparison: Comparison) -> str:
    """A table, with one line per row unless the terminal is too narrow. Needs rich, which the generator lacks."""
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    width = None if is_terminal(sys.stdout) else _UNLIMITED_WIDTH
    console = Console(width=width, color_system=colour_system(sys.stdout), markup=False, emoji=False, highlight=False)
    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("breaks", "where", "change", "why and what to do"):
        rows.add_column(name, overflow="fold")
    for _, change in _breaking_first(comparison):
        breaks = Text(", ".join(change.breaks) or "nothing", "bold red" if change.breaking else "green")
        advice = f"{change.why}; {change.remedy}" if change.remedy else change.why
        rows.add_row(breaks, Text(change.path), Text(change.rule), Text(plain_text.one_line(advice)))
    with console.capture() as captured:
        if comparison.changes:
            console.print(rows)
        console.print(Text(f"{comparison.verdict}: {summary(comparison)}"), soft_wrap=True)
    return "\n".join(line.rstrip() for line in captured.get().rstrip("\n").splitlines())


def _breaking_first(comparison: Comparison) -> Iterator[tuple[str, Change]]:
    return iter(sorted(comparison.with_files(), key=lambda item: (not item[1].breaking, item[0], item[1])))


FORMATS: dict[str, Callable[[Comparison], str]] = {
    "words": words,
    "table": table,
    "json": as_json,
    "markdown": markdown,
}
