"""The limits of a field as Python conditions, and the largest message that they allow."""

from __future__ import annotations

from dataclasses import dataclass

from protoserve.runtime.bounds import quantity, span
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import FLOAT16_MAX, SCALARS, Kind, ScalarType, cast


@dataclass(frozen=True, slots=True)
class Condition:
    """A Python expression that is true when a value breaks a limit, and the violation in words.

    `got` is the Python expression whose value the violation ends with.
    """

    broken: str
    wanted: str
    got: str


def bounds(field: Field) -> tuple[float | int | None, float | int | None]:
    """The field's minimum and maximum as its type holds them."""
    scalar = SCALARS[field.type]
    low = None if field.minimum is None else cast(scalar, field.minimum)
    high = None if field.maximum is None else cast(scalar, field.maximum)
    return low, high


def integer_bounds(field: Field) -> tuple[int, int]:
    """The smallest and the largest integer: the author's limits, else the type's own."""
    scalar = SCALARS[field.type]
    low, high = bounds(field)
    return int(scalar.low or 0) if low is None else int(low), int(scalar.high or 0) if high is None else int(high)


def conditions(contract: Contract, message: Message, field: Field, value: str) -> list[Condition]:
    """The checks of one scalar, or one element, in the expression `value` as it came over the wire, in order."""
    scalar = field.scalar
    if scalar is None:
        return []
    if scalar.kind is Kind.FLOAT:
        return _float(field, scalar, value)
    if scalar.kind is Kind.INT:
        low, high = integer_bounds(field)
        if field.minimum is None and field.maximum is None and not scalar.element_bytes:
            return []
        wanted = f"must be {span(low, high)}"
        if field.maximum is None and not scalar.element_bytes:
            return [Condition(f"{value} < {low}", f"must be at least {low}", value)]
        if field.minimum is None and not scalar.element_bytes:
            return [Condition(f"{value} > {high}", f"must be at most {high}", value)]
        return [Condition(f"not {low} <= {value} <= {high}", wanted, value)]
    if scalar.kind in (Kind.STRING, Kind.BYTES):
        return _length(message, field, scalar, value)
    return []


def _float(field: Field, scalar: ScalarType, value: str) -> list[Condition]:
    low, high = bounds(field)
    wanted = f"must be {span(low, high, scalar.name)}"
    if field.allow_nan:
        parts = [f"{value} < {low!r}"] * (low is not None) + [f"{value} > {high!r}"] * (high is not None)
        return [Condition(" or ".join(parts), wanted, value)] if parts else []
    if scalar.name == "float16":
        low, high = -FLOAT16_MAX if low is None else low, FLOAT16_MAX if high is None else high
        return [Condition(f"not {low!r} <= {value} <= {high!r}", f"must be {span(low, high, scalar.name)}", value)]
    if low is None and high is None:
        return [Condition(f"not math.isfinite({value})", "must be a finite number", value)]
    least = "-math.inf < " if low is None else f"{low!r} <= "
    most = " < math.inf" if high is None else f" <= {high!r}"
    return [Condition(f"not {least}{value}{most}", wanted, value)]


def _length(message: Message, field: Field, scalar: ScalarType, value: str) -> list[Condition]:
    limits = []
    unit = "characters" if scalar.kind is Kind.STRING else "bytes"
    low, high = field.min_length or None, field.max_length
    if low is not None or high is not None:
        broken = f"not {low} <= len({value}) <= {high}"
        if low == high:
            broken = f"len({value}) != {low}"
        elif low is None:
            broken = f"len({value}) > {high}"
        elif high is None:
            broken = f"len({value}) < {low}"
        limits.append(Condition(broken, f"must have {quantity(low, high, unit)}", f"len({value})"))
    if field.pattern is not None:
        broken = f"not {pattern_name(message, field)}.search({value})"
        limits.append(Condition(broken, f"must match the pattern {field.pattern}", f"violations.shown({value})"))
    return limits


def pattern_name(message: Message, field: Field) -> str:
    """The constant that holds a field's compiled pattern. In capitals, two fields could have the same name."""
    return f"_{message.name}_{field.name}"


def patterns(contract: Contract) -> dict[str, str]:
    """Every pattern of the contract under the name of its constant."""
    return {
        pattern_name(message, field): field.pattern
        for message in contract.all_messages()
        for field in message.fields
        if field.pattern is not None
    }


_TAG = 5
_VARINT = 10


def largest(contract: Contract, message: Message, known: dict[str, int | None] | None = None) -> int | None:
    """The most bytes that a valid message can have on the wire (its known fields, each once); None without a bound.

    `known` are the messages that were asked for before; one that contains itself has no bound.
    """
    known = {} if known is None else known
    left = [(message, False)]  # not by recursion: thousands of messages may be in each other
    while left:
        top, are_inner_known = left.pop()
        if are_inner_known:
            sizes = [_largest_field(contract, field, known) for field in top.fields]
            known[top.name] = None if None in sizes else sum(size for size in sizes if size is not None)
        elif top.name not in known:
            known[top.name] = None
            left.append((top, True))
            inner = (contract.message(field.type) for field in top.fields if field.scalar is None)
            left += [(each, False) for each in inner if each is not None]
    return known[message.name]


def _largest_field(contract: Contract, field: Field, known: dict[str, int | None]) -> int | None:
    if field.shape is not None:
        elements = field.max_items if field.dynamic else field.size
        if elements is None:
            return None
        scalar = SCALARS[field.type]
        width = scalar.element_bytes or {"float32": 4, "float64": 8, "bool": 1}.get(field.type, _VARINT)
        # Unpacked encoding, which a parser must accept, spends a tag on each element.
        return (
            elements * (width + (0 if scalar.element_bytes else 2)) + 4 * (_TAG + _VARINT) + len(field.shape) * _VARINT
        )
    one = _largest_value(contract, field, known)
    if one is None:
        return None
    if field.is_map:
        if field.max_items is None or field.key == "string":
            return None
        return field.max_items * (one + 3 * (_TAG + _VARINT))
    if field.repeated:
        return None if field.max_items is None else field.max_items * (one + _TAG + _VARINT)
    return one + _TAG + _VARINT


def _largest_value(contract: Contract, field: Field, known: dict[str, int | None]) -> int | None:
    scalar = field.scalar
    if scalar is None:
        inner = contract.message(field.type)
        return _VARINT if inner is None else known[inner.name]
    if scalar.kind is Kind.STRING:
        return None if field.max_length is None else 4 * field.max_length
    if scalar.kind is Kind.BYTES:
        return field.max_length
    if scalar.kind is Kind.JSON:
        return None
    return 2 * (_TAG + _VARINT) if scalar.kind in (Kind.TIMESTAMP, Kind.DURATION) else _VARINT
