"""A report as SARIF 2.1.0, for code scanning: a rule a check, a result for each fail and warn.

https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from protoserve.platform.printing import write
from protoserve.verify.checks.base import Check
from protoserve.verify.output import as_json, markdown
from protoserve.verify.output.pages import page, uri
from protoserve.verify.output.text import line, safe
from protoserve.verify.report import Outcome, Report, Verdict

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
_LEVELS = {Verdict.FAIL: "error", Verdict.WARN: "warning"}


def show(report: Report, checks: Sequence[Check]) -> None:
    """Prints it."""
    invocation: dict[str, Any] = {"executionSuccessful": not report.stopped, "exitCode": report.exit_code}
    if report.stopped:
        invocation["toolExecutionNotifications"] = [{"level": "error", "message": {"text": report.stopped}}]
    driver = {
        "name": "protoserve verify",
        "version": importlib.metadata.version("protoserve"),
        "rules": [_rule(check) for check in checks],
    }
    ids = [check.id for check in checks]
    found = [outcome for outcome in report.outcomes if outcome.finding.verdict in _LEVELS]
    run = {
        "tool": {"driver": driver},
        "invocations": [invocation],
        "results": [_result(report, outcome, ids.index(outcome.id)) for outcome in found],
        "properties": {"target": report.target, "platform": report.platform, "requests": report.requests},
    }
    write(as_json.dumps({"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}))


def _rule(check: Check) -> dict[str, Any]:
    name = "".join(word.capitalize() for word in check.id.split("-"))
    rule: dict[str, Any] = {
        "id": check.id,
        "name": name,
        "shortDescription": {"text": check.asks},
        "help": {"text": f"{check.asks}: see {page(check.id)}"},
    }
    where = uri(check.id)
    return rule if where is None else {**rule, "helpUri": where}


def _result(report: Report, outcome: Outcome, index: int) -> dict[str, Any]:
    finding = outcome.finding
    text = "\n\n".join((finding.cause, finding.seen, finding.remedy))
    return {
        "ruleId": outcome.id,
        "ruleIndex": index,
        "level": _LEVELS[finding.verdict],
        "message": {"text": _plain(text), "markdown": markdown.story(outcome)},
        "locations": [_location(report, finding.seen)],
        "partialFingerprints": {"protoserveVerify/v1": f"{outcome.id} of {line(report.target, 200)}"},
    }


def _plain(text: str) -> str:
    """The text as SARIF's plain messages want it: `[words](there)` would be a link."""
    return re.sub(r"\[(?=[^\]]*\]\()", r"\\[", safe(text))


def _location(report: Report, seen: str) -> dict[str, Any]:
    """The contract or specification, at the line that `seen` names; else the target's name as a file.

    GitHub refuses a whole upload for one result without a file, and shows what file it names, there or not.
    """
    named = re.search(re.escape(report.source) + r":(\d+)", seen) if report.source else None
    return {
        "physicalLocation": {
            "artifactLocation": {"uri": _reference(report.source or report.target)},
            "region": {"startLine": max(1, int(named[1])) if named else 1},
        },
        "logicalLocations": [{"fullyQualifiedName": line(report.target, 200), "kind": "resource"}],
    }


def _reference(path: str) -> str:
    """A path as a relative URI, seen from the current folder where it lies below it."""
    here = Path(path)
    if here.is_absolute() and here.is_relative_to(Path.cwd()):
        path = str(here.relative_to(Path.cwd()))
    return quote(Path(path).as_posix(), safe="/", errors="backslashreplace")
