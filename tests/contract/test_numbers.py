"""Missing numbers are written into the text, and nothing else changes in it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.bad_inputs import schema
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads
from protoserve.schema.model import Contract

BEFORE = """\
# The contract.
package: iris.v1   # a version
enums:
  Color: {values: [red, "blue" , {name: green}]}   # short
  Shade:
    values:
      - light   # first
      - name: dark # second
        doc: Dark.
methods:
  Predict:
    request:
      fields:
        - {name: a , type: float64}   # flow
        - name: b   # block
          type: string

        # between
        - type: string
          name: c
        - {"name":"d","type":"string"}
        - name:
            e
          type: bool
    response:
      reserved: {numbers: [2, "5 to 9"]}
      fields:
        - {name: y, number: 3, type: bool}
        - type: bool
          name: z"""
AFTER = """\
# The contract.
package: iris.v1   # a version
enums:
  Color: {values: [{name: red, number: 1}, {name: "blue", number: 2} , {name: green, number: 3}]}   # short
  Shade:
    values:
      - {name: light, number: 1}   # first
      - name: dark # second
        number: 2
        doc: Dark.
methods:
  Predict:
    request:
      fields:
        - {name: a, number: 1 , type: float64}   # flow
        - name: b   # block
          number: 2
          type: string

        # between
        - type: string
          name: c
          number: 3
        - {"name":"d", "number": 4,"type":"string"}
        - name:
            e
          number: 5
          type: bool
    response:
      reserved: {numbers: [2, "5 to 9"]}
      fields:
        - {name: y, number: 3, type: bool}
        - type: bool
          name: z
          number: 10"""


def complete(contract: Contract) -> bool:
    """Whether every field and every enum value has its number."""
    fields = all(item.number for message in contract.all_messages() for item in message.fields)
    return fields and all(value.number for enum in contract.enums for value in enum.values)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_numbers_are_written_and_all_else_stays(line_end: str) -> None:
    before, after = (text.replace("\n", line_end) for text in (BEFORE, AFTER))
    assert numbered(before) == after
    assert numbered(after) == after
    assert complete(loads(after))
    assert not complete(loads(before))


def field(name: str, number: int | None = None) -> str:
    return f"{{name: {name}{'' if number is None else f', number: {number}'}, type: bool}}"


def test_two_branches_that_each_add_a_field() -> None:
    base = schema(field("a", 1))
    ours, theirs = (
        numbered(base.replace("1, type: bool}\n", f"1, type: bool}}\n        - {field(new)}\n", 1)) for new in "bc"
    )
    assert field("b", 2) in ours
    assert field("c", 2) in theirs
    merged = ours.replace(field("b", 2), f"{field('b', 2)}\n        - {field('c', 2)}")
    with pytest.raises(
        SchemaError, match=r"'c' has the number 2, and so has 'b' \(line 7\).* write 3, the next free one"
    ):
        numbered(merged)


def test_a_gap_is_never_filled() -> None:
    assert field("b", 6) in numbered(schema(field("a", 5), field("b")))


def test_what_protobuf_keeps_is_skipped() -> None:
    assert field("b", 20_000) in numbered(schema(field("a", 18_999), field("b")))


def test_no_number_left() -> None:
    with pytest.raises(SchemaError, match="no number is left"):
        numbered(schema(field("a", 536_870_911), field("b")))


def test_shared_message_is_numbered_once() -> None:
    text = (
        schema().replace("request:\n      fields:\n", "request: {message: Point}\n")
        + f"messages:\n  Point: {{fields: [{field('x')}]}}\n"
    )
    assert numbered(text).count("number: 1") == 2


def test_missing_package_is_not_looked_at() -> None:
    text = schema(field("a")).partition("\n")[2]
    assert numbered(text) == text.replace(field("a"), field("a", 1))


names = st.lists(st.from_regex(r"[a-c][0-9]?", fullmatch=True), unique=True, max_size=8)


@settings(max_examples=40, deadline=None)
@given(
    names, st.lists(st.sampled_from([None, None, 3, 11, 20_001]), min_size=8, max_size=8), st.booleans(), st.booleans()
)
def test_any_mix(names: list[str], numbers: list[int | None], block: bool, comments: bool) -> None:
    used: set[int] = set()
    lines = []
    for name, number in zip(names, numbers, strict=False):
        given_number = None if number in used else number
        used |= {given_number} - {None}  # type: ignore[arg-type]
        comment = "  # hm" if comments else ""
        if block:
            numbering = "" if given_number is None else f"          number: {given_number}\n"
            lines.append(f"name: {name}{comment}\n{numbering}          type: bool{comment}")
        else:
            lines.append(field(name, given_number) + comment)
    text = schema(*lines) if lines else schema(field("a"))
    result = numbered(text)
    fields = loads(result).methods[0].request.fields
    assert len({item.number for item in fields}) == len(fields)
    assert complete(loads(result))
    assert numbered(result) == result
    assert result.count("# hm") == text.count("# hm")
