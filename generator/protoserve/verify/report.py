"""The results of a run as plain data: the checks create findings, the output formats print them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from textwrap import dedent

GIVE_TIME = "Run single checks with --only, or raise --timeout."


class Verdict(StrEnum):
    """`warn` deserves a look and breaks nothing; `skip` is of a check that was not judged.

    `unjudged` is of a whole run only: nothing failed, but what decides whether a server is sound was not judged.
    """

    PASS = "pass"
    WARN = "warn"
    FAIL = "fail"
    SKIP = "skip"
    UNJUDGED = "unjudged"


_LONGEST_TEXT = 4000


@dataclass(frozen=True, slots=True)
class Finding:
    """One verdict: what was seen (bytes, status, time); for warn and fail also the likely cause and the remedy.

    For a skip, `seen` is the reason. `give` says what verify needs to judge a check that it could not judge; it is
    empty where there is nothing to judge. With `blocks`, what builds upon the check is skipped for the same reason.
    `deferrals` are faults that were seen here and that other checks report.
    """

    verdict: Verdict
    seen: str
    cause: str = ""
    remedy: str = ""
    give: str = ""
    blocks: bool = False
    deferrals: tuple[Deferral, ...] = ()


@dataclass(frozen=True, slots=True)
class Deferral:
    """A fault is left to the check `to`, so that it is reported once; `otherwise` holds if that check reports none."""

    to: str
    otherwise: Finding


@dataclass(frozen=True, slots=True)
class Outcome:
    """The finding of the check `id`, which took `seconds`.

    `decisive` is whether a run is unjudged without the check's verdict.
    """

    id: str
    finding: Finding
    seconds: float = 0.0
    decisive: bool = False


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
        """The worst verdict of all checks: fail, else unjudged, else warn, else pass."""
        worst = first_with((outcome.finding for outcome in self.outcomes), Verdict.FAIL, Verdict.WARN)
        if self.unjudged and (worst is None or worst.verdict is not Verdict.FAIL):
            return Verdict.UNJUDGED
        return Verdict.PASS if worst is None else worst.verdict

    @property
    def unjudged(self) -> str:
        """Which decisive checks could not be judged, why, and what to give verify; empty if all were."""
        gaps: dict[str, list[Outcome]] = {}  # by what to give
        for outcome in self.outcomes:
            if outcome.decisive and outcome.finding.give:
                gaps.setdefault(outcome.finding.give, []).append(outcome)
        return " ".join(
            f"{', '.join(outcome.id for outcome in outcomes)} could not be judged: {outcomes[0].finding.seen}"
            for outcomes in gaps.values()
        )

    @property
    def exit_code(self) -> int:
        """0 when no check failed, 1 when one did or the run was interrupted, 3 when it is unjudged."""
        if self.stopped or self.verdict is Verdict.FAIL:
            return 1
        return 3 if self.verdict is Verdict.UNJUDGED else 0


def shortened(outcome: Outcome) -> Outcome:
    """The outcome with texts that a person can read: names of thousands of services are cut."""
    finding = outcome.finding
    cut = replace(
        finding,
        seen=_cut(finding.seen),
        cause=_cut(finding.cause),
        remedy=_cut(finding.remedy),
        give=_cut(finding.give),
    )
    return replace(outcome, finding=cut)


def _cut(text: str) -> str:
    rest = len(text) - _LONGEST_TEXT
    return text if rest <= 0 else f"{text[:_LONGEST_TEXT]}... ({rest} more characters)"


def passed(seen: str) -> Finding:
    return Finding(Verdict.PASS, seen)


def skipped(reason: str) -> Finding:
    """There is nothing to judge, for this reason."""
    return Finding(Verdict.SKIP, reason)


def unjudged(reason: str, give: str) -> Finding:
    """It could not be judged; `give` is a sentence that says what verify needs."""
    return Finding(Verdict.SKIP, f"{reason}. {give}", give=give)


def deferred(to: str, otherwise: Finding) -> Finding:
    """What was seen is the fault that the check `to` reports; if it does not, `otherwise` is the finding."""
    return Finding(Verdict.SKIP, f"{otherwise.seen}; see {to}", deferrals=(Deferral(to, otherwise),))


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


def combined(findings: Iterable[Finding]) -> Finding:
    """One finding for several subjects: the first failure, else the first warning, else what was seen of all.

    It is a pass if any of them passed and none is left to another check.
    """
    judged = list(findings)
    deferrals = tuple(deferral for finding in judged for deferral in finding.deferrals)
    if (bad := first_with(judged, Verdict.FAIL, Verdict.WARN)) is not None:
        return bad if bad.verdict is Verdict.FAIL else replace(bad, deferrals=deferrals)
    seen = "; ".join(dict.fromkeys(finding.seen for finding in judged))
    some_passed = any(finding.verdict is Verdict.PASS for finding in judged)
    some_left = any(finding.verdict is Verdict.SKIP and finding.deferrals for finding in judged)
    return Finding(
        Verdict.PASS if some_passed and not some_left else Verdict.SKIP,
        seen,
        give="" if some_passed else next((finding.give for finding in judged if finding.give), ""),
        deferrals=deferrals,
    )
