"""A report for people: a table that fills while the checks run, and below it the details of each fail and warn.

On a terminal it has colours and says which check is running; elsewhere, or with NO_COLOR, each check is a line.
"""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from protoserve.platform.printing import UnwritableError, colour_system, silence
from protoserve.verify.checks.check import Check
from protoserve.verify.output.check_pages import page
from protoserve.verify.output.escaping import blocks, line, safe, summary, verdict
from protoserve.verify.report import Outcome, Report, Verdict
from protoserve.verify.run import Progress

_STYLES = {
    Verdict.PASS: "green",
    Verdict.WARN: "yellow",
    Verdict.FAIL: "bold red",
    Verdict.SKIP: "dim",
    Verdict.UNJUDGED: "bold yellow",
}
_SEEN = 200  # characters of what was seen in the table; the stories have all of it
_INDENT = 4
_COMMENTED = re.compile(r"( *)(\S.*?) {2,}(# .*)")
_CALL = re.compile(r"( *)([\w.= ]+\()(.*)\)")


class _Console(Console):
    """A console whose reader may go away: the run continues, because its exit code still matters.

    Any other error in writing ends the run with UnwritableError.
    """

    def on_broken_pipe(self) -> None:
        self.quiet = True
        silence()

    def print(self, *objects: Any, **options: Any) -> None:
        try:
            super().print(*objects, **options)
            self.file.flush()
        except BrokenPipeError:
            self.on_broken_pipe()
        except OSError as error:
            raise UnwritableError(error) from None


@contextmanager
def progress(checks: Sequence[Check]) -> Iterator[Progress]:
    """Shows each check as it begins and ends."""
    console = _console()
    titles = {check.id: check.title for check in checks}
    width = max(map(len, titles))
    if not console.is_terminal:

        def print_line(name: str, outcome: Outcome | None) -> None:
            if outcome is not None:
                console.print(_line(outcome, width), soft_wrap=True)

        yield print_line
        return
    console.print(_row(width, Text("", "bold"), Text("check", "bold"), Text("what was seen", "bold"), Text("time")))
    with console.status("starting", spinner="line") as status:

        def print_row(name: str, outcome: Outcome | None) -> None:
            if outcome is None:
                status.update(Text(f"{name}: {titles[name]}"))
            else:
                console.print(_filled(outcome, width))

        yield print_row


def show(report: Report, checks: Sequence[Check]) -> None:
    """Prints what to give a run that is unjudged, what failed and what deserves a look, and the run in one line."""
    console = _console()
    titles = {check.id: check.title for check in checks}
    whole = verdict(report)
    if whole is Verdict.UNJUDGED:
        console.print()
        _prose(console, f"{whole}: {safe(report.unjudged)}", 0, _STYLES[whole])
    for outcome in report.outcomes:
        if outcome.finding.verdict in (Verdict.FAIL, Verdict.WARN):
            _story(console, outcome, titles[outcome.id])
    console.print()
    if report.stopped:
        _prose(console, f"{safe(report.stopped)}: only the checks above were run to their end", 0, "yellow")
    overall = "interrupted" if report.stopped and whole is not Verdict.FAIL else whole
    _prose(console, f"{overall}: {summary(report)}", 0, _STYLES[whole])


def _console() -> Console:
    """A console on standard output."""
    out = sys.stdout
    if isinstance(out, io.TextIOWrapper):
        out.reconfigure(errors="backslashreplace")  # a locale without a letter must not end the run
    system = colour_system(out)
    return _Console(force_terminal=system is not None, color_system=system, highlight=False, markup=False, emoji=False)


def _line(outcome: Outcome, width: int) -> Text:
    seen = line(outcome.finding.seen, _SEEN)
    return Text(f"{outcome.finding.verdict:4}  {outcome.id:{width}}  {outcome.seconds:5.2f} s  {seen}")


def _filled(outcome: Outcome, width: int) -> Table:
    style = _STYLES[outcome.finding.verdict]
    seen = Text(line(outcome.finding.seen, _SEEN), "dim" if outcome.finding.verdict is Verdict.SKIP else "")
    time = Text(f"{outcome.seconds:.2f} s")
    return _row(width, Text(outcome.finding.verdict, style), Text(outcome.id), seen, time)


def _row(width: int, *cells: Text) -> Table:
    """One row of the table; every row is printed by itself, and so the widths are fixed."""
    table = Table.grid(padding=(0, 2, 0, 0), expand=True)
    table.add_column(width=4)
    table.add_column(width=width)
    table.add_column(ratio=1)
    table.add_column(width=7, justify="right")
    table.add_row(*cells)
    return table


def _story(console: Console, outcome: Outcome, title: str) -> None:
    finding = outcome.finding
    console.print()
    heading = Text.assemble((finding.verdict, _STYLES[finding.verdict]), " ", (outcome.id, "bold"), f": {title}")
    console.print(heading, soft_wrap=True)
    _heading(console, "What was seen")
    for words in safe(finding.seen).split("\n"):
        _prose(console, words, _INDENT)
    _heading(console, "Likely cause")
    _text(console, finding.cause)
    _heading(console, "What to change")
    _text(console, finding.remedy)
    _heading(console, "More", f" {page(outcome.id)}")


def _heading(console: Console, name: str, rest: str = "") -> None:
    console.print(Text.assemble("  ", (f"{name}:", "bold"), rest), soft_wrap=True)


def _text(console: Console, text: str) -> None:
    """Prose wrapped at the terminal's width, code in its own lines."""
    for code, block in blocks(text):
        if not code:
            _prose(console, block, _INDENT)
            continue
        for words in block.split("\n"):
            for part in _fitted(words, console.width - _INDENT):
                console.print(Text(f"{' ' * _INDENT}{part}", "cyan"), soft_wrap=True)


def _fitted(code: str, width: int) -> list[str]:
    """A line of code; where it is too wide, with its comment above it, and the arguments of a call on their own line.

    What is too wide even so stays on one line, which a user can copy.
    """
    if len(code) <= width:
        return [code]
    if (commented := _COMMENTED.fullmatch(code)) is not None:
        indent, statement, comment = commented.groups()
        return [f"{indent}{comment}", *_fitted(indent + statement, width)]
    if (call := _CALL.fullmatch(code)) is not None and len(call[1]) + _INDENT + len(call[3]) <= width:
        return [call[1] + call[2], f"{call[1]}{' ' * _INDENT}{call[3]}", f"{call[1]})"]
    return [code]


def _prose(console: Console, words: str, indent: int, style: str = "") -> None:
    for part in Text(words).wrap(console, max(20, console.width - indent)):
        part.rstrip()
        console.print(Text.assemble(" " * indent, (part.plain, style)), soft_wrap=True)
