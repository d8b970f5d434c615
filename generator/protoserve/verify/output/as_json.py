"""A report as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from protoserve.platform.printing import write
from protoserve.verify.checks.check import Check
from protoserve.verify.output.escaping import verdict
from protoserve.verify.report import Report, Verdict


def show(report: Report, checks: Sequence[Check]) -> None:
    """Prints it."""
    write(dumps(whole(report)))


def whole(report: Report) -> dict[str, Any]:
    """`{"target", "verdict", "checks": [{"id", "verdict", "seen", "cause", "remedy"}]}`, and more."""
    checks = [
        {
            "id": outcome.id,
            "verdict": outcome.finding.verdict,
            "seen": outcome.finding.seen,
            "cause": outcome.finding.cause,
            "remedy": outcome.finding.remedy,
            "seconds": round(outcome.seconds, 3),
        }
        for outcome in report.outcomes
    ]
    return {
        "target": report.target,
        "platform": report.platform,
        "verdict": verdict(report),
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
        "stopped": report.stopped,
        "unjudged": report.unjudged if verdict(report) is Verdict.UNJUDGED else "",
        "checks": checks,
    }


def dumps(value: Any) -> str:
    """Readable JSON, with invisible characters as escapes."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)
