"""What conformance.py says of a message is what the generated server says of it, for any schema and any message."""

from __future__ import annotations

import importlib
import itertools
import json
import math
import random
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import random_schemas
from protoserve.emit import generated_files
from protoserve.schema import reserved_names
from protoserve.schema.load import loads
from protoserve.verify import interface
from protoserve.verify.conformance import request_violations, violations
from protoserve.verify.invalid_requests import MOST, invalid_requests

counter = itertools.count()
BOUNDED = Path(__file__).parents[1] / "zoo" / "bounded"


def generated(folder: Path, package: str, schema: dict[str, Any]) -> ModuleType:
    """The contract module that the generator makes of a schema, imported."""
    (folder / "schema.yaml").write_text(json.dumps({"package": f"{package}.v1", **schema}), encoding="utf-8")
    generated_files.apply(generated_files.plan(folder, package))
    sys.path.insert(0, str(folder / "src"))
    try:
        return importlib.import_module(f"{package}.contract.v1")
    finally:
        sys.path.remove(str(folder / "src"))


def server_violations(module: ModuleType, name: str, data: bytes) -> list[str]:
    """What the generated code says of the bytes of a message."""
    bad = module.violations.Violations()
    parsed = module.parsing.parse(getattr(module.pb, name), data)
    getattr(module, f"read_{reserved_names.snake(name)}")(parsed, "", bad)
    return [f"{field}: {description}" for field, description in bad.items]


def spoil(message: Any, rng: random.Random) -> None:
    """Changes a message somewhere, at any depth, to something that its types allow."""
    fields = list(message.DESCRIPTOR.fields)
    for _ in range(rng.randint(1, 2)):
        field = rng.choice(fields)
        value = getattr(message, field.name)
        inner = field.message_type
        if rng.random() < 0.2:
            message.ClearField(field.name)
        elif inner is not None and inner.GetOptions().map_entry:
            of = inner.fields_by_name["value"]
            for key in list(value):
                if of.message_type is not None:
                    spoil(value[key], rng)
                else:
                    value[key] = other(of, rng)
        elif field.is_repeated and inner is not None:
            if value and rng.random() < 0.7:
                spoil(rng.choice(value), rng)
            else:
                value.add()
        elif field.is_repeated:
            items = [*value, *(other(field, rng) for _ in range(rng.choice((0, 1, 1, 3))))]
            if items and rng.random() < 0.6:
                items[rng.randrange(len(items))] = other(field, rng)
            message.ClearField(field.name)
            getattr(message, field.name).extend(items[rng.randint(0, 1) :])
        elif inner is not None:
            value.SetInParent()
            if inner.fields:
                spoil(value, rng)
        else:
            setattr(message, field.name, other(field, rng))


def other(field: Any, rng: random.Random) -> Any:
    """A value of a field's wire type that may well be beyond the schema's limits."""
    kind = field.cpp_type
    if kind in (field.CPPTYPE_DOUBLE, field.CPPTYPE_FLOAT):
        return rng.choice([0.0, -0.5, 0.1, 9.0, 9.5, 1e5, -1e30, math.nan, math.inf, -math.inf])
    if kind == field.CPPTYPE_BOOL:
        return rng.random() < 0.5
    if kind == field.CPPTYPE_ENUM:
        return rng.choice([0, 1, 2, 99])
    if kind == field.CPPTYPE_STRING:
        text = rng.choice(["", "a", "abc", "A" * 70, "abcdefg", "naïve ☃"])
        return text.encode() if field.type == field.TYPE_BYTES else text
    unsigned = kind in (field.CPPTYPE_UINT32, field.CPPTYPE_UINT64)
    wide = kind in (field.CPPTYPE_INT64, field.CPPTYPE_UINT64)
    return rng.choice([0, 1, 2, 7, 101, 300, 70_000, *([] if unsigned else [-1, -129]), *([10**13] if wide else [])])


@random_schemas.examples(6)
@given(schema=random_schemas.schemas(), data=st.data())
def test_any_message_is_judged_as_the_server_does(
    tmp_path_factory: pytest.TempPathFactory, schema: dict[str, Any], data: st.DataObject
) -> None:
    judge_messages(tmp_path_factory, schema, data)


@pytest.mark.slow
@random_schemas.examples(19)
@given(schema=random_schemas.schemas(), data=st.data())
def test_messages_of_more_schemas_are_judged_as_the_server_does(
    tmp_path_factory: pytest.TempPathFactory, schema: dict[str, Any], data: st.DataObject
) -> None:
    judge_messages(tmp_path_factory, schema, data)


def judge_messages(tmp_path_factory: pytest.TempPathFactory, schema: dict[str, Any], data: st.DataObject) -> None:
    """Both judge the same of messages of this schema, good and spoilt ones."""
    package = f"conform{next(counter)}"
    folder = tmp_path_factory.mktemp(package)
    module = generated(folder, package, schema)
    contract = loads((folder / "schema.yaml").read_text(encoding="utf-8"))
    methods = {method.name: method for method in interface.from_project(folder).methods}
    rng = random.Random(data.draw(st.integers(0, 2**32)))
    for method in contract.methods:
        for message, empty, judge in (
            (method.request, methods[method.name].request, request_violations),
            (method.response, methods[method.name].response, violations),
        ):
            value = data.draw(random_schemas.values(contract, message, module))
            wire = getattr(module, f"write_{reserved_names.snake(message.name)}")(value, "").SerializeToString()
            good = empty()
            good.ParseFromString(wire)
            assert judge(contract, method.name, good) == [], "what the server writes conforms"
            for _ in range(20):
                bad = empty()
                bad.ParseFromString(wire)
                spoil(bad, rng)
                refused = server_violations(module, message.name, bad.SerializeToString())
                assert sorted(judge(contract, method.name, bad)) == sorted(refused)  # a map has no order
        sample = methods[method.name].request()
        sample.ParseFromString(getattr(module, f"sample_{reserved_names.snake(method.request.name)}")())
        assert request_violations(contract, method.name, sample) == []
        assert_broken(contract, method.name, sample, module)


def assert_broken(contract: Any, method: str, sample: Any, module: ModuleType) -> None:
    """Every request that is made to break the schema is refused by the server, for the reason that is given."""
    before = sample.SerializeToString()
    made = invalid_requests(contract, method, sample)
    assert len(made) <= MOST
    assert sample.SerializeToString() == before
    name = next(m.request.name for m in contract.methods if m.name == method)
    for what, data in made:
        refused = server_violations(module, name, data)
        assert what in refused or what.replace(" missing", ": is required") in refused


def test_a_field_may_have_another_presence_than_its_message(tmp_path: Path) -> None:
    count, pixels = {"name": "count", "type": "int32"}, {"name": "pixels", "type": "uint8", "shape": [2]}
    body = {"fields": [count | {"presence": "implicit"}, pixels | {"presence": "implicit"}]}
    foreign = {"presence": "implicit", "fields": [count | {"presence": "explicit"}, pixels | {"presence": "explicit"}]}
    module = generated(tmp_path, "mixed", {"methods": {"Predict": {"request": body, "response": foreign}}})
    contract = loads((tmp_path / "schema.yaml").read_text(encoding="utf-8"))
    (method,) = interface.from_project(tmp_path).methods
    request, response = method.request(), method.response()
    assert request_violations(contract, "Predict", request) == ["pixels: is required"], "0 and not sent are one"
    assert violations(contract, "Predict", response) == ["count: is required", "pixels: is required"]
    for name, message in (("PredictRequest", request), ("PredictResponse", response)):
        message.pixels = b"ab"
        message.count = 0
        assert server_violations(module, name, message.SerializeToString()) == []
    assert request_violations(contract, "Predict", request) == []
    assert violations(contract, "Predict", response) == []


FIELDS: list[dict[str, Any]] = [
    {"name": "sepal_length", "type": "float64", "minimum": 0, "maximum": 30},
    {"name": "code", "type": "string", "pattern": "^[a-z]{2}$", "max_length": 4},
    {"name": "kind", "type": "Kind"},
    {"name": "spans", "type": "Span", "repeated": True, "max_items": 3, "required": False},
    {"name": "scores", "type": "float32", "shape": [2], "maximum": 1},
    {"name": "image", "type": "uint8", "shape": ["height", "width", 3], "max_items": 60},
    {"name": "mask", "type": "uint16", "shape": ["height", "width"]},
    {"name": "counts", "key": "string", "value": "int32", "minimum": 0},
    {"name": "card", "type": "string", "oneof": "means", "min_length": 1},
    {"name": "account", "type": "int64", "oneof": "means"},
    {"name": "at", "type": "timestamp"},
    {"name": "window", "type": "duration"},
    {"name": "extra", "type": "json"},
    {"name": "loose", "type": "float32", "allow_nan": True, "required": False},
    {"name": "half", "type": "float16", "required": False},
]
SCHEMA: dict[str, Any] = {
    "service": "WideService",
    "enums": {"Kind": {"values": ["one", "two"]}},
    "messages": {
        "Span": {"fields": [{"name": "label", "type": "string", "min_length": 1}, {"name": "end", "type": "int8"}]}
    },
    "methods": {"Predict": {"request": {"fields": FIELDS}, "response": {"fields": FIELDS}}},
}
GOOD: dict[str, Any] = {
    "sepal_length": 5,
    "code": "ab",
    "kind": 1,
    "spans": [{"label": "a", "end": 1}] * 3,
    "scores": [0.5, 1],
    "image": {"shape": [2, 2, 3], "values": "AAAAAAAAAAAAAAAA"},
    "mask": {"shape": [2, 2], "values": "AAAAAAAAAAA="},
    "counts": {"a": 1},
    "card": "x",
    "at": "2026-01-01T00:00:00Z",
    "window": "1.5s",
    "extra": {"key": 1},
    "loose": "NaN",
}
RANGE = "must be from 0 to 30; got"
# What is changed in the good message (None: left out), and all that is said of it.
CASES: list[tuple[dict[str, Any], list[str]]] = [
    ({}, []),
    ({"sepal_length": 99}, [f"sepal_length: {RANGE} 99.0"]),
    ({"sepal_length": "NaN"}, [f"sepal_length: {RANGE} nan"]),
    ({"sepal_length": None, "at": None}, ["sepal_length: is required", "at: is required"]),
    ({"code": "abc"}, ["code: must match the pattern ^[a-z]{2}$; got 'abc' (str)"]),
    ({"code": "abcde"}, ["code: must have at most 4 characters; got 5"]),
    ({"kind": 0}, ["kind: must be one of KIND_ONE, KIND_TWO; got KIND_UNSPECIFIED"]),
    ({"kind": 7}, ["kind: must be one of KIND_ONE, KIND_TWO; got 7"]),
    (
        {"spans": [{"label": "a", "end": 1}, {"label": "", "end": 200}]},
        ["spans[1].label: must have at least 1 character; got 0", "spans[1].end: must be from -128 to 127; got 200"],
    ),
    ({"spans": [{}] * 4}, ["spans: must have at most 3 items; got 4"]),
    ({"scores": [1]}, ["scores: must have 2 elements for shape [2]; got 1"]),
    ({"scores": []}, ["scores: is required"]),
    ({"scores": [0, 1.5]}, ["scores[1]: must be at most 1; got 1.5"]),
    ({"scores": [0, "Infinity"]}, ["scores[1]: must be at most 1; got inf"]),
    (
        {"image": {"shape": [2, 2, 4], "values": "AAAAAAAAAAAAAAAA"}},
        ["image: must have shape [height, width, 3]; got [2, 2, 4]"],
    ),
    (
        {"image": {"shape": [2, 3, 3], "values": "AAAAAAAAAAAAAAAA"}},
        [
            "image: must have 18 bytes for shape [2, 3, 3]; got 12",
            "mask: must have shape [height, width] with width = 3 as before; got [2, 2]",
        ],
    ),
    ({"mask": {"shape": [2, 2], "values": "AAAAAAAAAA=="}}, ["mask: must have 8 bytes for shape [2, 2]; got 7"]),
    ({"counts": {"a": -1}}, ["counts['a']: must be at least 0; got -1"]),
    ({"card": None}, ["means: one of card, account is required"]),
    ({"at": {"seconds": 10**14}}, ["at: must be a timestamp from year 1 to 9999"]),
    ({"window": {"seconds": 10**14}}, ["window: must be a duration of at most 10,000 years"]),
    ({"extra": {"number_value": math.nan}}, ["extra: must be JSON: no NaN, no infinities, no unset values"]),
    ({"half": 70000}, ["half: must be from -65504 to 65504; got 70000.0"]),
]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModuleType, Any, Any]:
    folder = tmp_path_factory.mktemp("wide")
    module = generated(folder, "wideconform", SCHEMA)
    return module, loads((folder / "schema.yaml").read_text(encoding="utf-8")), interface.from_project(folder)


def changed(message: Any, changes: dict[str, Any]) -> None:
    """The good message with these fields changed."""
    from google.protobuf import json_format

    raw = {name: value for name, value in changes.items() if isinstance(value, dict) and value.keys() & RAW}
    plain = {k: v for k, v in {**GOOD, **changes}.items() if v is not None and k not in raw}
    json_format.ParseDict(plain, message)
    for name, parts in raw.items():
        for part, value in parts.items():
            setattr(getattr(message, name), part, value)


RAW = {"seconds", "number_value"}  # which JSON could not say


@pytest.mark.parametrize(("changes", "wanted"), CASES)
def test_each_limit_is_reported_in_the_servers_words(
    wide: tuple[ModuleType, Any, Any], changes: dict[str, Any], wanted: list[str]
) -> None:
    module, contract, methods = wide
    request, response = methods.methods[0].request(), methods.methods[0].response()
    changed(request, changes)
    changed(response, changes)
    assert violations(contract, "Predict", response) == wanted
    assert request_violations(contract, "Predict", request) == wanted
    assert server_violations(module, "PredictRequest", request.SerializeToString()) == wanted


def test_broken_requests_are_of_many_kinds(wide: tuple[ModuleType, Any, Any]) -> None:
    module, contract, methods = wide
    request = methods.methods[0].request()
    changed(request, {})
    made = invalid_requests(contract, "Predict", request)
    assert len(made) == MOST
    assert_broken(contract, "Predict", request, module)
    said = " ".join(what for what, _ in made)
    for word in ("missing", "above", "nan", "pattern", "UNSPECIFIED", "shape", "one of card", "items"):
        assert (word if word != "above" else "got 60.0") in said, said


def test_only_the_first_hundred_are_reported(wide: tuple[ModuleType, Any, Any]) -> None:
    _, contract, methods = wide
    request = methods.methods[0].request()
    changed(request, {"counts": {f"{n}": -1 for n in range(300)}})
    assert len(request_violations(contract, "Predict", request)) == 100


def test_the_contract_of_the_zoo_is_what_the_generator_makes(tmp_path: Path) -> None:
    """tests/zoo/bounded is a project without its server: its .proto is that of its schema."""
    (tmp_path / "schema.yaml").write_bytes((BOUNDED / "schema.yaml").read_bytes())
    made = generated_files.plan(tmp_path, "zoo").files
    name = "proto/zoo/v1/prediction.proto"
    assert (BOUNDED / name).read_bytes() == made[name]


EDGES = (-62_135_596_801, -62_135_596_800, -1, 0, 253_402_300_799, 253_402_300_800, 315_576_000_000, 315_576_000_001)


@pytest.mark.parametrize("field", ["at", "window"])
def test_the_edges_of_times_are_the_servers(wide: tuple[ModuleType, Any, Any], field: str) -> None:
    module, contract, methods = wide
    refused = 0
    for seconds, nanos in itertools.product((*EDGES, *(-edge for edge in EDGES)), (0, 1, -1, 999_999_999, 10**9)):
        request = methods.methods[0].request()
        changed(request, {})
        getattr(request, field).seconds, getattr(request, field).nanos = seconds, nanos
        wanted = server_violations(module, "PredictRequest", request.SerializeToString())
        assert request_violations(contract, "Predict", request) == wanted, (seconds, nanos)
        refused += bool(wanted)
    assert refused
