"""Whether a value of one version's field is a value of another version's, for every value that it may have."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol, TypeVar

from protoserve.emit import limit_code
from protoserve.runtime.bounds import span
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import SCALARS, Kind
from protoserve.wire import may_be_none


def obstacle(source: Contract, given: Field, target: Contract, wanted: Field) -> str | None:
    """Why `given` of the version `source` cannot be carried over to `wanted` of `target`, None where it can.

    A sentence without its end, for the author. Enums and messages are the same where their names are: what differs
    in them is told where they are carried over themselves.
    """
    old, new = source.version, target.version
    if _form(given) != _form(wanted):
        return f"it is {_called(source, given)} in {old} and {_called(target, wanted)} in {new}"
    same = given.type == wanted.type and _kind(source, given) == _kind(target, wanted)
    if not same and not _wider(given, wanted):
        return f"it is {_called(source, given)} in {old} and {_called(target, wanted)} in {new}"
    for name in ("unit", "media_type"):
        was, is_now = getattr(given, name), getattr(wanted, name)
        if was != is_now:
            return f"its {name.replace('_', ' ')} is {was or 'not said'} in {old} and {is_now or 'not said'} in {new}"
    narrower = _narrower(given, wanted)
    if narrower:
        return f"{new} allows only {narrower}, and {old} more"
    if may_be_none(given) and not may_be_none(wanted) and wanted.default is None and wanted.oneof is None:
        return f"it may be absent in {old}, and {new} requires it"
    return None


class Named(Protocol):
    """A field or an enum's value."""

    @property
    def name(self) -> str: ...
    @property
    def renamed_from(self) -> str | None: ...


T = TypeVar("T", bound=Named)


def pairs(given: Sequence[T], wanted: Sequence[T], *, rising: bool) -> dict[str, T]:
    """What becomes what: by the names of `wanted`, those of `given` with the same name (in any case), or a new one.

    `rising` says that `wanted` is the newer side, whose `renamed_from` counts where no name is the same.
    """
    by_name = {item.name.lower(): item for item in given}
    taken = {item.name.lower() for item in wanted}
    fallen = {item.renamed_from: item for item in given if item.renamed_from and item.name.lower() not in taken}
    found: dict[str, T] = {}
    for item in wanted:
        other = by_name.get(item.name.lower())
        if other is None and not rising:
            other = fallen.get(item.name)
        elif other is None and item.renamed_from is not None and item.renamed_from.lower() not in taken:
            other = by_name.get(item.renamed_from.lower())
        if other is not None:
            found[item.name] = other
    return found


def choice(source: Message, members: Sequence[Field], given: Sequence[Field]) -> str | None:
    """Why a oneof may be wrong whose `members` come from the fields `given` of `source`, None where it is right."""
    groups = {field.oneof for field in given}
    names = [field.name for field in given]
    if len(given) > 1 and (len(groups) > 1 or None in groups):
        return f"more than one of {', '.join(names)} may be given"
    if not members[0].required:
        return None
    if not given:
        return "nothing becomes one of them"
    sure = not may_be_none(given[0])
    if given[0].oneof is not None:
        left = [field.name for field in source.oneofs[given[0].oneof] if field not in given]
        if left:
            return f"{', '.join(left)} may be given in its place"
        sure = given[0].required
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


def _wider(given: Field, wanted: Field) -> bool:
    """Whether another scalar type holds all values: int32 in int64. Arrays keep their type."""
    was, now = given.scalar, wanted.scalar
    if was is None or now is None or was.kind is not now.kind or not was.numeric or given.shape is not None:
        return False
    (low, high), (least, most) = _range(given), _range(wanted)
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


def _narrower(given: Field, wanted: Field) -> str:
    """What the target refuses and the source may hold, in words; empty where there is nothing."""
    return ", ".join(_refused(given, wanted))


def _refused(given: Field, wanted: Field) -> Iterator[str]:
    scalar = wanted.scalar
    if scalar is not None and scalar.numeric:
        (low, high), (least, most) = _range(given), _range(wanted)
        if low < least or high > most:
            yield span(wanted.minimum, wanted.maximum, wanted.type) or f"from {least} to {most}"
        if given.allow_nan and not wanted.allow_nan:
            yield "no NaN"
    if _outside(given.min_length, given.max_length, wanted.min_length, wanted.max_length):
        unit = "bytes" if wanted.type == "bytes" else "characters"
        yield f"{span(wanted.min_length, wanted.max_length)} {unit}"
    if wanted.pattern is not None and wanted.pattern != given.pattern:
        yield f"what matches `{wanted.pattern}`"
    if _outside(given.min_items, given.max_items, wanted.min_items, wanted.max_items):
        yield f"{span(wanted.min_items, wanted.max_items)} {'elements' if wanted.dynamic else 'items'}"


def _outside(low: int | None, high: int | None, least: int | None, most: int | None) -> bool:
    return (low or 0) < (least or 0) or (most is not None and (high is None or high > most))
