"""A report as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from protoserve.verify.checks.base import Check
from protoserve.verify.report import Report


def as_json(report: Report, checks: Sequence[Check]) -> None:
    """Prints `{"target", "verdict", "checks": [{"id", "verdict", "seen", "cause", "remedy"}]}`, and more."""
    found = [
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
    whole = {
        "target": report.target,
        "platform": report.platform,
        "verdict": report.verdict,
        "requests": report.requests,
        "seconds": round(report.seconds, 3),
        "stopped": report.stopped,
        "checks": found,
    }
    json.dump(whole, sys.stdout, indent=2, ensure_ascii=False)
    print()
