"""What only people read: told as a change, and never a break."""

from __future__ import annotations

from typing import Any

from protoserve.compat.change import Changes
from protoserve.schema.model import Where

# Attributes of the model that no caller can notice; `where` and `file` are places, and `renamed_from` is read by the
# matching of fields and values.
KEYS = ("doc", "example", "source", "after")
HARMLESS = (*KEYS, "where", "file", "renamed_from")


def judge(was: Any, now: Any, path: str, where: Where, found: Changes) -> None:
    """Tells which of the keys differ between two things of the model."""
    changed = [key for key in KEYS if _plain(getattr(was, key, None)) != _plain(getattr(now, key, None))]
    if changed:
        said = " and ".join(f"`{key}`" for key in changed)
        found.add(path, where, "documentation-changed", (), f"{said} changed, which callers do not notice")


def _plain(value: Any) -> Any:
    return "NaN" if value != value else value
