"""The versions that were dropped with `protoserve version --drop`, so that their absence is not a break."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from protoserve.emit.generated_files import Plan
from protoserve.platform.reading import read_if_exists

FILE = ".protoserve/dropped.txt"


def read(project: Path) -> tuple[str, ...]:
    """The proto packages of the dropped versions."""
    return tuple((read_if_exists(project / FILE, project) or b"").decode(errors="replace").split())


def record(plan: Plan, package: str) -> Plan:
    """The plan that also records this package as dropped."""
    packages = sorted({*read(plan.project), package})
    return replace(plan, files={**plan.files, FILE: "".join(f"{name}\n" for name in packages).encode()})
