"""Runs checks in their order: one fault gives one verdict, and the time is bounded whatever the server does."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from protoserve.verify.address import UsageError
from protoserve.verify.checks.base import Check
from protoserve.verify.report import HTTP_ONLY, Finding, Outcome, Verdict, skipped, warned

Progress = Callable[[str, Outcome | None], None]  # a check begins (None), and ends

_LEFT_OUT = "left out by --skip"


@dataclass(frozen=True, slots=True)
class Step:
    """A check that is bound to what it looks at."""

    check: Check
    find: Callable[[], Finding]


def run(steps: Sequence[Step], left: Callable[[], float], progress: Progress, skip: Collection[str]) -> None:
    """Tells every outcome to `progress` as it comes, so that an interrupted run has told what it had.

    `left` gives the seconds that the run has still got, `skip` names checks to leave out. One that others build upon
    runs all the same, since they need what it finds; its verdict is left out.
    """
    found: dict[str, Finding] = {}
    awaited = needed([step.check for step in steps], [step.check.id for step in steps if step.check.id not in skip])
    for step in steps:
        check = step.check
        progress(check.id, None)
        started = time.monotonic()
        if check.id in skip and check.id not in awaited:
            finding = skipped(_LEFT_OUT)
        elif (blocked := _blocked(check, found, skip)) is not None:
            finding = skipped(blocked)
        elif not left():
            finding = skipped("the time of this run is over; --only runs single checks")
        else:
            finding = _found(step)
        found[check.id] = finding
        told = skipped(_LEFT_OUT) if check.id in skip else finding
        progress(check.id, Outcome(check.id, told, time.monotonic() - started))


def needed(checks: Sequence[Check], only: Collection[str]) -> set[str]:
    """These checks and, through all steps, those that must not have failed before them."""
    after = {check.id: check.after for check in checks}
    found: set[str] = set()
    for name in only:
        step: str | None = name
        while step is not None:
            found.add(step)
            step = after.get(step)
    return found


def _found(step: Step) -> Finding:
    try:
        return step.find()
    except UsageError:
        raise
    except Exception as error:  # a defect of one check must not cost the others' verdicts
        return warned(
            f"this check broke: {type(error).__name__}: {error}",
            "A defect of protoserve verify, not of the server.",
            "Please report it, with the command and this line.",
        )


def _blocked(check: Check, found: Mapping[str, Finding], skip: Collection[str]) -> str | None:
    """Why the check cannot be judged: what it builds upon failed, or could itself not be judged for such a reason.

    What somebody leaves out by --skip stands in nobody's way.
    """
    before = found.get(check.after) if check.after is not None else None
    if before is None or check.after in skip:
        return None
    if before.verdict is Verdict.FAIL:
        return f"{check.after} failed"
    if before.verdict is Verdict.SKIP and before.seen.endswith((" failed", HTTP_ONLY)):
        return before.seen
    return None
