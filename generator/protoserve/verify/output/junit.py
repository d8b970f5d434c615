"""A report as JUnit's XML, which CI systems show as a list of tests: each check is a test case."""

from __future__ import annotations

from collections.abc import Sequence

from junitparser import Error, Failure, JUnitXml, Skipped, TestCase, TestSuite

from protoserve.platform.printing import write
from protoserve.verify.checks.check import Check
from protoserve.verify.output.check_pages import page
from protoserve.verify.output.escaping import line, safe, verdict
from protoserve.verify.report import Outcome, Report, Verdict

_CLASS = "protoserve.verify"
_MESSAGE = 300


def show(report: Report, checks: Sequence[Check]) -> None:
    """Prints it. A warn is a passed case with the details as output; a run that was interrupted or is unjudged has one
    more case."""
    suite = TestSuite(f"protoserve verify {line(report.target, 200)}")
    suite.add_property("platform", report.platform)
    suite.add_property("requests", str(report.requests))
    for outcome in report.outcomes:
        suite.add_testcase(_case(outcome))
    if report.stopped:
        suite.add_testcase(_whole_run(report.stopped, "stopped"))
    elif verdict(report) is Verdict.UNJUDGED:
        suite.add_testcase(_whole_run(line(report.unjudged, _MESSAGE), "unjudged"))
    whole = JUnitXml("protoserve verify")
    whole.add_testsuite(suite)
    whole.update_statistics()  # type: ignore[no-untyped-call]
    suite.time = whole.time = round(report.seconds, 3)
    write(f'<?xml version="1.0" encoding="utf-8"?>\n{whole.tostring().decode()}')  # type: ignore[no-untyped-call]


def _whole_run(message: str, kind: str) -> TestCase:
    case = TestCase("the whole run", classname=_CLASS, time=0)
    case.result = [Error(message, kind)]
    return case


def _case(outcome: Outcome) -> TestCase:
    finding = outcome.finding
    case = TestCase(outcome.id, classname=_CLASS, time=round(outcome.seconds, 3))
    if finding.verdict is Verdict.SKIP:
        case.result = [Skipped(line(finding.seen, _MESSAGE))]
    elif finding.verdict is Verdict.FAIL:
        failure = Failure(line(finding.seen, _MESSAGE), "fail")
        failure.text = _story(outcome)
        case.result = [failure]
    elif finding.verdict is Verdict.WARN:
        case.system_out = _story(outcome)
    else:
        case.system_out = safe(finding.seen)
    return case


def _story(outcome: Outcome) -> str:
    finding = outcome.finding
    parts = (finding.verdict, finding.seen, finding.cause, finding.remedy, f"See {page(outcome.id)}")
    return safe("\n\n".join(parts))
