"""How much a message holds, before it is parsed: some megabytes can be millions of messages, and fill the memory."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor

# Fields and items in a reply, also of the messages in it; each costs some hundred bytes when it is looked at.
MOST_RECORDS = 300_000
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # https://protobuf.dev/programming-guides/encoding/#structure


def has_too_many_records(message: Descriptor, data: bytes) -> bool:
    """Whether `data`, as this message, has more than MOST_RECORDS."""
    # A record has at least two bytes.
    return len(data) > 2 * MOST_RECORDS and records(message, data, MOST_RECORDS) > MOST_RECORDS


def records(message: Descriptor, data: bytes, most: int) -> int:
    """How many records `data` has as this message; it stops counting after `most`. What is not protobuf has none."""
    count = 0
    left: list[tuple[Descriptor | None, int, int]] = [(message, 0, len(data))]
    while left:
        descriptor, at, end = left.pop()
        while at < end:
            count += 1
            if count > most:
                return count
            try:
                key, at = _varint(data, at)
                if key & 7 == _BYTES:
                    length, at = _varint(data, at)
                    inner = _message_type(descriptor, key >> 3)
                    if inner is not None:
                        left.append((inner, at, min(at + length, end)))
                    at += length
                else:
                    at = _after_number(data, at, key & 7)
            except (IndexError, ValueError):
                break
    return count


def _message_type(descriptor: Descriptor | None, number: int) -> Descriptor | None:
    field = None if descriptor is None else descriptor.fields_by_number.get(number)
    return None if field is None else field.message_type


def _after_number(data: bytes, at: int, wire_type: int) -> int:
    if wire_type == _VARINT:
        return _varint(data, at)[1]
    if wire_type in (_FIXED64, _FIXED32):
        return at + (8 if wire_type == _FIXED64 else 4)
    if wire_type in (3, 4):  # a group begins or ends
        return at
    raise ValueError(wire_type)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The number at this place, and the place after it. Raises IndexError at the end of the data, ValueError."""
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError("a varint of more than 10 bytes")
