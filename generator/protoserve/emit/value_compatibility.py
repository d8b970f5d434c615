"""Whether a value of one version's field is a value of another version's, for every value that it may have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from protoserve.emit import limit_code
from protoserve.runtime.bounds import quantity, span
from protoserve.schema.model import Contract, Field, Message, same_type
from protoserve.schema.types import SCALARS, Kind
from protoserve.wire import may_be_none


def obstacle(source: Contract, source_field: Field, target: Contract, target_field: Field) -> str | None:
    """Why a field of the version `source` cannot be carried over to a field of `target`; None where it can.

    The reason is a clause, for the author. Enums and messages are the same where their names are: what differs in them
    is reported where they are carried over themselves.
    """
    old, new = source.version, target.version
    same = same_type(source, source_field.type, target, target_field.type)
    same = same and _kind(source, source_field) == _kind(target, target_field)
    if _form(source_field) != _form(target_field) or not (same or _wider(source_field, target_field)):
        return f"it is {_called(source, source_field)} in {old} and {_called(target, target_field)} in {new}"
    for name in ("unit", "media_type"):
        was, is_now = getattr(source_field, name), getattr(target_field, name)
        if was != is_now:
            return f"its {name.replace('_', ' ')} is {was or 'not set'} in {old} and {is_now or 'not set'} in {new}"
    narrower = list(_refused(source_field, target_field))
    if narrower:
        return f"{new} allows only {', '.join(narrower)}, and {old} more"
    if (
        may_be_none(source_field)
        and not may_be_none(target_field)
        and target_field.default is None
        and target_field.oneof is None
    ):
        return f"it may be absent in {old}, and {new} requires it"
    return None


class Named(Protocol):
    """A field or an enum's value."""

    @property
    def name(self) -> str: ...
    @property
    def renamed_from(self) -> str | None: ...


T = TypeVar("T", bound=Named)


def match_by_name(source: Sequence[T], target: Sequence[T], *, to_newer: bool) -> dict[str, T]:
    """The item of `source` that becomes each of `target`, by the name of the latter: same name, else in another case.

    Where no name is the same, `renamed_from` of the newer side counts: that of `target` if `to_newer`.
    """
    exact_names = {item.name for item in target}
    same_case = {item.name: item for item in source}
    other_case = {item.name.lower(): item for item in source if item.name not in exact_names}
    target_names = {item.name.lower() for item in target}
    source_by_older_name = {
        item.renamed_from: item for item in source if item.renamed_from and item.name.lower() not in target_names
    }
    matches: dict[str, T] = {}
    for item in target:
        other = same_case.get(item.name) or other_case.get(item.name.lower())
        if other is None and not to_newer:
            other = source_by_older_name.get(item.name)
        elif other is None and item.renamed_from is not None and item.renamed_from.lower() not in target_names:
            other = same_case.get(item.renamed_from) or other_case.get(item.renamed_from.lower())
        if other is not None:
            matches[item.name] = other
    return matches


def oneof_obstacle(source: Message, members: Sequence[Field], origins: Sequence[Field]) -> str | None:
    """Why a oneof may be wrong whose `members` come from the fields `origins` of `source`, None where it is right."""
    groups = {field.oneof for field in origins}
    names = [field.name for field in origins]
    if len(origins) > 1 and (len(groups) > 1 or None in groups):
        return f"more than one of {', '.join(names)} may be given"
    if not members[0].required:
        return None
    if not origins:
        return "nothing becomes one of them"
    sure = not may_be_none(origins[0])
    if origins[0].oneof is not None:
        left = [field.name for field in source.oneofs[origins[0].oneof] if field not in origins]
        if left:
            return f"{', '.join(left)} may be given in its place"
        sure = origins[0].required
    return None if sure else f"{' and '.join(names)} may be absent"


def _form(field: Field) -> tuple[object, ...]:
    return field.repeated, field.key, field.shape


def _kind(contract: Contract, field: Field) -> str:
    if field.scalar is not None:
        return "scalar"
    return "message" if contract.enum(field.type) is None else "enum"


def _called(contract: Contract, field: Field) -> str:
    """The type as people write it."""
    name = field.type
    if field.shape is not None:
        return f"{name}[{', '.join(map(str, field.shape))}]"
    if field.is_map:
        return f"map<{field.key}, {name}>"
    return f"{name}[]" if field.repeated else name


def _wider(source_field: Field, target_field: Field) -> bool:
    """Whether another scalar type holds all values: int32 in int64. Arrays keep their type."""
    was, now = source_field.scalar, target_field.scalar
    if was is None or now is None or was.kind is not now.kind or not was.numeric or source_field.shape is not None:
        return False
    (low, high), (least, most) = _range(source_field), _range(target_field)
    return least <= low and high <= most and list(SCALARS).index(was.name) <= list(SCALARS).index(now.name)


def _range(field: Field) -> tuple[float, float]:
    """The smallest and the largest value that a numeric field may have."""
    scalar = SCALARS[field.type]
    low, high = limit_code.bounds(field)
    if scalar.kind is Kind.INT:
        return limit_code.integer_bounds(field)
    least = -math.inf if scalar.low is None else scalar.low
    most = math.inf if scalar.high is None else scalar.high
    return (least if low is None else low), (most if high is None else high)


def _refused(source_field: Field, target_field: Field) -> Iterator[str]:
    """What the target refuses and the source may hold, in words."""
    scalar = target_field.scalar
    if scalar is not None and scalar.numeric:
        (low, high), (least, most) = _range(source_field), _range(target_field)
        if low < least or high > most:
            yield span(target_field.minimum, target_field.maximum, target_field.type) or f"from {least} to {most}"
        if source_field.allow_nan and not target_field.allow_nan:
            yield "no NaN"
    if _outside(source_field.min_length, source_field.max_length, target_field.min_length, target_field.max_length):
        unit = "bytes" if target_field.type == "bytes" else "characters"
        yield quantity(target_field.min_length, target_field.max_length, unit)
    if target_field.pattern is not None and target_field.pattern != source_field.pattern:
        yield f"what matches `{target_field.pattern}`"
    if _outside(source_field.min_items, source_field.max_items, target_field.min_items, target_field.max_items):
        unit = "elements" if target_field.dynamic else "items"
        yield quantity(target_field.min_items, target_field.max_items, unit)


def _outside(low: int | None, high: int | None, least: int | None, most: int | None) -> bool:
    return (low or 0) < (least or 0) or (most is not None and (high is None or high > most))
