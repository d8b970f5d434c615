"""Invalid requests for a project's schema: copies of a valid request, each of which breaks one rule of a field."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any

from google.protobuf.message import Message as Wire

from protoserve import wire
from protoserve.emit import limit_code
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import SCALARS, Kind
from protoserve.verify import conformance

MOST = 12
# How many requests to make, and choose from, for each kind of violation (a missing field, a number too large, ...).
_MOST_OF_A_KIND = 3
# No value is made longer than this: what is too large for the connection belongs to the check `message-size`.
_LONGEST = 65536
# One of these most likely does not match an author's pattern.
_UNUSUAL_TEXTS = ("", "\u2603", "#", " ", "9" * 40, "no such thing!")

_WIRE_TYPES = {"int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}

# Yields the kind of violation that the message has now. The message is restored before the next one.
_Kinds = Iterator[str]


def invalid_requests(contract: Contract, method: str, valid: Wire) -> list[tuple[str, bytes]]:
    """At most `MOST` invalid requests of `method`, as (violation, bytes), of as many kinds of violation as possible."""
    schema = next((m.request for m in contract.methods if m.name == method), None)
    if schema is None:
        return []
    message = type(valid).FromString(type(valid).SerializeToString(valid))
    by_kind: dict[str, list[tuple[str, bytes]]] = {}
    for kind in _break_message(contract, schema, message, Counter()):
        if violations := conformance.request_violations(contract, method, message):
            request = type(message).SerializeToString(message, deterministic=True)
            by_kind.setdefault(kind, []).append((_label(violations[0]), request))
    rounds = [[requests[n] for requests in by_kind.values() if n < len(requests)] for n in range(_MOST_OF_A_KIND)]
    return [request for each in rounds for request in each][:MOST]


def _label(violation: str) -> str:
    field = violation.removesuffix(": is required")
    return violation if field == violation else f"{field} missing"


def _break_message(contract: Contract, schema: Message, message: Any, used: Counter[str]) -> _Kinds:
    """Breaks one field after the other in `message`, then those of the messages in it."""
    known = message.DESCRIPTOR.fields_by_name
    for field in schema.fields:
        if field.name not in known:
            continue
        for kind in _break_field(contract, field, message):
            if used[kind] < _MOST_OF_A_KIND:
                used[kind] += 1
                yield kind
    for field in schema.fields:
        inner = contract.message(field.type) if field.scalar is None else None
        if inner is not None and field.name in known and (part := _first_message(field, message)) is not None:
            yield from _break_message(contract, inner, part, used)


def _first_message(field: Field, message: Any) -> Any:
    """The message in a field, the first one of several; None if the field is not set."""
    value = getattr(message, field.name)
    if field.is_map:
        return value[next(iter(value))] if value else None
    if field.repeated:
        return value[0] if value else None
    return value if type(message).HasField(message, field.name) else None


def _break_field(contract: Contract, field: Field, message: Any) -> _Kinds:
    saved = type(message)()
    type(saved).CopyFrom(saved, message)
    several = field.repeated or field.is_map
    for kind in (_break_items if several else _break_single)(contract, field, message):
        yield kind
        type(message).CopyFrom(message, saved)


def _break_single(contract: Contract, field: Field, message: Any) -> _Kinds:
    """A field that holds one value or one array."""
    if not any(field.name == known.name for known, _ in message.ListFields()):
        return
    type(message).ClearField(message, field.name)
    yield "missing" if field.oneof is None else "oneof"
    if field.dynamic:
        part = getattr(message, field.name)
        part.shape[0] += 1
        yield "shape"
        del getattr(message, field.name).shape[-1]
        yield "dimensions"
        yield from _break_element(field, getattr(message, field.name), "values")
    elif field.shape is not None:
        if isinstance(values := getattr(message, field.name), bytes):
            setattr(message, field.name, values[:-1])
        else:
            values.pop()
        yield "shape"
        yield from _break_element(field, message, field.name)
    elif field.scalar is not None and wire.is_message(contract, field):
        yield from _break_well_known(field, message)
    elif not wire.is_message(contract, field):  # the fields of a message are broken in their turn
        for kind, value in _invalid_values(contract, field, getattr(message, field.name)):
            setattr(message, field.name, value)
            yield kind


def _break_well_known(field: Field, message: Any) -> _Kinds:
    """A timestamp or duration out of range, or a number that JSON does not have."""
    part = getattr(message, field.name)
    if field.type == "json":
        part.number_value = math.nan
        yield "json"
    else:
        part.seconds = 10**15
        yield field.type


def _break_element(field: Field, message: Any, name: str) -> _Kinds:
    """The first element of an array of numbers in the repeated field `name`."""
    if isinstance(getattr(message, name), bytes) or not len(getattr(message, name)):
        return
    for kind, value in _invalid_numbers(field):
        getattr(message, name)[0] = value
        yield kind


def _break_items(contract: Contract, field: Field, message: Any) -> _Kinds:
    """A list or a map with too few items, too many, or one invalid item."""
    items = getattr(message, field.name)
    if field.min_items:
        while len(items) >= field.min_items:
            del items[next(iter(items)) if field.is_map else -1]
        yield "few"
    items = getattr(message, field.name)
    if field.max_items is not None and field.max_items < _LONGEST and not field.is_map and items:
        items.extend([items[0]] * (field.max_items + 1 - len(items)))
        yield "many"
    items = getattr(message, field.name)
    if not items or wire.is_message(contract, field):
        return
    key = next(iter(items)) if field.is_map else 0
    for kind, value in _invalid_values(contract, field, items[key]):
        getattr(message, field.name)[key] = value
        yield kind


def _invalid_values(contract: Contract, field: Field, valid: Any) -> Iterator[tuple[str, Any]]:
    """Values that a scalar or an enum must not have, each with its kind of violation."""
    if (enum := contract.enum(field.type)) is not None:
        yield "unspecified", 0
        yield "enum", max(value.number for value in enum.values) + 1
        return
    scalar = SCALARS[field.type]
    if scalar.numeric:
        yield from _invalid_numbers(field)
    elif scalar.kind in (Kind.STRING, Kind.BYTES):
        yield from _invalid_lengths(field, valid, "x" if scalar.kind is Kind.STRING else b"x")
        if field.pattern is not None:
            yield from _unmatched_text(field, field.pattern)


def _invalid_lengths(field: Field, valid: Any, filler: Any) -> Iterator[tuple[str, Any]]:
    if field.min_length:
        yield "short", valid[: field.min_length - 1]
    if field.max_length is not None and field.max_length < _LONGEST:
        yield "long", valid + filler * (field.max_length + 1 - len(valid))


def _unmatched_text(field: Field, pattern: str) -> Iterator[tuple[str, Any]]:
    import re2

    shortest, longest = field.min_length or 0, field.max_length or _LONGEST
    for text in _UNUSUAL_TEXTS:
        if shortest <= len(text) <= longest and not re2.search(pattern, text):
            yield "pattern", text
            return


def _invalid_numbers(field: Field) -> Iterator[tuple[str, Any]]:
    """Numbers outside the field's limits that its type on the wire can still hold."""
    scalar = SCALARS[field.type]
    if scalar.kind is Kind.INT:
        low, high = limit_code.integer_bounds(field)
        wire_type = SCALARS[_WIRE_TYPES.get(field.type, field.type)]
        if low > int(wire_type.low or 0):
            yield "below", low - 1
        if high < int(wire_type.high or 0):
            yield "above", high + 1
    elif scalar.kind is Kind.FLOAT:
        least, most = limit_code.bounds(field)
        if most is not None:
            yield "above", most + max(1.0, abs(most))
        if least is not None:
            yield "below", least - max(1.0, abs(least))
        if not field.allow_nan:
            yield "nan", math.nan
