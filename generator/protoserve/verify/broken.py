"""Requests that break a project's schema, each in one way: made from a valid one, and judged before they are sent."""

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
# Of one kind of break (a missing field, a number too large, ...) so many are made, to choose from.
_OF_A_KIND = 3
# Nothing is made longer than this: what is too large for the connection is another check's.
_LONGEST = 65536
# Of these, one is likely to match no pattern that an author writes.
_ODD = ("", "\u2603", "#", " ", "9" * 40, "no such thing!")

_WIRE = {"int8": "int32", "int16": "int32", "uint8": "uint32", "uint16": "uint32"}

# Kinds of breaks: the message was changed in place when one is given, and is put back before the next.
_Steps = Iterator[str]


def broken(contract: Contract, method: str, valid: Wire) -> list[tuple[str, bytes]]:
    """At most `MOST` requests of `method`, each with what is wrong with it; as many kinds of breaks as there are."""
    schema = next((m.request for m in contract.methods if m.name == method), None)
    if schema is None:
        return []
    message = type(valid).FromString(valid.SerializeToString())
    made: dict[str, list[tuple[str, bytes]]] = {}
    for kind in _breaks(contract, schema, message, Counter()):
        if found := conformance.request_violations(contract, method, message):
            what = found[0].removesuffix(": is required") + (" missing" if found[0].endswith(": is required") else "")
            made.setdefault(kind, []).append((what, message.SerializeToString(deterministic=True)))
    rounds = [[items[turn] for items in made.values() if turn < len(items)] for turn in range(_OF_A_KIND)]
    return [item for each in rounds for item in each][:MOST]


def _breaks(contract: Contract, schema: Message, message: Any, done: Counter[str]) -> _Steps:
    """Breaks one thing after the other in `message`, which is as it was after each."""
    known = message.DESCRIPTOR.fields_by_name
    for field in schema.fields:
        if field.name not in known:
            continue
        for kind in _field(contract, field, message):
            if done[kind] < _OF_A_KIND:
                done[kind] += 1
                yield kind
    for field in schema.fields:
        inner = contract.message(field.type) if field.scalar is None else None
        if inner is not None and field.name in known and (part := _first(field, message)) is not None:
            yield from _breaks(contract, inner, part, done)


def _first(field: Field, message: Any) -> Any:
    """The message in a field that is set, the first one of several."""
    value = getattr(message, field.name)
    if field.is_map:
        return value[next(iter(value))] if value else None
    if field.repeated:
        return value[0] if value else None
    return value if message.HasField(field.name) else None


def _field(contract: Contract, field: Field, message: Any) -> _Steps:
    saved = type(message)()
    saved.CopyFrom(message)
    steps = _many(contract, field, message) if field.repeated or field.is_map else _one(contract, field, message)
    for kind in steps:
        yield kind
        message.CopyFrom(saved)


def _one(contract: Contract, field: Field, message: Any) -> _Steps:
    """Of a field that holds one value or one array."""
    if not any(field.name == known.name for known, _ in message.ListFields()):
        return
    message.ClearField(field.name)
    yield "missing" if field.oneof is None else "oneof"
    if field.dynamic:
        part = getattr(message, field.name)
        part.shape[0] += 1
        yield "shape"
        del getattr(message, field.name).shape[-1]
        yield "dimensions"
        yield from _elements(field, getattr(message, field.name), "values")
    elif field.shape is not None:
        if isinstance(values := getattr(message, field.name), bytes):
            setattr(message, field.name, values[:-1])
        else:
            values.pop()
        yield "shape"
        yield from _elements(field, message, field.name)
    elif field.scalar is not None and wire.is_message(contract, field):
        yield from _own(field, message)
    elif not wire.is_message(contract, field):  # else what is in it is broken in its turn
        for kind, value in _values(contract, field, getattr(message, field.name)):
            setattr(message, field.name, value)
            yield kind


def _own(field: Field, message: Any) -> _Steps:
    """Of protobuf's own messages: a moment that is none, and a number that JSON does not have."""
    part = getattr(message, field.name)
    if field.type == "json":
        part.number_value = math.nan
        yield "json"
    else:
        part.seconds = 10**15
        yield field.type


def _elements(field: Field, message: Any, name: str) -> _Steps:
    """Of an array of numbers in a repeated field: one element is wrong."""
    if isinstance(getattr(message, name), bytes) or not len(getattr(message, name)):
        return
    for kind, value in _numbers(field):
        getattr(message, name)[0] = value
        yield kind


def _many(contract: Contract, field: Field, message: Any) -> _Steps:
    """Of a list or a map: too few, too many, and one wrong item."""
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
    for kind, value in _values(contract, field, items[key]):
        getattr(message, field.name)[key] = value
        yield kind


def _values(contract: Contract, field: Field, now: Any) -> Iterator[tuple[str, Any]]:
    """Values that one scalar or enum cannot have."""
    if (enum := contract.enum(field.type)) is not None:
        yield "unspecified", 0
        yield "enum", max(value.number for value in enum.values) + 1
        return
    scalar = SCALARS[field.type]
    if scalar.numeric:
        yield from _numbers(field)
        return
    if scalar.kind not in (Kind.STRING, Kind.BYTES):
        return
    if field.min_length:
        yield "short", now[: field.min_length - 1]
    if field.max_length is not None and field.max_length < _LONGEST:
        filler = "x" if scalar.kind is Kind.STRING else b"x"
        yield "long", now + filler * (field.max_length + 1 - len(now))
    if field.pattern is not None:
        import re2

        pattern = re2.compile(field.pattern)
        least, most = field.min_length or 0, field.max_length or _LONGEST
        odd = [text for text in _ODD if not pattern.search(text)]
        yield from [("pattern", text) for text in odd if least <= len(text) <= most][:1]


def _numbers(field: Field) -> Iterator[tuple[str, Any]]:
    """Numbers outside the field's limits; those of the wire's own type are kept."""
    scalar = SCALARS[field.type]
    if scalar.kind is Kind.INT:
        low, high = limit_code.integer_bounds(field)
        wire = SCALARS[_WIRE.get(field.type, field.type)]
        if low > int(wire.low or 0):
            yield "below", low - 1
        if high < int(wire.high or 0):
            yield "above", high + 1
    elif scalar.kind is Kind.FLOAT:
        least, most = limit_code.bounds(field)
        if most is not None:
            yield "above", most + max(1.0, abs(most))
        if least is not None:
            yield "below", least - max(1.0, abs(least))
        if not field.allow_nan:
            yield "nan", math.nan
