"""The forms in which a report is printed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protoserve.verify.checks.base import Check
from protoserve.verify.output import machine, terminal
from protoserve.verify.report import Report

FORMATS: dict[str, Callable[[Report, Sequence[Check]], None]] = {
    "terminal": terminal.show,
    "json": machine.as_json,
}
