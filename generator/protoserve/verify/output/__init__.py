"""The forms in which a report is printed on standard output."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protoserve.verify.checks.check import Check
from protoserve.verify.output import as_json, junit, markdown, terminal
from protoserve.verify.report import Report

FORMATS: dict[str, Callable[[Report, Sequence[Check]], None]] = {
    "terminal": terminal.show,
    "json": as_json.show,
    "junit": junit.show,
    "markdown": markdown.show,
}
