"""A report for people: a table that fills while the checks run, and below it the story of each failure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console

from protoserve.verify.checks.base import Check
from protoserve.verify.report import Outcome, Report, Verdict
from protoserve.verify.run import Progress


@contextmanager
def progress(checks: Sequence[Check]) -> Iterator[Progress]:
    """Shows each check as it begins and ends."""
    console = Console(highlight=False)

    def show(name: str, outcome: Outcome | None) -> None:
        if outcome is not None:
            console.print(f"{outcome.finding.verdict:5} {name}: {outcome.finding.seen}", markup=False)

    yield show


def show(report: Report, checks: Sequence[Check]) -> None:
    """Prints what failed, with cause and remedy."""
    console = Console(highlight=False)
    for outcome in report.outcomes:
        if outcome.finding.verdict in (Verdict.FAIL, Verdict.WARN):
            console.print(f"\n{outcome.id}\n{outcome.finding.cause}\n{outcome.finding.remedy}", markup=False)
    console.print(f"\n{report.verdict} in {report.seconds:.1f} s, {report.requests} requests")
