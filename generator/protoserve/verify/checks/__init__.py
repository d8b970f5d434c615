"""The checks, in the order in which they run: those of the methods before those that flood the health service."""

from __future__ import annotations

from protoserve.verify.checks import implemented, reachable, serialization
from protoserve.verify.checks.base import Check

CHECKS: tuple[Check, ...] = (
    reachable.CHECK,
    implemented.CHECK,
    serialization.CHECK,
)
