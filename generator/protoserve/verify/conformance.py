"""Whether a message keeps what a project's schema promises: required fields, limits, shapes.

It judges as the generated server does, which reads the same limits from the same schema (`emit/limit_code.py`), and in
the same words; tests/verify/test_conformance.py holds the two against each other. numpy is not needed here.
"""

from __future__ import annotations

import itertools
import math
import struct
import sys
from collections.abc import Iterable, Iterator, Sequence
from types import CodeType, SimpleNamespace
from typing import Any

from google.protobuf import json_format, struct_pb2
from google.protobuf.message import DecodeError
from google.protobuf.message import Message as Encoded

from protoserve.emit import limit_code
from protoserve.runtime.bounds import (
    NOT_JSON,
    allowed,
    duration_violation,
    quantity,
    shape_violation,
    timestamp_violation,
)
from protoserve.schema.model import Contract, Enum, Field, Message
from protoserve.schema.types import SCALARS, Kind
from protoserve.wire import Presence, absent_is_empty, element_format, is_required, least_items, presence

# As many as the server reports.
MOST = 100


def violations(contract: Contract, method: str, message: Encoded) -> list[str]:
    """What the response of `method` breaks, each as `field.path: must ...; got ...`."""
    return _judged(contract, [m.response for m in contract.methods if m.name == method], message)


def request_violations(contract: Contract, method: str, message: Encoded) -> list[str]:
    """The same for a request."""
    return _judged(contract, [m.request for m in contract.methods if m.name == method], message)


def _judged(contract: Contract, schemas: Sequence[Message], message: Encoded) -> list[str]:
    broken = itertools.chain.from_iterable(_Judge(contract).message(schema, message, "") for schema in schemas)
    return list(itertools.islice(broken, MOST))


class _Judge:
    """Looks at messages of one contract; the conditions of its fields are compiled once."""

    def __init__(self, contract: Contract) -> None:
        self._contract = contract
        self._names: dict[str, Any] = {"math": math, "violations": SimpleNamespace(shown=_shown)}
        if patterns := limit_code.patterns(contract):
            import re2

            self._names |= {name: re2.compile(pattern) for name, pattern in patterns.items()}
        self._conditions: dict[tuple[str, str], list[tuple[CodeType, str, CodeType]]] = {}

    def message(self, schema: Message, message: Any, at: str) -> Iterator[str]:
        sizes: dict[str, int] = {}  # of the named dimensions, as far as they are known in this message
        known = message.DESCRIPTOR.fields_by_name
        for field in schema.fields:
            if field.name in known:  # else the .proto is not of this schema; unknown fields are reported elsewhere
                yield from self._field(schema, field, message, at, sizes)
        for oneof, members in schema.oneofs.items():
            if members[0].required and type(message).WhichOneof(message, oneof) is None:
                yield f"{at}{oneof}: one of {', '.join(member.name for member in members)} is required"

    def _field(self, schema: Message, field: Field, message: Any, at: str, sizes: dict[str, int]) -> Iterator[str]:
        path, value = f"{at}{field.name}", getattr(message, field.name)
        if field.repeated or field.is_map:
            yield from self._many(schema, field, value, path)
        elif not self._present(field, message):
            if is_required(field):
                yield f"{path}: is required"
        elif field.dynamic:
            yield from _tensor(field, value, path, sizes)
        elif field.shape is not None:
            yield from _array(field, value, path)
        else:
            yield from self._value(schema, field, value, path)

    def _present(self, field: Field, message: Any) -> bool:
        """Whether the field was sent; where the message does not record it, it counts as sent."""
        if absent_is_empty(self._contract, field):
            return len(getattr(message, field.name)) > 0
        if presence(self._contract, field) is Presence.EXPLICIT:
            return bool(type(message).HasField(message, field.name))
        return True

    def _many(self, schema: Message, field: Field, values: Any, path: str) -> Iterator[str]:
        if field.min_items or field.max_items is not None:
            wrong = list(_count(len(values), least_items(field), field.max_items, path, "items"))
            if wrong:  # a list that is far too long is not looked at
                yield from wrong
                return
        items: Iterable[tuple[Any, Any]] = values.items() if field.is_map else enumerate(values)
        for key, item in items:
            yield from self._value(schema, field, item, f"{path}[{key!r}]")

    def _value(self, schema: Message, field: Field, value: Any, path: str) -> Iterator[str]:
        scalar = field.scalar
        if scalar is None:
            if (enum := self._contract.enum(field.type)) is not None:
                yield from _enum(enum, value, path)
            elif (inner := self._contract.message(field.type)) is not None:
                yield from self.message(inner, value, f"{path}.")
        elif scalar.kind is Kind.TIMESTAMP:
            yield from _reported(timestamp_violation(value.seconds, value.nanos), path)
        elif scalar.kind is Kind.DURATION:
            yield from _reported(duration_violation(value.seconds, value.nanos), path)
        elif scalar.kind is Kind.JSON:
            yield from _json(value, path)
        else:
            yield from self._limited(schema, field, value, path)

    def _limited(self, schema: Message, field: Field, value: Any, path: str) -> Iterator[str]:
        key = (schema.name, field.name)
        if key not in self._conditions:
            self._conditions[key] = [
                (compile(each.broken, path, "eval"), each.wanted, compile(each.got, path, "eval"))
                for each in limit_code.conditions(self._contract, schema, field, "value")
            ]
        for broken, wanted, got in self._conditions[key]:
            if eval(broken, self._names, {"value": value}):
                yield f"{path}: {wanted}; got {eval(got, self._names, {'value': value})}"
                return


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"


def _enum(enum: Enum, number: int, path: str) -> Iterator[str]:
    if number not in {value.number for value in enum.values}:
        names = ", ".join(enum.value_in_proto(value.name) for value in enum.values)
        yield f"{path}: must be one of {names}; got {number or enum.value_in_proto('unspecified')}"


def _reported(violation: str | None, path: str) -> Iterator[str]:
    if violation is not None:
        yield f"{path}: {violation}"


def _json(message: Encoded, path: str) -> Iterator[str]:
    try:  # as a Value of protobuf's own, whatever pool this one is from
        json_format.MessageToDict(struct_pb2.Value.FromString(type(message).SerializeToString(message)))
    except (json_format.ParseError, DecodeError, ValueError, TypeError, RecursionError):
        yield f"{path}: {NOT_JSON}"


def _array(field: Field, wire: Any, path: str) -> Iterator[str]:
    """A fixed shape: the number of values, and each within its limits."""
    shape = tuple(int(size) for size in field.shape or ())
    values = _elements(field, wire)
    if values is None or len(values) != math.prod(shape):
        yield f"{path}: must have {_amount(field, wire, shape)} for shape {list(shape)}; got {len(wire)}"
    else:
        yield from _within(field, values, shape, path)


def _tensor(field: Field, wire: Any, path: str, sizes: dict[str, int]) -> Iterator[str]:
    """A shape with a named dimension: the message has shape and values."""
    got = tuple(wire.shape)
    values = _elements(field, wire.values)
    problem = shape_violation(got, field.shape or (), sizes)
    if problem is None and (values is None or len(values) != math.prod(got)):
        problem = f"must have {_amount(field, wire.values, got)} for shape {list(got)}; got {len(wire.values)}"
    if problem is not None or values is None:
        yield f"{path}: {problem}"
        return
    yield from _count(len(values), least_items(field), field.max_items, path, "elements")
    yield from _within(field, values, got, path)


def _elements(field: Field, wire: Any) -> Sequence[Any] | None:
    """The elements in row-major order; None for bytes that hold no whole number of them."""
    if not isinstance(wire, bytes):
        return list(wire)
    width = SCALARS[field.type].element_bytes
    if len(wire) % width:
        return None
    return wire if field.type == "uint8" else struct.unpack(f"<{len(wire) // width}{element_format(field)}", wire)


def _amount(field: Field, wire: Any, shape: tuple[int, ...]) -> str:
    size = math.prod(shape)
    return f"{size * SCALARS[field.type].element_bytes} bytes" if isinstance(wire, bytes) else f"{size} elements"


def _within(field: Field, values: Sequence[Any], shape: tuple[int, ...], path: str) -> Iterator[str]:
    """The first element that is not allowed, by its index."""
    if field.type == "bool":
        return
    low, high = limit_code.bounds(field)
    if (position := _outside(values, low, high, field.allow_nan)) is None:
        return
    index: list[int] = []
    rest = position
    for size in reversed(shape):
        rest, place = divmod(rest, size)
        index.insert(0, place)
    yield f"{path}{index}: must be {allowed(low, high, field.type, allow_nan=field.allow_nan)}; got {values[position]}"


def _outside(values: Sequence[Any], low: float | None, high: float | None, allow_nan: bool) -> int | None:
    if allow_nan:
        least, most = -math.inf if low is None else low, math.inf if high is None else high
        return next((i for i, value in enumerate(values) if value < least or value > most), None)
    # The largest finite float leaves out NaN and infinities, and no integer of 64 bits.
    least, most = -sys.float_info.max if low is None else low, sys.float_info.max if high is None else high
    return next((i for i, value in enumerate(values) if not least <= value <= most), None)


def _count(length: int, low: int, high: int | None, path: str, unit: str) -> Iterator[str]:
    if length < low or (high is not None and length > high):
        yield f"{path}: must have {quantity(low, high, unit)}; got {length}"
