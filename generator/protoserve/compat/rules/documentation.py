"""What only people read: reported as a change that breaks nobody."""

from __future__ import annotations

from typing import Any

from protoserve.compat.change import Changes
from protoserve.schema.field_keys import FIELD_KEYS, NOBODY
from protoserve.schema.model import Where

# Keys that say how a thing came about or how long it will stay have rules of their own.
_OWN_RULES = ("deprecated", "renamed_from")
# `after` is the place of a message inside another one in the .proto.
KEYS = (*(row.attribute for row in FIELD_KEYS if row.breaks == NOBODY and row.name not in _OWN_RULES), "after")
# Attributes of the model that are places in files, and no part of the contract.
PLACES = ("where", "file")


def compare_documentation(was: Any, now: Any, path: str, where: Where, changes: Changes) -> None:
    """Reports which of the keys differ between two things of the model."""
    changed = [key for key in KEYS if _comparable(getattr(was, key, None)) != _comparable(getattr(now, key, None))]
    if changed:
        names = " and ".join(f"`{key}`" for key in changed)
        changes.add(path, where, "documentation-changed", (), f"{names} changed, which callers do not notice")


def _comparable(value: Any) -> Any:
    return "NaN" if value != value else value
