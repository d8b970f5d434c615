"""How many elements a request has, counted on the wire before anything is built from it.

Two bytes can become an object of a hundred: an empty message in a list, an entry of a map, a short string. So what a
request costs follows from its elements as well as from its bytes. They are counted here, at a fraction of that cost, by
the tags and lengths of fields (https://protobuf.dev/programming-guides/encoding/). What is one element:

- a message, an entry of a map included, and one more for every 8 fields that its type has;
- a string, bytes, or a field that the contract does not know;
- a number of a list that is sent by itself, or 8 of those that are packed into a run.

Numbers outside of lists, and what stands in the runs of arrays, which have a shape, cost no more than their bytes and
count nothing. Neither do the fields of a short message that has no lists and messages in it.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

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

EIGHTHS = 8  # of an element, which is the unit that is counted in
STEP = 1024  # fields from one count to the next, which takes about a millisecond
RUN_BYTES = 4096  # of numbers that are skipped or counted together, in a few microseconds
PLAIN_BYTES = 4096  # up to which a message without lists and messages in it is skipped as a whole
TOLERANCE = 1000  # items above the contract's maximum; up to there the decoding says all that is wrong

FieldKey = tuple[type[Message], str]
"""A field, by its message and its name."""


_NOTHING = re.compile(b"")
_INSIDE_NUMBERS = bytes(range(0x80, 0x100))  # a number ends with a byte that has no highest bit


@dataclass(slots=True, eq=False)
class _Kind:
    """A type of message: how many eighths of an element each counts, and its messages, lists and maps by their tags.

    `numbers` matches its other numbers, as many as follow each other; their tags are `number_tags`.
    """

    eighths: int
    fields: dict[int, _Field] = field(default_factory=dict)
    number_tags: frozenset[int] = frozenset()
    numbers: re.Pattern[bytes] = _NOTHING


@dataclass(slots=True, eq=False)
class _Field:
    """A message, a list, or both. `most` is the contract's maximum of items, None where there is none.

    `number_bytes` is the size of each number in a packed run, 0 where it varies, None where there are no such runs.
    """

    name: str
    message: _Kind | None = None
    most: int | None = None
    number_bytes: int | None = None

    def items_in(self, data: bytes, start: int, stop: int) -> int:
        """How many items stand there: one, or the numbers of a packed run."""
        if self.number_bytes is None:
            return 1
        if self.number_bytes:
            return (stop - start) // self.number_bytes
        runs = (data[at : min(at + RUN_BYTES, stop)] for at in range(start, stop, RUN_BYTES))
        return sum(len(run.translate(None, _INSIDE_NUMBERS)) for run in runs)


_UNKNOWN = _Kind(EIGHTHS)


@dataclass(slots=True, eq=False)
class _Frame:
    """A message, or a group with its number, up to the position `end`; `counts` are the items of its lists by tag."""

    kind: _Kind
    end: int
    name: str = ""
    group: int = 0
    counts: dict[int, int] = field(default_factory=dict)


class Counter:
    """Counts the elements of one type of message.

    `max_items` has the contract's maximum for lists and maps, `arrays` the fields that hold the elements of an array.
    """

    def __init__(
        self,
        message: type[Message],
        *,
        max_items: Mapping[FieldKey, int] | None = None,
        arrays: Collection[FieldKey] = (),
    ) -> None:
        self._name = message.DESCRIPTOR.full_name
        self._max_items = {(kind.DESCRIPTOR.full_name, name): most for (kind, name), most in (max_items or {}).items()}
        self._arrays = {(kind.DESCRIPTOR.full_name, name) for kind, name in arrays}
        self._kinds: dict[str, _Kind] = {}
        self._root = self._kind(message.DESCRIPTOR)

    def start(self, data: bytes) -> Count:
        """A count of the elements in `data` that has not begun."""
        return Count(self._name, self._root, data)

    def _kind(self, descriptor: Any) -> _Kind:
        """What is known of a type of message, which may contain itself; typed Any as stubs know other classes."""
        name = descriptor.full_name
        if name in self._kinds:
            return self._kinds[name]
        kind = self._kinds[name] = _Kind(EIGHTHS + len(descriptor.fields))
        numbers = [item for item in descriptor.fields if not item.is_repeated and item.type not in WITH_LENGTH]
        kind.number_tags = frozenset(item.number << 3 | _wire_type(item) for item in numbers)
        kind.numbers = _pattern(kind.number_tags)
        for item in descriptor.fields:
            if item.message_type is not None or item.is_repeated:
                known = self._field(name, item)
                kind.fields[item.number << 3 | _wire_type(item)] = known
                kind.fields[item.number << 3 | LENGTH] = known
        return kind

    def _field(self, message: str, item: Any) -> _Field:
        known = _Field(item.name, most=self._max_items.get((message, item.name)))
        if item.message_type is not None:
            known.message = self._kind(item.message_type)
        elif item.type not in WITH_LENGTH and (message, item.name) not in self._arrays:
            known.number_bytes = FIXED_BYTES.get(item.type, 0)
        return known


class Count:
    """The way through one message, from field to field. `elements` is their number so far."""

    def __init__(self, name: str, kind: _Kind, data: bytes) -> None:
        self._name, self._data = name, data
        self._position, self._eighths = 0, kind.eighths
        self._frame, self._outer = _Frame(kind, len(data)), list[_Frame]()

    @property
    def elements(self) -> int:
        return self._eighths // EIGHTHS

    def step(self) -> bool:
        """Goes on for at most STEP fields; whether there are more, so that whoever counts may stop in between.

        Raises InvalidRequest for what is not a message, and at a list that is much longer than the contract allows.
        """
        try:
            return self._step()
        except (Malformed, IndexError):
            raise InvalidRequest(f"the bytes are not a valid {self._name}") from None

    def _step(self) -> bool:
        for _ in range(STEP):
            while self._position == self._frame.end:
                if self._frame.group:
                    raise Malformed
                if not self._outer:
                    return False
                self._frame = self._outer.pop()
            self._next_field()
            if self._position > self._frame.end:
                raise Malformed
        return True

    def _next_field(self) -> None:
        data, start, frame = self._data, self._position, self._frame
        tag, position = data[start], start + 1
        if tag > 0x7F:
            tag, position = read_varint(data, start)
        if tag in frame.kind.number_tags:
            match = frame.kind.numbers.match(data, start, min(start + RUN_BYTES, frame.end))
            if match is None:
                raise Malformed
            self._position = match.end()
            return
        known, wire_type = frame.kind.fields.get(tag), tag & 7
        if wire_type == LENGTH:
            size, position = (data[position], position + 1) if data[position] < 0x80 else read_varint(data, position)
            self._with_length(tag, known, position, position + size)
        elif wire_type == START_GROUP:
            self._eighths += EIGHTHS
            self._position = position
            self._enter(_Frame(_UNKNOWN, frame.end, group=tag >> 3))
        elif wire_type == END_GROUP and frame.group == tag >> 3:
            self._position = position
            self._frame = self._outer.pop()
        else:
            self._eighths += EIGHTHS
            self._add(tag, known, 1)
            self._position = after_value(data, position, wire_type)

    def _with_length(self, tag: int, known: _Field | None, start: int, stop: int) -> None:
        """Counts a text, a run of numbers, a message, or what the contract does not know; goes into a message."""
        if stop > self._frame.end:
            raise Malformed
        self._position = stop
        if known is None:
            self._eighths += EIGHTHS
            return
        items = known.items_in(self._data, start, stop)
        self._add(tag, known, items)
        kind = known.message
        if kind is None:
            self._eighths += EIGHTHS + (0 if known.number_bytes is None else items)
            return
        self._eighths += kind.eighths
        if kind.fields or stop - start > PLAIN_BYTES:
            self._position = start
            self._enter(_Frame(kind, stop, known.name))

    def _enter(self, frame: _Frame) -> None:
        if len(self._outer) == MAX_DEPTH:
            raise Malformed
        self._outer.append(self._frame)
        self._frame = frame

    def _add(self, tag: int, known: _Field | None, items: int) -> None:
        """Counts items of a list that has a maximum; raises InvalidRequest where they are far too many."""
        if known is None or known.most is None:
            return
        counts = self._frame.counts
        counts[tag >> 3] = counts.get(tag >> 3, 0) + items
        if counts[tag >> 3] > known.most + TOLERANCE:
            path = [frame.name for frame in (*self._outer, self._frame) if frame.name]
            text = f"must have at most {known.most} items; got more than {known.most + TOLERANCE}"
            raise InvalidRequest(text, field=".".join([*path, known.name]))


def _wire_type(item: Any) -> int:
    """How a field is sent, a list of numbers unpacked."""
    if item.type in WITH_LENGTH:
        return LENGTH
    if item.type == FieldDescriptor.TYPE_GROUP:
        return START_GROUP
    return {4: FIXED32, 8: FIXED64}.get(FIXED_BYTES.get(item.type, 0), VARINT)


def _pattern(tags: Collection[int]) -> re.Pattern[bytes]:
    """Matches fields with these tags, which are sent without a length."""
    values = {VARINT: rb"[\x80-\xff]{0,9}[\x00-\x7f]", FIXED32: b".{4}", FIXED64: b".{8}"}
    fields = [re.escape(varint(tag)) + values[tag & 7] for tag in sorted(tags)]
    return re.compile(b"(?:%s)++" % b"|".join(fields), re.DOTALL)
