"""Limits that became narrower or wider: the first breaks requests, the second breaks replies."""

from __future__ import annotations

import math
from collections.abc import Callable

from protoserve.compat.change import Break
from protoserve.compat.rules.field_pair import FieldPair
from protoserve.compat.rules.value_text import shown
from protoserve.schema.model import Field
from protoserve.schema.types import Kind, cast
from protoserve.wire import least_items

Number = float | int


def compare_limits(pair: FieldPair) -> None:
    """Reports every limit that changed, between fields whose values are of one kind."""
    was, now = pair.before, pair.after
    for name, low in _LOWER.items():
        _report(pair, name, narrower=low(now) > low(was), wider=low(now) < low(was))
    for name, high in _UPPER.items():
        _report(pair, name, narrower=high(now) < high(was), wider=high(now) > high(was))
    _report(pair, "allow_nan", narrower=was.allow_nan > now.allow_nan, wider=was.allow_nan < now.allow_nan)
    if was.pattern is None or now.pattern is None:
        # Both are false where neither has a pattern.
        _report(pair, "pattern", narrower=now.pattern is not None, wider=was.pattern is not None)
    elif was.pattern != now.pattern:
        why = f"`pattern` is {now.pattern}, was {was.pattern}: a text that matches one may not match the other"
        remedy = "keep the pattern, or make a new field for texts of the other form"
        pair.report("pattern-changed", pair.used, why, remedy)


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


def _max_items(field: Field) -> Number:
    return min(_most(field.max_items), 2 if field.key == "bool" else math.inf)


def _most(value: int | None) -> Number:
    return math.inf if value is None else value


_LOWER: dict[str, Callable[[Field], Number]] = {
    "minimum": _minimum,
    "min_length": lambda field: field.min_length or 0,
    "min_items": least_items,
}
_UPPER: dict[str, Callable[[Field], Number]] = {
    "maximum": _maximum,
    "max_length": lambda field: _most(field.max_length),
    "max_items": _max_items,
}


KEYS = (*_LOWER, *_UPPER, "allow_nan", "pattern")


def _report(pair: FieldPair, key: str, *, narrower: bool, wider: bool) -> None:
    before, after = getattr(pair.before, key), getattr(pair.after, key)
    difference = f"`{key}` is {shown(after)}, was {shown(before)}"
    if before == after:
        difference = f"{pair.after.type} has other limits than {pair.before.type}"
    if narrower:
        breaks = pair.used & {Break.REQUEST}
        effect = "requests that were valid are refused" if breaks else "replies keep to less than before"
        remedy = "keep the limit, or let the model answer such a request as well as it can"
        pair.report("limit-narrowed", breaks, f"{difference}: {effect}", remedy, key=key)
    elif wider:
        breaks = pair.used & {Break.RESPONSE}
        effect = "replies may hold what callers never had to expect" if breaks else "more requests are valid"
        remedy = "keep the limit, or give the wider value in a new field"
        pair.report("limit-widened", breaks, f"{difference}: {effect}", remedy, key=key)


def takes_zero(field: Field, *, enum: bool) -> bool:
    """Whether the value that an implicit field has when it is not sent is within its limits."""
    if enum:
        return False  # 0 is UNSPECIFIED, which no request may hold
    if field.shape is not None:
        return not field.required
    scalar = field.scalar
    if scalar is not None and scalar.kind in (Kind.INT, Kind.FLOAT):
        return _minimum(field) <= 0 <= _maximum(field)
    return not field.min_length and field.pattern is None
