"""What is gone, and what it left behind: numbers and names that nobody may use again."""

from __future__ import annotations

from protoserve.compat.change import Break, Changes, Directions
from protoserve.compat.matching import Numbered
from protoserve.schema.model import Reserved, Where


def holds(reserved: Reserved, number: int) -> bool:
    """Whether the number is reserved."""
    return any(low <= number <= high for low, high in reserved.ranges)


def report_removed(
    item: Numbered, path: str, what: str, kept: Reserved, where: Where, used: Directions, loss: str, changes: Changes
) -> None:
    """Reports a field or a value that is gone: who misses it, and whether its number and name can be used again."""
    breaks = set(used)
    unreserved = []
    if not holds(kept, item.number):
        breaks.add(Break.WIRE)
        unreserved.append(f"the number {item.number}")
    if item.name.upper() not in {name.upper() for name in kept.names}:
        breaks.add(Break.JSON)
        unreserved.append(f"the name {item.name}")
    effects = [loss] if loss else []
    if unreserved:
        effects.append(f"{' and '.join(unreserved)} can be used again for something else")
    why = f"it is gone: {'; '.join(effects) or 'no method led to it, and its number and name are reserved'}"
    remedy = f"keep the {what}" + (", marked `deprecated: true`" if what == "field" else " and let the model refuse it")
    if unreserved:
        kept_back = f"`reserved: {{numbers: [{item.number}], names: [{item.name}]}}`"
        remedy += f"; where no caller is left, `--accept-breaking` leaves {kept_back} in its place"
    changes.add(path, where, f"{what}-removed", breaks, why, remedy)


def compare_reserved(was: Reserved, now: Reserved, path: str, where: Where, changes: Changes) -> None:
    """Reports numbers and names that are no longer reserved."""
    path = f"{path}.reserved"
    freed = [span for span in was.ranges if not _covered(span, now)]
    names = [name for name in was.names if name not in now.names]
    if freed or names:
        breaks = {*([Break.WIRE] if freed else []), *([Break.JSON] if names else [])}
        gone = ", ".join([*(_shown(span) for span in freed), *names])
        why = f"{gone} was reserved: it belonged to something that old callers still know"
        changes.add(path, where, "reservation-removed", breaks, why, "put it back, and take another number or name")
    elif was != now:
        changes.add(path, where, "reserved", (), "numbers and names are reserved that were not")


def _shown(span: tuple[int, int]) -> str:
    return str(span[0]) if span[0] == span[1] else f"{span[0]} to {span[1]}"


def _covered(span: tuple[int, int], reserved: Reserved) -> bool:
    """Whether every number of the span is still reserved, by one range or by several that touch."""
    at = span[0]
    for low, high in sorted(reserved.ranges):
        if low <= at <= high:
            at = high + 1
    return at > span[1]
