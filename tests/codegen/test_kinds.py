"""Single kinds of field whose Python is easy to get wrong: defaults, implicit presence, patterns, JSON."""

from __future__ import annotations

import importlib
import itertools
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from protoserve.emit import generated_files
from protoserve.runtime.bounds import number

counter = itertools.count()


def module(folder: Path, fields: str, *, request: str = "", shared: str = "") -> ModuleType:
    """The contract module of a schema whose request has these fields, a line each."""
    package = f"kinds{next(counter)}"
    lines = "\n".join(f"        - {line.strip()}" for line in fields.strip().splitlines())
    (folder / "schema.yaml").write_text(
        f"package: {package}.v1\nenums: {{Kind: {{values: [{{name: chip, number: 1}}]}}}}\n{shared}"
        f"methods:\n  Predict:\n    request:\n{request}      fields:\n{lines}\n    response: {{fields: []}}\n",
        encoding="utf-8",
    )
    generated_files.apply(generated_files.plan(folder, package))
    sys.path.insert(0, str(folder / "src"))
    try:
        return importlib.import_module(f"{package}.contract.v1")
    finally:
        sys.path.remove(str(folder / "src"))


def violations(made: ModuleType, data: bytes) -> list[tuple[str, str]]:
    with pytest.raises(made.violations.InvalidRequest) as caught:
        made.decode_predict_request(data)
    return [tuple(violation) for violation in caught.value.violations]


def test_defaults_of_every_kind_are_python_values(tmp_path: Path) -> None:
    made = module(
        tmp_path,
        """
        {name: at, type: timestamp, default: 2026-01-31T12:00:00Z}
        {name: took, type: duration, default: 1.5s}
        {name: blob, type: bytes, default: aGk=}
        {name: share, type: float32, default: 0.1}
        {name: kind, type: Kind, default: chip}
        {name: lines, type: string, default: "a\\nb \\"c\\" {d}"}
        {name: flag, type: bool, default: false}
        {name: count, type: int8, default: -3}
        """,
    )
    request = made.decode_predict_request(b"")
    assert request == made.PredictRequest()
    assert request.at == datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert request.took == timedelta(seconds=1.5)
    assert request.blob == b"hi"
    assert request.share == made.decode_predict_request(made.sample_predict_request()).share
    assert request.kind is made.Kind.CHIP
    assert request.lines == 'a\nb "c" {d}'
    assert (request.flag, request.count) == (False, -3)


def test_a_oneof_may_have_members_named_field_and_required(tmp_path: Path) -> None:
    made = module(
        tmp_path,
        """
        {name: field, type: string, oneof: choice}
        {name: required, type: string, oneof: choice}
        """,
    )
    request = made.PredictRequest(field="a", required=None)
    assert made.decode_predict_request(made.encode_predict_request(request)) == request
    with pytest.raises(made.violations.InvalidReply, match="choice: wanted exactly one of field, required"):
        made.encode_predict_request(made.PredictRequest(field="a", required="b"))


def test_limits_on_numbers_of_things_read_as_english(tmp_path: Path) -> None:
    made = module(
        tmp_path,
        """
        {name: names, type: string, repeated: true, min_items: 1}
        {name: title, type: string, max_length: 4}
        """,
    )
    data = made.pb.PredictRequest(title="title").SerializeToString()
    assert violations(made, data) == [
        ("names", "must have at least 1 item; got 0"),
        ("title", "must have at most 4 characters; got 5"),
    ]
    with pytest.raises(made.violations.InvalidReply, match="names: wanted list of at least 1 item, got list of 0"):
        made.encode_predict_request(made.PredictRequest(names=[], title="t"))
    with pytest.raises(made.violations.InvalidReply, match="title: wanted str of at most 4 characters"):
        made.encode_predict_request(made.PredictRequest(names=["a"], title="title"))


def test_implicit_presence(tmp_path: Path) -> None:
    """A message without `optional`, as foreign ones are: what is not sent is zero, and only arrays can be missing."""
    made = module(
        tmp_path,
        """
        {name: amount, type: float64, minimum: 0}
        {name: kind, type: Kind}
        {name: pixels, type: uint8, shape: [2], required: false}
        {name: at, type: timestamp, required: false}
        """,
        request="      presence: implicit\n",
    )
    request = made.decode_predict_request(made.pb.PredictRequest(kind=1).SerializeToString())
    assert (request.amount, request.kind, request.pixels, request.at) == (0.0, made.Kind.CHIP, None, None)
    assert violations(made, made.pb.PredictRequest(amount=-1).SerializeToString()) == [
        ("amount", "must be at least 0; got -1.0"),
        ("kind", "must be one of KIND_CHIP; got KIND_UNSPECIFIED"),
    ]


def test_two_patterns_never_share_a_name(tmp_path: Path) -> None:
    made = module(
        tmp_path,
        """
        {name: foo, type: Foo}
        {name: other, type: FooBar}
        """,
        shared="messages:\n"
        "  Foo: {fields: [{name: bar_baz, number: 1, type: string, pattern: ^a+$}]}\n"
        "  FooBar: {fields: [{name: baz, number: 1, type: string, pattern: ^b+$}]}\n",
    )
    good = made.pb.PredictRequest(foo={"bar_baz": "a"}, other={"baz": "b"})
    assert made.decode_predict_request(good.SerializeToString()).foo.bar_baz == "a"
    bad = made.pb.PredictRequest(foo={"bar_baz": "b"}, other={"baz": "a"})
    assert [field for field, _ in violations(made, bad.SerializeToString())] == ["foo.bar_baz", "other.baz"]


def test_numbers_that_json_does_not_have_are_refused_both_ways(tmp_path: Path) -> None:
    made = module(tmp_path, "{name: payload, type: json}")
    with pytest.raises(made.violations.InvalidReply, match="no NaN"):
        made.encode_predict_request(made.PredictRequest(payload={"a": [float("nan")]}))
    message = made.pb.PredictRequest()
    message.payload.struct_value.fields["a"].number_value = float("nan")
    assert violations(made, message.SerializeToString())[0][0] == "payload"


def test_hostile_shapes_are_violations(tmp_path: Path) -> None:
    made = module(tmp_path, "{name: left, type: float32, shape: [n, 4]}\n{name: right, type: uint8, shape: [n]}")
    for shape, values in (([-1, 4], []), ([2**62, 4], [0.0] * 8), ([2], [0.0] * 8), ([2, 4], [0.0] * 7), ([0, 4], [])):
        message = made.pb.PredictRequest(left={"shape": shape, "values": values}, right={"shape": [2], "values": b"ab"})
        assert violations(made, message.SerializeToString())[0][0] == "left", shape
    message = made.pb.PredictRequest(
        left={"shape": [2, 4], "values": [0.0] * 8}, right={"shape": [3], "values": b"abc"}
    )
    assert violations(made, message.SerializeToString()) == [
        ("right", "must have shape [n] with n = 2 as before; got [3]"),
    ]


def test_a_million_bad_items_are_no_million_violations(tmp_path: Path) -> None:
    made = module(tmp_path, "{name: values, type: float64, repeated: true}")
    message = made.pb.PredictRequest(values=[float("inf")] * 100_000)
    assert len(violations(made, message.SerializeToString())) == made.violations.MAX_VIOLATIONS


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (30, "int32", "30"),
        (2**64 - 1, "uint64", "18446744073709551615"),
        (30.0, "float64", "30"),
        (-0.5, "float64", "-0.5"),
        (1234567.5, "float64", "1234567.5"),
        (0.1 + 0.2, "float64", "0.30000000000000004"),
        (2.0**53, "float64", "9007199254740992"),
        (1e300, "float64", "1e+300"),
        (float(np.float32(0.1)), "float32", "0.1"),
        (float(np.float32(0.1)), "float64", "0.10000000149011612"),
        (float(np.float32(1234567.5)), "float32", "1234567.5"),
        (float(np.finfo(np.float32).max), "float32", "3.4028235e+38"),
        (float(np.float16(0.1)), "float16", "0.1"),
        (65504.0, "float16", "65504"),
    ],
)
def test_numbers_are_written_exactly_for_their_type(value: float, dtype: str, text: str) -> None:
    assert number(value, dtype) == text
    if dtype.startswith("float"):
        assert float(np.dtype(dtype).type(float(text))) == value


def test_a_limit_reads_alike_wherever_it_is_broken(tmp_path: Path) -> None:
    made = module(
        tmp_path,
        """
        {name: price, type: float64, maximum: 1234567.5}
        {name: prices, type: float64, shape: [1], maximum: 1234567.5}
        {name: share, type: float32, maximum: 0.1}
        {name: shares, type: float32, shape: [1], maximum: 0.1}
        """,
    )
    bad = made.pb.PredictRequest(price=2e6, prices=[2e6], share=1, shares=[1])
    assert violations(made, bad.SerializeToString()) == [
        ("price", "must be at most 1234567.5; got 2000000.0"),
        ("prices[0]", "must be at most 1234567.5; got 2000000.0"),
        ("share", "must be at most 0.1; got 1.0"),
        ("shares[0]", "must be at most 0.1; got 1.0"),
    ]
    for name, value, text in (("price", 2e6, "float64 at most 1234567.5"), ("shares", [1.0], "float32 at most 0.1")):
        good = {"price": 0.0, "prices": [0.0], "share": 0.0, "shares": [0.0]}
        with pytest.raises(made.violations.InvalidReply, match=f"wanted {text}, got"):
            made.encode_predict_request(made.PredictRequest(**{**good, name: value}))
    assert (tmp_path / made.__file__).read_text(encoding="utf-8").count("At most 1234567.5.") == 2
