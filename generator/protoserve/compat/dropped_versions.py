"""The versions that a project dropped by command: a package that is gone from its schemas and named here broke nothing
by accident."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from protoserve.emit.generated_files import Plan

FILE = ".protoserve/dropped.txt"


def read(project: Path) -> tuple[str, ...]:
    """The proto packages that were dropped."""
    try:
        return tuple((project / FILE).read_text(encoding="utf-8").split())
    except OSError:
        return ()


def with_one_more(plan: Plan, package: str) -> Plan:
    """The plan that writes down one more."""
    listed = sorted({*read(plan.project), package})
    return replace(plan, files={**plan.files, FILE: "".join(f"{name}\n" for name in listed).encode()})
