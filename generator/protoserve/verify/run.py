"""Runs the checks in their order, so that one fault gives one verdict and the time is bounded whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from protoserve.verify.address import UsageError
from protoserve.verify.checks.check import Check
from protoserve.verify.report import GIVE_TIME, Finding, Outcome, Verdict, skipped, unjudged, warned

# Called when a check begins (None) and when it ends; again if its finding changes afterwards.
Progress = Callable[[str, Outcome | None], None]

_LEFT_OUT = "left out by --skip"


@dataclass(frozen=True, slots=True)
class Step:
    """A check with what it looks at bound to it."""

    check: Check
    judge: Callable[[], Finding]


def run(steps: Sequence[Step], left: Callable[[], float], progress: Progress, skip: Collection[str]) -> None:
    """Passes each outcome to `progress` at once, so that an interrupted run keeps those that it had.

    `left` returns the seconds that remain of the run; `skip` names the checks to leave out. A check that others build
    upon runs even then, since they need what it learns; only its verdict is left out.

    A finding that leaves a fault to another check holds only if that check reports one. Where that check comes later,
    the finding is passed on as it is, and once more at the end if nothing was reported.
    """
    findings: dict[str, Finding] = {}
    seconds: dict[str, float] = {}
    required = needed([step.check for step in steps], [step.check.id for step in steps if step.check.id not in skip])
    later = [step.check.id for step in steps if step.check.id not in skip or step.check.id in required]

    def pass_on(check: Check) -> None:
        shown = skipped(_LEFT_OUT) if check.id in skip else findings[check.id]
        progress(check.id, Outcome(check.id, shown, seconds[check.id], check.decisive))

    for step in steps:
        check = step.check
        progress(check.id, None)
        started = time.monotonic()
        if check.id in skip and check.id not in required:
            finding = skipped(_LEFT_OUT)
        elif (blocked := _blocked(check, findings, skip)) is not None:
            finding = blocked
        elif not left():
            finding = unjudged("no time left in this run", GIVE_TIME)
        else:
            finding = _judged(step)
        seconds[check.id] = time.monotonic() - started
        later = [other for other in later if other != check.id]
        findings[check.id] = _settled(finding, findings, later)
        pass_on(check)
    for step in steps:
        settled = _settled(findings[step.check.id], findings, ())
        if settled != findings[step.check.id]:
            findings[step.check.id] = settled
            pass_on(step.check)


def needed(checks: Sequence[Check], only: Collection[str]) -> set[str]:
    """The ids in `only`, and of all checks that these build upon, directly or not."""
    after = {check.id: check.after for check in checks}
    ids: set[str] = set()
    for name in only:
        step: str | None = name
        while step is not None:
            ids.add(step)
            step = after.get(step)
    return ids


def _settled(finding: Finding, findings: Mapping[str, Finding], later: Collection[str]) -> Finding:
    """The finding, or what holds instead because a check to which it leaves a fault has reported none.

    `later` are the checks that may still report it.
    """
    for deferral in finding.deferrals:
        other = findings.get(deferral.to)
        reports = other is not None and other.verdict in (Verdict.FAIL, Verdict.WARN)
        if not reports and deferral.to not in later:
            return deferral.otherwise
    return finding


def _judged(step: Step) -> Finding:
    try:
        return step.judge()
    except UsageError:
        raise
    except Exception as error:  # a defect of one check must not cost the others' verdicts
        remedy = "Please report it, with the command and this line."
        crash = warned(
            f"this check crashed: {type(error).__name__}: {error}",
            "This is a bug in protoserve verify, not in the server.",
            remedy,
        )
        return replace(crash, give=remedy)


def _blocked(check: Check, findings: Mapping[str, Finding], skip: Collection[str]) -> Finding | None:
    """A skip if the check that this one builds upon failed, or was blocked in the same way.

    A check that was left out with --skip blocks no other.
    """
    before = findings.get(check.after) if check.after is not None else None
    if before is None or check.after in skip:
        return None
    if before.verdict is Verdict.FAIL:
        return Finding(Verdict.SKIP, f"{check.after} failed", blocks=True)
    return before if before.blocks else None
