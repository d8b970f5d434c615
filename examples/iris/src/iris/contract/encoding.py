"""Reads the tags and lengths of protobuf's wire format, which is all that can be known without parsing a message.

https://protobuf.dev/programming-guides/encoding/

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

from google.protobuf.descriptor import FieldDescriptor as Field

VARINT, FIXED64, LENGTH, START_GROUP, END_GROUP, FIXED32 = range(6)
"""The wire types: the last three bits of a field's tag, whose other bits are the field's number."""

MAX_DEPTH = 100  # of messages in messages, as in protobuf's own parser

FIXED_BYTES = {
    **dict.fromkeys((Field.TYPE_FLOAT, Field.TYPE_FIXED32, Field.TYPE_SFIXED32), 4),
    **dict.fromkeys((Field.TYPE_DOUBLE, Field.TYPE_FIXED64, Field.TYPE_SFIXED64), 8),
}
"""The types of numbers that always have the same size."""

WITH_LENGTH = (Field.TYPE_STRING, Field.TYPE_BYTES, Field.TYPE_MESSAGE)

_MAX_VARINT_BYTES = 10


class Malformed(ValueError):
    """The bytes are not a message."""


def read_varint(data: bytes, position: int) -> tuple[int, int]:
    """The tag or length at `position`, of at most 32 bits, and the position behind it.

    Raises Malformed; IndexError at the end of `data`.
    """
    value = 0
    for shift in range(0, 35, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80 and value < 1 << 32:
            return value, position
    raise Malformed


def varint(value: int) -> bytes:
    """A tag or a length as it stands on the wire."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def after_value(data: bytes, position: int, wire_type: int) -> int:
    """The position behind a value without a length. Raises Malformed; IndexError at the end of `data`."""
    if wire_type == FIXED32:
        return position + 4
    if wire_type == FIXED64:
        return position + 8
    if wire_type == VARINT:
        for after in range(position + 1, position + _MAX_VARINT_BYTES + 1):
            if data[after - 1] < 0x80:
                return after
    raise Malformed
