"""How values of two contracts are written in messages."""

from __future__ import annotations


def shown(value: object) -> str:
    if value is None:
        return "not given"
    return str(value).lower() if isinstance(value, bool) else str(value)
