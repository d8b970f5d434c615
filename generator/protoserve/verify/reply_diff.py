"""Compares two answers of a method field by field; floats may differ in their last digits."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf.message import DecodeError, Message

from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.reply_cost import has_too_many_records

# A batch of another size changes the last bits of a float.
_RELATIVE = 1e-3
_ABSOLUTE = 1e-5


def parsed(method: Method, reply: Reply) -> tuple[Message, ...] | None:
    """The messages of an answer, None if one is not valid, or has too much to look at.

    Of a stream that was cut short, it is only the first.
    """
    messages = []
    for data in reply.messages[: 1 if reply.cut else None]:
        message = method.response()
        if has_too_many_records(method.output, data):
            return None
        try:
            type(message).ParseFromString(message, data)
        except DecodeError:
            return None
        messages.append(message)
    return tuple(messages)


def difference(alone: Sequence[Message], now: Sequence[Message]) -> str | None:
    """The first difference of two answers, as in `scores[1]: 0.5 alone, 0.7 now`; None if there is none."""
    if len(alone) != len(now):
        return f"{len(alone)} messages alone, {len(now)} now"
    pairs = zip(alone, now, strict=True)
    return next((text for one, other in pairs if (text := _message_difference(one, other, ""))), None)


def _message_difference(alone: Any, now: Any, path: str) -> str | None:
    for field in alone.DESCRIPTOR.fields:
        left, right, place = getattr(alone, field.name), getattr(now, field.name), f"{path}{field.name}"
        if _is_map(field) and left.keys() != right.keys():
            return f"{place}: other keys"
        if field.is_repeated and len(left) != len(right):
            return f"{place}: {len(left)} items alone, {len(right)} now"
        if _is_message(field) and not (type(alone).HasField(alone, field.name) or type(now).HasField(now, field.name)):
            continue  # this also ends the recursion of types that contain themselves
        for item_place, value_field, one, other in _values(field, left, right, place):
            if value_field.message_type is not None:
                if text := _message_difference(one, other, f"{item_place}."):
                    return text
            elif not same(one, other):
                return f"{item_place}: {_shown(one)} alone, {_shown(other)} now"
    return None


def _values(field: Any, left: Any, right: Any, place: str) -> Iterator[tuple[str, Any, Any, Any]]:
    """The values of a field in both messages, each with its path and the descriptor of its type."""
    if _is_map(field):
        value_field = field.message_type.fields_by_name["value"]
        yield from ((f"{place}[{key!r}]", value_field, left[key], right[key]) for key in left)
    elif field.is_repeated:
        for index, (one, other) in enumerate(zip(left, right, strict=True)):
            yield f"{place}[{index}]", field, one, other
    else:
        yield place, field, left, right


def _is_message(field: Any) -> bool:
    return field.message_type is not None and not field.is_repeated


def _is_map(field: Any) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def same(one: Any, other: Any) -> bool:
    """Whether two scalars are equal; bytes may also be arrays of floats that are nearly equal."""
    if one == other:
        return True
    if isinstance(one, float):
        return _close(one, other) or (math.isnan(one) and math.isnan(other))
    return isinstance(one, bytes) and len(one) == len(other) and any(_same_array(one, other, code) for code in "fde")


def _same_array(one: bytes, other: bytes, code: str) -> bool:
    """Whether the bytes are two arrays of floats that are nearly equal; `code` is the type as in the module struct."""
    width = struct.calcsize(code)
    if len(one) % width or (one.isascii() and one.decode().isprintable()):  # a text, not an array
        return False
    layout = f"<{len(one) // width}{code}"
    pairs = list(zip(struct.unpack(layout, one), struct.unpack(layout, other), strict=True))
    # Other data read as floats gives tiny or huge numbers, which would be equal only because they are near zero.
    plausible = all(a == 0 or 1e-6 < abs(a) < 1e9 for a, _ in pairs)
    return plausible and all(_close(a, b) for a, b in pairs)


def _close(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=_RELATIVE, abs_tol=_ABSOLUTE)


def _shown(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
