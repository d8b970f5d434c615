"""Large arrays and bytes: read and written as small ones are, in a fraction of the time."""

from __future__ import annotations

import importlib
import json
import math
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from protoserve.emit import generated_files
from protoserve.runtime import arrays

FIELDS: list[dict[str, Any]] = [
    *({"type": name, "shape": [2, 3000]} for name in ("float16", "float32", "float64", "uint8", "int32", "bool")),
    *({"type": name, "shape": ["n", 3000], "min_items": 0} for name in ("float16", "float32", "uint8", "int64")),
    {"type": "bytes"},
    {"type": "bytes", "oneof": "either"},
    {"type": "uint8", "shape": [5000], "oneof": "either"},
    {"type": "float32", "shape": [5000], "required": False},
    {"type": "float32", "shape": [3]},
    {"type": "Inner"},
]


@pytest.fixture(scope="module")
def contract(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModuleType]:
    folder = tmp_path_factory.mktemp("large")
    fields = [{"name": f"f{index}", "number": 2 * index + 20, **field} for index, field in enumerate(FIELDS)]
    message = {"fields": fields}
    schema = {
        "package": "large.v1",
        "service": "Large",
        "messages": {"Inner": {"fields": [{"name": "values", "number": 1, "type": "float32", "shape": [5000]}]}},
        "methods": {"Predict": {"request": message, "response": message}},
    }
    (folder / "schema.yaml").write_text(json.dumps(schema), encoding="utf-8")
    generated_files.apply(generated_files.plan(folder, "large"))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder / "src"))
        yield importlib.import_module("large.contract.v1")


@pytest.fixture
def reply(contract: ModuleType) -> Any:
    """A reply whose arrays and bytes are large."""
    chosen = np.random.default_rng(7)
    values: dict[str, Any] = {}
    for index, field in enumerate(FIELDS):
        name = f"f{index}"
        if field["type"] == "bytes":
            values[name] = None if "oneof" in field else chosen.bytes(5000)
        elif field["type"] == "Inner":
            values[name] = contract.Inner(values=chosen.random(5000))
        else:
            shape = [2 if size == "n" else size for size in field["shape"]]
            values[name] = chosen.integers(0, 2, shape).astype(field["type"])
    return contract.PredictResponse(**values)


def test_a_large_field_travels_as_a_small_one(contract: ModuleType, reply: Any) -> None:
    """The message is that of protobuf's own serialization, whatever the arrays look like in memory."""
    for changes in (
        {},
        {"f12": None, "f11": b"x" * 5000},
        {"f13": None},
        {"f1": np.asfortranarray(reply.f1), "f7": reply.f7[:, ::-1], "f6": np.ones((3000, 2), np.float16).T},
        {"f0": np.ones((2, 3000)), "f3": [[1] * 3000] * 2, "f1": np.ones((2, 3000), ">f4")},
        {f"f{index}": np.zeros((0, 3000)) for index in (6, 7)}
        | {"f8": np.zeros((0, 3000), "u1"), "f9": np.zeros((0, 3000), int)},
    ):
        changed = contract.PredictResponse(**{name: getattr(reply, name) for name in reply.__slots__} | changes)
        data = contract.encode_predict_response(changed)
        message = contract.pb.PredictResponse.FromString(data)
        assert message == contract.write_predict_response(changed, ""), changes
        assert len(data) == len(message.SerializeToString())
        assert contract.encode_predict_response(contract.decode_predict_response(data)) == data
    assert message.WhichOneof("either") == "f12"


def test_what_was_written_no_longer_changes(contract: ModuleType, reply: Any) -> None:
    data = contract.encode_predict_response(reply)
    before = bytes(bytearray(data))
    reply.f1[:] = 7
    assert data == before


@pytest.mark.parametrize("allow_nan", [False, True])
@pytest.mark.parametrize(("low", "high"), [(None, None), (0.0, 1.0), (-2.0, None), (None, -1.0)])
def test_halves_are_compared_as_other_floats(low: float | None, high: float | None, *, allow_nan: bool) -> None:
    """As integers, whose order is the same; float64 has the same numbers."""
    chosen = np.random.default_rng(3)
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    inside = every[(every >= (-math.inf if low is None else low)) & (every <= (math.inf if high is None else high))]
    for kinds in (inside, inside[np.isfinite(inside)], every):
        for _ in range(20):
            array = chosen.choice(kinds, (3, 200))[:, ::2]
            array.flat[chosen.integers(300)] = chosen.choice(every)
            expected = arrays.first_outside(array.astype(float), low, high, allow_nan=allow_nan)
            got = arrays.first_outside(array, low, high, allow_nan=allow_nan)
            assert str(got) == str(expected)  # NaN is not equal to itself
