"""Limits that became narrower or wider: the first breaks requests, the second breaks replies."""

from __future__ import annotations

import math
from collections.abc import Callable

from protoserve.compat.change import Break, Changes, Directions
from protoserve.schema.model import Field
from protoserve.schema.types import Kind, cast

Number = float | int


def judge(was: Field, now: Field, path: str, used: Directions, found: Changes) -> None:
    """Tells every limit that changed, between fields whose values are of one kind."""
    for name, low in _LOWER.items():
        _told(name, _sign(low(was), low(now)), was, now, path, used, found)
    for name, high in _UPPER.items():
        _told(name, -_sign(high(was), high(now)), was, now, path, used, found)
    if was.allow_nan != now.allow_nan:
        _told("allow_nan", 1 if was.allow_nan else -1, was, now, path, used, found)
    if was.pattern == now.pattern:
        return
    if was.pattern is None or now.pattern is None:
        _told("pattern", 1 if was.pattern is None else -1, was, now, path, used, found)
        return
    why = (
        f"`pattern` is {now.pattern}, was {was.pattern}: no one can say that every text that fitted one fits the other"
    )
    remedy = "keep the pattern, or make a new field for texts of the other form"
    found.add(path, now.where, "pattern-changed", used, why, remedy)


def _sign(was: Number, now: Number) -> int:
    """1 where the lower limit rose, -1 where it fell."""
    return (now > was) - (now < was)


def _minimum(field: Field) -> Number:
    scalar = field.scalar
    if scalar is None or scalar.low is None:
        return -math.inf
    return scalar.low if field.minimum is None else max(cast(scalar, field.minimum), scalar.low)


def _maximum(field: Field) -> Number:
    scalar = field.scalar
    if scalar is None or scalar.high is None:
        return math.inf
    return scalar.high if field.maximum is None else min(cast(scalar, field.maximum), scalar.high)


def _min_items(field: Field) -> Number:
    if field.min_items is not None:
        return field.min_items
    return 1 if field.dynamic else 0  # an array has at least one element, unless the schema says otherwise


def _max_items(field: Field) -> Number:
    return min(_most(field.max_items), 2 if field.key == "bool" else math.inf)


def _most(value: int | None) -> Number:
    return math.inf if value is None else value


_LOWER: dict[str, Callable[[Field], Number]] = {
    "minimum": _minimum,
    "min_length": lambda field: field.min_length or 0,
    "min_items": _min_items,
}
_UPPER: dict[str, Callable[[Field], Number]] = {
    "maximum": _maximum,
    "max_length": lambda field: _most(field.max_length),
    "max_items": _max_items,
}


def _told(name: str, narrower: int, was: Field, now: Field, path: str, used: Directions, found: Changes) -> None:
    if not narrower:
        return
    before, after = getattr(was, name), getattr(now, name)
    said = f"`{name}` is {_shown(after)}, was {_shown(before)}"
    if before == after:
        said = f"{now.type} has other limits than {was.type}"
    if narrower > 0:
        breaks = used & {Break.REQUEST}
        effect = "requests that were right are refused" if breaks else "replies keep to less than before"
        remedy = "keep the limit, or let the model answer such a request as well as it can"
        found.add(f"{path}.{name}", now.where, "limit-narrowed", breaks, f"{said}: {effect}", remedy)
        return
    breaks = used & {Break.RESPONSE}
    effect = "replies may hold what callers never had to expect" if breaks else "more requests are taken than before"
    remedy = "keep the limit, or give the wider value in a new field"
    found.add(f"{path}.{name}", now.where, "limit-widened", breaks, f"{said}: {effect}", remedy)


def _shown(value: object) -> str:
    return "not given" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def takes_zero(field: Field, *, enum: bool) -> bool:
    """Whether the value that an implicit field has when it is not sent is within its limits."""
    if enum:
        return False  # 0 is UNSPECIFIED, which every request is refused for
    if field.shape is not None:
        return not field.required
    scalar = field.scalar
    if scalar is not None and scalar.kind in (Kind.INT, Kind.FLOAT):
        return _minimum(field) <= 0 <= _maximum(field)
    return not field.min_length and field.pattern is None
