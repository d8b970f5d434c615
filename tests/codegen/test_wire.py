"""Requests on the wire: what is counted before the parse, and the parse in slices, against protobuf's own parser."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from google.protobuf.message import DecodeError
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from protoserve.runtime import counting, parsing
from protoserve.runtime.encoding import varint
from protoserve.runtime.violations import InvalidRequest

PROTO = """\
name: "wire.proto" package: "wire" syntax: "proto3"
message_type {
  name: "Plain"
  field { name: "x" number: 1 type: TYPE_DOUBLE label: LABEL_OPTIONAL }
  field { name: "text" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
}
message_type {
  name: "All"
  field { name: "items" number: 1 type: TYPE_MESSAGE type_name: ".wire.Plain" label: LABEL_REPEATED }
  field { name: "one" number: 2 type: TYPE_MESSAGE type_name: ".wire.Plain" label: LABEL_OPTIONAL }
  field { name: "number" number: 3 type: TYPE_INT64 label: LABEL_OPTIONAL }
  field { name: "numbers" number: 4 type: TYPE_INT64 label: LABEL_REPEATED }
  field { name: "texts" number: 5 type: TYPE_STRING label: LABEL_REPEATED }
  field { name: "floats" number: 6 type: TYPE_FLOAT label: LABEL_REPEATED }
  field { name: "array" number: 7 type: TYPE_BOOL label: LABEL_REPEATED }
  field { name: "self" number: 8 type: TYPE_MESSAGE type_name: ".wire.All" label: LABEL_OPTIONAL }
  field { name: "far" number: 2000 type: TYPE_FIXED32 label: LABEL_OPTIONAL }
  field { name: "map" number: 9 type: TYPE_MESSAGE type_name: ".wire.All.MapEntry" label: LABEL_REPEATED }
  nested_type {
    name: "MapEntry" options { map_entry: true }
    field { name: "key" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
    field { name: "value" number: 2 type: TYPE_MESSAGE type_name: ".wire.Plain" label: LABEL_OPTIONAL }
  }
}
"""


def message_class() -> Any:
    pool = descriptor_pool.DescriptorPool()
    pool.Add(text_format.Parse(PROTO, descriptor_pb2.FileDescriptorProto()))
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("wire.All"))


All: Any = message_class()
COUNTER = counting.Counter(All, max_items={(All, "items"): 10}, arrays={(All, "array")})


def field(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def elements(data: bytes) -> int:
    count = COUNTER.start(data)
    while count.step():
        pass
    return count.elements


LARGE = 8000
CASES = {
    "nothing": (b"", 2),  # a message, and one for each 8 fields
    "messages in a list": (field(1, b"") * 800, 2 + 800 * 10 // 8),
    "one message, merged again and again": (field(2, b"") * 800, 2 + 800 * 10 // 8),
    "numbers outside of lists": (b"\x18\x01" * LARGE + b"\x85\x7d\0\0\0\0" * LARGE, 2),
    "numbers of a list in a run": (field(4, b"\x81\x01" * LARGE), 3 + LARGE // 8),
    "numbers of a list in many runs": (field(4, b"\x01") * LARGE, 2 + LARGE * 9 // 8),
    "numbers of a list without a run": (b"\x20\x01" * LARGE, 2 + LARGE),
    "floats of a list in a run": (field(6, bytes(4 * LARGE)), 3 + LARGE // 8),
    "an array": (field(7, b"\x01" * LARGE), 3),
    "texts": (field(5, b"") * LARGE, 2 + LARGE),
    "unknown fields": (b"\xf8\x07\x01" * LARGE + field(300, b"x") * LARGE, 2 + 2 * LARGE),
    "groups, which are unknown": (b"\x7b\x7b\x78\x01\x7c\x7c" * 100, 2 + 300),
    "entries of a map": (field(9, field(1, b"k") + field(2, b"")) * 80, 2 + 80 * (10 + 8 + 10) // 8),
    "messages in messages": (field(8, field(8, field(8, b""))), 4 * 18 // 8),
    "a short plain message is skipped": (field(2, field(2, b"") * 1000), 3),
    "a long plain message is not": (field(2, field(2, b"") * 3000), 3 + 3000),
}


@pytest.mark.parametrize("name", CASES)
def test_elements_are_counted_as_documented(name: str) -> None:
    data, wanted = CASES[name]
    All.FromString(data)
    counter = counting.Counter(All, arrays={(All, "array")}).start(data)
    while counter.step():
        pass
    assert counter.elements == wanted


def test_lists_that_are_far_too_long_are_refused_by_name() -> None:
    assert elements(field(1, b"") * (10 + counting.TOLERANCE)) > 1000
    with pytest.raises(InvalidRequest, match=r"^self\.items: must have at most 10 items; got more than 1010$"):
        elements(field(8, field(1, b"") * (11 + counting.TOLERANCE)))


@pytest.mark.parametrize(
    "data",
    [
        b"\x0a",
        b"\x0a\x02\x00",
        field(8, b"\x0a"),
        b"\x18",
        b"\x18" + b"\xff" * 10 + b"\x01",
        b"\x09\0\0",
        b"\x7b",
        b"\x7c",
        b"\x7b\x6c",
        b"\x06",
        b"\x07\x00",
        b"\xff\xff\xff\xff\xff\x01",
        field(8, b"\x7b"),
        b"".join(b"\x7b" for _ in range(200)),
    ],
)
def test_what_is_not_a_message_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidRequest, match=r"the bytes are not a valid wire\.All"):
        elements(data)
    with pytest.raises(DecodeError):
        All.FromString(data)


def test_nesting_is_bounded_as_in_the_parser() -> None:
    data = b""
    for _ in range(101):
        data = field(8, data)
    with pytest.raises(InvalidRequest):
        elements(data)
    with pytest.raises(InvalidRequest):
        parsing.parse(All, field(5, bytes(parsing.SLICE_BYTES)) + data)


FIELDS = st.recursive(
    st.sampled_from(
        [
            b"\x18\x01",
            b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
            b"\x85\x7d\1\2\3\4",
            b"\x20\x07",
            field(4, b"\x01\xff\x01\x80\x80\x01" * 9),
            field(5, b"a text"),
            field(5, b"x" * 50),
            field(6, bytes(40)),
            b"\x35\0\0\x80\x3f",
            field(7, b"\x01" * 60),
            field(9, field(1, b"k" * 30) + field(2, field(2, b"v"))),
            b"\xf8\x07\x01",
            field(300, b"unknown" * 9),
            b"\x7b\x78\x01\x7c",
            field(1, field(2, b"y" * 40)),
            b"\x10\x05",  # a message that is sent as a number: unknown
        ]
    ),
    lambda inner: st.builds(
        lambda number, parts: field(number, b"".join(parts)), st.sampled_from([8]), st.lists(inner)
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(FIELDS).map(b"".join), st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=2))
@example(b"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01" * 3, [])
def test_slices_give_what_the_parser_gives(
    monkeypatch: pytest.MonkeyPatch, data: bytes, edits: list[tuple[int, bytes]]
) -> None:
    """With slices of a few bytes, for valid messages and broken ones; the count refuses none that is valid."""
    monkeypatch.setattr(parsing, "SLICE_BYTES", 16)
    for position, other in edits:
        data = data[:position] + other + data[position + len(other) :]
    try:
        wanted = All.FromString(data)
    except DecodeError:
        with pytest.raises(InvalidRequest):
            parsing.parse(All, data)
        return
    assert parsing.parse(All, data).SerializeToString(deterministic=True) == wanted.SerializeToString(
        deterministic=True
    )
    counter = counting.Counter(All).start(data)
    while counter.step():
        pass
