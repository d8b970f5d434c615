"""The results of a run as plain data: the checks create findings, the output formats print them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from textwrap import dedent

# How the skip of a gRPC check ends on a platform that needs no gRPC; what builds upon that check is skipped too.
HTTP_ONLY = "speaks HTTP only"


class Verdict(StrEnum):
    """`warn` deserves a look and breaks nothing; `skip` could not be judged."""

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict: what was seen (bytes, status, time); for warn and fail also the likely cause and the remedy.

    For a skip, `seen` is the reason.
    """

    verdict: Verdict
    seen: str
    cause: str = ""
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The finding of the check `id`, which took `seconds`."""

    id: str
    finding: Finding
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Report:
    """A whole run against `target`: `requests` counts the calls, `stopped` says why a run ended early."""

    target: str
    platform: str
    outcomes: tuple[Outcome, ...]
    requests: int = 0
    seconds: float = 0.0
    stopped: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of all checks: fail, else warn, else pass."""
        worst = first_with((outcome.finding for outcome in self.outcomes), Verdict.FAIL, Verdict.WARN)
        return Verdict.PASS if worst is None else worst.verdict

    @property
    def exit_code(self) -> int:
        """0 when no check failed, 1 when one did or the run was interrupted."""
        return 1 if self.stopped or self.verdict is Verdict.FAIL else 0


def passed(seen: str) -> Finding:
    return Finding(Verdict.PASS, seen)


def skipped(reason: str) -> Finding:
    return Finding(Verdict.SKIP, reason)


def failed(seen: str, cause: str, remedy: str) -> Finding:
    """`remedy` may be indented like the code around it."""
    return Finding(Verdict.FAIL, seen, cause, dedent(remedy).strip())


def warned(seen: str, cause: str, remedy: str) -> Finding:
    return Finding(Verdict.WARN, seen, cause, dedent(remedy).strip())


def first_with(findings: Iterable[Finding], *verdicts: Verdict) -> Finding | None:
    """The first finding with the first of these verdicts that any finding has."""
    by_verdict: dict[Verdict, Finding] = {}
    for finding in findings:
        by_verdict.setdefault(finding.verdict, finding)
    return next((by_verdict[verdict] for verdict in verdicts if verdict in by_verdict), None)
