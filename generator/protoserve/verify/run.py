"""Runs the checks in their order, so that one fault gives one verdict and the time is bounded whatever happens."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from protoserve.verify.address import UsageError
from protoserve.verify.checks.check import Check
from protoserve.verify.report import HTTP_ONLY, Finding, Outcome, Verdict, skipped, warned

Progress = Callable[[str, Outcome | None], None]  # called when a check begins (None) and when it ends

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
    """
    findings: dict[str, Finding] = {}
    required = needed([step.check for step in steps], [step.check.id for step in steps if step.check.id not in skip])
    for step in steps:
        check = step.check
        progress(check.id, None)
        started = time.monotonic()
        if check.id in skip and check.id not in required:
            finding = skipped(_LEFT_OUT)
        elif (reason := _blocked(check, findings, skip)) is not None:
            finding = skipped(reason)
        elif not left():
            finding = skipped("no time left in this run; use --only to run single checks")
        else:
            finding = _judged(step)
        findings[check.id] = finding
        shown = skipped(_LEFT_OUT) if check.id in skip else finding
        progress(check.id, Outcome(check.id, shown, time.monotonic() - started))


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


def _judged(step: Step) -> Finding:
    try:
        return step.judge()
    except UsageError:
        raise
    except Exception as error:  # a defect of one check must not cost the others' verdicts
        return warned(
            f"this check crashed: {type(error).__name__}: {error}",
            "This is a bug in protoserve verify, not in the server.",
            "Please report it, with the command and this line.",
        )


def _blocked(check: Check, findings: Mapping[str, Finding], skip: Collection[str]) -> str | None:
    """Why the check cannot be judged: the check that it builds upon failed, or was blocked in the same way.

    A check that was left out with --skip blocks no other.
    """
    before = findings.get(check.after) if check.after is not None else None
    if before is None or check.after in skip:
        return None
    if before.verdict is Verdict.FAIL:
        return f"{check.after} failed"
    if before.verdict is Verdict.SKIP and before.seen.endswith((" failed", HTTP_ONLY)):
        return before.seen
    return None
