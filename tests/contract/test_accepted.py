"""What a sound schema becomes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from contract.bad_inputs import schema
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import load, loads, read_text
from protoserve.schema.model import Contract, Field, without_places

FULL = """\
package: acme.fraud.v1beta2
status: stable
service: Fraud
doc: Scores payments.
enums:
  Channel:
    doc: Where it was paid.
    values: [online, {name: no, number: 7, doc: Nowhere.}, "true"]
    reserved: {numbers: [3], names: [fax]}
messages:
  Merchant:
    fields:
      - {name: merchant_id, number: 1, type: string, pattern: '^m_[0-9]{4}$', example: m_0042}
      - {name: parent, number: 2, type: Merchant, required: false}
  Unused: {}
  Old: {presence: implicit, fields: [{name: count, number: 1, type: int32}], reserved: {numbers: ["5 to max", 2]}}
methods:
  Score:
    doc: |
      Says how likely a fraud is.
      Slowly.
    request:
      fields:
        - {name: merchant, number: 1, type: Merchant}
        - {name: amount, number: 2, type: double, minimum: 0, maximum: 1e4, unit: EUR, source: 'Amount (EUR)'}
        - {name: step, number: 3, type: int32, minimum: 0.5, maximum: 9.5}
        - {name: channel, number: 4, type: Channel, default: no}
        - {name: history, number: 5, type: Merchant, repeated: true, max_items: 50}
        - {name: counters, number: 6, key: string, value: float}
        - {name: card, number: 7, type: string, oneof: means}
        - {name: image, number: 8, type: uint8, shape: [2, 2], oneof: means}
        - {name: scan, number: 9, type: float32, shape: [height, width], oneof: means, min_items: 2}
        - {name: at, number: 10, type: timestamp, example: "2026-01-31T12:00:00Z"}
        - {name: took, number: 11, type: duration, example: 1.5s}
        - {name: blob, number: 12, type: bytes, media_type: image/png, example: aGk=}
        - {name: extra, number: 13, type: json, required: false, example: {a: [1, null]}}
        - {name: score, number: 14, type: float64, allow_nan: true, example: .nan}
        - {name: left, number: 15, type: bool, oneof: side, required: false}
        - {name: right, number: 16, type: bool, oneof: side, required: false, deprecated: true}
        - {name: ratio, number: 17, type: float32, default: 1}
        - {name: type, number: 18, type: string, min_length: 1, max_length: 2}
    response:
      message: ScoreReply
      fields: [{name: score, number: 1, type: float64}]
  Watch:
    streaming: server
    request: {message: Merchant}
    response: {message: Merchant}
"""


@pytest.fixture(scope="module")
def full() -> Contract:
    return loads(FULL, "schema.yaml")


def field(contract: Contract, name: str) -> Field:
    return next(item for item in contract.methods[0].request.fields if item.name == name)


def test_contract(full: Contract) -> None:
    assert (full.package, full.version, full.status, full.service) == (
        "acme.fraud.v1beta2",
        "v1beta2",
        "stable",
        "Fraud",
    )
    assert full.doc == "Scores payments."
    assert [message.name for message in full.all_messages()] == [
        "ScoreRequest",
        "ScoreReply",
        "Merchant",
        "Unused",
        "Old",
    ]


def test_methods(full: Contract) -> None:
    score, watch = full.methods
    assert score.doc == "Says how likely a fraud is.\nSlowly."
    assert (score.streaming, watch.streaming) == (False, True)
    assert watch.request is watch.response
    assert watch.request is full.message("Merchant")


def test_words_that_other_yaml_takes_for_bools(full: Contract) -> None:
    channel = full.enum("Channel")
    assert channel is not None
    assert [(value.name, value.number) for value in channel.values] == [("online", 0), ("no", 7), ("true", 0)]
    assert field(full, "channel").default == "no"


def test_reserved(full: Contract) -> None:
    old, channel = full.message("Old"), full.enum("Channel")
    assert old is not None
    assert channel is not None
    assert old.reserved.ranges == ((5, 536_870_911), (2, 2))
    assert old.implicit
    assert channel.reserved.names == ("fax",)


def test_types_and_limits(full: Contract) -> None:
    assert field(full, "amount").type == "float64"
    assert (field(full, "amount").maximum, field(full, "amount").source) == (1e4, "Amount (EUR)")
    assert (field(full, "step").minimum, field(full, "step").maximum) == (1, 9)
    assert (field(full, "counters").key, field(full, "counters").type) == ("string", "float32")
    assert field(full, "image").size == 4
    assert field(full, "scan").dynamic


def test_values(full: Contract) -> None:
    assert isinstance(field(full, "ratio").default, float)
    assert field(full, "extra").example == {"a": [1, None]}
    assert math.isnan(field(full, "score").example)


def test_required_is_settled(full: Contract) -> None:
    not_required = {item.name for item in full.methods[0].request.fields if not item.required}
    assert not_required == {"channel", "history", "counters", "extra", "left", "right", "ratio"}


def test_places(full: Contract) -> None:
    where = field(full, "amount").where
    assert FULL.splitlines()[where.line - 1][where.column - 1 :].startswith("{name: amount")
    assert where.path == "methods.Score.request.fields.amount"


@pytest.mark.parametrize(
    "fields",
    [
        "{name: next, number: 1, type: Node, required: false}",
        "{name: next, number: 1, type: Node, repeated: true}",
        "{name: next, number: 1, key: string, value: Node}",
        "{name: next, number: 1, type: Node, oneof: o, required: false}",
        "{name: next, number: 1, type: Node, oneof: o}, {name: leaf, number: 2, type: bool, oneof: o}",
    ],
)
def test_recursion_that_can_end(fields: str) -> None:
    loads(schema(messages=f"messages:\n  Node: {{fields: [{fields}]}}\n"))


def test_a_way_into_a_cycle_is_told_at_the_cycle_alone() -> None:
    def needs(name: str) -> str:
        return f"{{fields: [{{name: it, number: 1, type: {name}}}]}}"

    messages = f"messages:\n  Lead: {needs('Ping')}\n  Ping: {needs('Pong')}\n  Pong: {needs('Ping')}\n"
    with pytest.raises(SchemaError) as caught:
        loads(schema(messages=messages))
    assert [item.message for item in caught.value.problems] == [
        "Ping never ends: Ping needs Pong needs Ping",
        "Pong never ends: Pong needs Ping needs Pong",
    ]


@pytest.mark.parametrize("package", ["iris.v1", "acme.fraud.v2", "a.v1alpha1", "my_co.x1.v10beta3"])
def test_packages(package: str) -> None:
    assert loads(schema().replace("iris.v1", package)).package == package


def test_default_package() -> None:
    assert loads(schema().partition("\n")[2], default_package="rose.v1").package == "rose.v1"


def test_byte_order_mark_and_windows_line_ends(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + FULL.replace("\n", "\r\n").encode())
    assert without_places(load(path)) == without_places(loads(FULL))
    assert "\r\n" in read_text(path)
