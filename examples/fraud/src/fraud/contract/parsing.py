"""Parses large messages in slices.

protobuf's parser is one call that holds the interpreter's lock: it takes a second for ten million empty messages, and
nothing else runs. Between two slices other threads do, such as the event loop that answers health. Fields that follow
each other may be parsed one by one, because a parser must merge them
(https://protobuf.dev/programming-guides/encoding/#last-one-wins), and so may the parts of a packed run.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import re
from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from .encoding import (
    END_GROUP,
    FIXED32,
    FIXED64,
    FIXED_BYTES,
    LENGTH,
    MAX_DEPTH,
    START_GROUP,
    VARINT,
    WITH_LENGTH,
    Malformed,
    after_value,
    read_varint,
    varint,
)
from .violations import InvalidRequest

SLICE_BYTES = 2**15  # which take two milliseconds at most

SHORT_BYTES = 8  # below which fields with a length are skipped together

COPIED = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, *FIXED_BYTES)

M = TypeVar("M", bound=Message)


def _tag(wire_type: int) -> bytes:
    """Matches a tag of this wire type."""
    first = re.escape(bytes(byte for byte in range(0x80) if byte & 7 == wire_type))
    longer = re.escape(bytes(byte for byte in range(0x80, 0x100) if byte & 7 == wire_type))
    return rb"(?:[%s]|[%s][\x80-\xff]{0,3}[\x00-\x7f])" % (first, longer)


def _short_fields() -> re.Pattern[bytes]:
    """Matches numbers and short texts and messages, as many as follow each other: a slice can have thousands."""
    with_length = b"|".join(re.escape(bytes([size])) + b"." * size for size in range(SHORT_BYTES))
    values = {VARINT: rb"[\x80-\xff]{0,9}[\x00-\x7f]", FIXED32: b".{4}", FIXED64: b".{8}", LENGTH: with_length}
    return re.compile(b"(?:%s)++" % b"|".join(_tag(kind) + b"(?:%s)" % values[kind] for kind in values), re.DOTALL)


_SHORT_FIELDS = _short_fields()


def parse(kind: type[M], data: bytes) -> M:
    """The message in `data`; raises InvalidRequest for other bytes."""
    try:
        if len(data) <= SLICE_BYTES or _is_quick(kind.DESCRIPTOR, data, 0, len(data), MAX_DEPTH):
            return kind.FromString(data)
        message = kind()
        _merge(message, data, 0, len(data), MAX_DEPTH)
        return message
    except (DecodeError, Malformed, IndexError):
        raise InvalidRequest(f"the bytes are not a valid {kind.DESCRIPTOR.full_name}") from None


def _is_quick(kind: Any, data: bytes, start: int, end: int, depth: int) -> bool:
    """Whether no more than a slice has to be looked at, because the rest is only copied, as in an array of floats."""
    slow_bytes, position = 0, start
    while position < end and slow_bytes <= SLICE_BYTES and depth:
        begin = position
        tag, value = read_varint(data, position)
        position = _after_field(data, tag, value)
        known = kind.fields_by_number.get(tag >> 3)
        if position - begin <= SLICE_BYTES or known is None or tag & 7 != LENGTH or _is_map(known):
            slow_bytes += position - begin
        elif known.type == FieldDescriptor.TYPE_MESSAGE:
            inner = read_varint(data, value)[1]
            slow_bytes += 0 if _is_quick(known.message_type, data, inner, position, depth - 1) else position - begin
        elif known.type not in COPIED:
            slow_bytes += position - begin
    return slow_bytes <= SLICE_BYTES


def _merge(message: Message, data: bytes, start: int, end: int, depth: int) -> None:
    """Merges the fields from `start` to `end` into the message; `depth` is how deep messages in it may be."""
    if depth == 0:
        raise Malformed
    position = start
    while position < end:
        short = _SHORT_FIELDS.match(data, position, min(start + SLICE_BYTES, end))
        if short is not None:
            position = short.end()
            continue
        tag, value = read_varint(data, position)
        after = _after_field(data, tag, value)
        if after > end:
            raise Malformed
        if after - start > SLICE_BYTES:
            _merge_bytes(message, data[start:position])
            start = position
            if after - start > SLICE_BYTES:
                _merge_large(message, tag, data, (start, after), depth)
                start = after
        position = after
    _merge_bytes(message, data[start:end])


def _merge_large(message: Message, tag: int, data: bytes, field: tuple[int, int], depth: int) -> None:
    """Merges one field, which is larger than a slice: in slices if it is a message or numbers of any size."""
    start, end = field
    known = type(message).DESCRIPTOR.fields_by_number.get(tag >> 3)
    if known is None or tag & 7 != LENGTH or _is_map(known):
        _merge_bytes(message, data[start:end])
        return
    _, value = read_varint(data, read_varint(data, start)[1])
    if known.type == FieldDescriptor.TYPE_MESSAGE:
        _merge(_inner(message, known), data, value, end, depth - 1)
    elif known.is_repeated and known.type not in (*WITH_LENGTH, *FIXED_BYTES):
        _merge_run(message, tag, data, value, end)
    else:
        _merge_bytes(message, data[start:end])


def _merge_run(message: Message, tag: int, data: bytes, start: int, end: int) -> None:
    """Merges a packed run of numbers of any size, cut between two of them."""
    while start < end:
        stop = min(start + SLICE_BYTES, end)
        while stop < end and data[stop - 1] >= 0x80:
            stop += 1
        _merge_bytes(message, varint(tag) + varint(stop - start) + data[start:stop])
        start = stop


def _inner(message: Message, field: Any) -> Message:
    """The message in a field, which is set from now on; a new one if it is a list."""
    value: Any = getattr(message, field.name)
    if field.is_repeated:
        added: Message = value.add()
        return added
    inner: Message = value
    type(inner).SetInParent(inner)
    return inner


def _is_map(field: Any) -> bool:
    return bool(field.message_type is not None and field.message_type.GetOptions().map_entry)


def _after_field(data: bytes, tag: int, value: int) -> int:
    """The position behind a field whose value begins at `value`."""
    wire_type = tag & 7
    if wire_type == LENGTH:
        size, value = read_varint(data, value)
        return value + size
    if wire_type != START_GROUP:
        return after_value(data, value, wire_type)
    groups = [tag >> 3]
    while groups:
        tag, value = read_varint(data, value)
        if tag & 7 == START_GROUP:
            groups.append(tag >> 3)
        elif tag & 7 == END_GROUP:
            if groups.pop() != tag >> 3:
                raise Malformed
        else:
            value = _after_field(data, tag, value)
    return value


def _merge_bytes(message: Message, data: bytes) -> None:
    type(message).MergeFromString(message, data)
