"""Numbers that are read and written together: as if they were read and written one by one."""

from __future__ import annotations

import importlib
import json
import math
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from protoserve.emit import column_code, generated_files

INTEGERS = "int8 int16 int32 int64 uint8 uint16 uint32 uint64".split()
NUMBERS: list[dict[str, Any]] = [
    *({"type": name} for name in ("bool", "float32", "float64", *INTEGERS)),
    *({"type": name, "minimum": 1, "maximum": 100} for name in ("float32", "float64", "int8", "int64", "uint32")),
    *({"type": name, "minimum": 0} for name in ("float32", "int16", "int64", "float64")),
    *({"type": name, "allow_nan": True} for name in ("float32", "float64")),
    {"type": "float64", "allow_nan": True, "maximum": 5},
    {"type": "float32", "maximum": 0.1},
    {"type": "float64", "name": "math"},  # as the module that limits are compared with
]
VALUES: list[Any] = [
    *(0, 1, 2, 5, 100, 101, -1, 127, 128, 255, 256, 2**31, 2**63, 2**64, 10**400, True, False, None, "1"),
    *(0.0, -0.0, 0.1, 0.1000000001, 1.5, 100.00000001, 1e39, -1e308, math.nan, math.inf, -math.inf),
    *(np.float32(0.1), np.float64(7), np.int64(3), np.bool_(True), np.array(4.0), np.array([1.0, 2.0])),
]


@pytest.fixture(scope="module")
def contracts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ModuleType, ModuleType]]:
    """The contract of the same schema, with columns and without."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(column_code, "MOST", 12)
        together = generated(tmp_path_factory.mktemp("together"), "together")
        patch.setattr(column_code, "LEAST", 1000)
        yield together, generated(tmp_path_factory.mktemp("apart"), "apart")


def generated(folder: Path, package: str) -> ModuleType:
    fields = [{"name": f"n{index}", "number": index + 1, **number} for index, number in enumerate(NUMBERS)]
    text = {"name": "text", "number": 100, "type": "string", "max_length": 3}
    more = [{**field, "name": f"m{field['name']}", "number": field["number"] + 100} for field in fields]
    message = {"fields": [*fields, text, *more]}
    schema = {
        "package": f"{package}.v1",
        "service": "Wide",
        "methods": {"Predict": {"request": message, "response": message}},
    }
    (folder / "schema.yaml").write_text(json.dumps(schema), encoding="utf-8")
    generated_files.apply(generated_files.plan(folder, package))
    sys.path.insert(0, str(folder / "src"))
    try:
        return importlib.import_module(f"{package}.contract.v1")
    finally:
        sys.path.remove(str(folder / "src"))


def outcome(call: Callable[[Any], object], argument: object) -> object:
    """What a call returns, comparable also with NaN; or the type and text of its error."""
    try:
        result = call(argument)
    except (TypeError, ValueError, OverflowError) as error:
        return type(error).__name__, str(error)
    return result if isinstance(result, bytes) else repr(result)


def attributes(message: object) -> list[str]:
    return list(message.__slots__)  # type: ignore[attr-defined]


def test_only_numbers_in_a_row_are_columns(contracts: tuple[ModuleType, ModuleType]) -> None:
    together, apart = contracts
    assert hasattr(together, "_COLUMNS_12")  # three for 25 numbers
    assert not hasattr(together, "_COLUMNS_13")
    assert not hasattr(apart, "_COLUMNS_1")


def test_any_request_is_read_alike(contracts: tuple[ModuleType, ModuleType]) -> None:
    together, apart = contracts
    chosen = random.Random(17)
    sample = together.pb.PredictRequest.FromString(together.sample_predict_request())
    for count in [0, 0, 1, 1, 1, 1, 2, 5] * 40:
        message = type(sample)()
        message.CopyFrom(sample)
        for field in chosen.sample(list(message.DESCRIPTOR.fields), count):
            try:
                message.ClearField(field.name)
                setattr(message, field.name, chosen.choice(VALUES))
            except (TypeError, ValueError, OverflowError):  # not a value of the field, which stays absent
                continue
        data = message.SerializeToString()
        assert outcome(together.decode_predict_request, data) == outcome(apart.decode_predict_request, data)


def test_any_reply_is_written_alike(contracts: tuple[ModuleType, ModuleType]) -> None:
    together, _ = contracts
    chosen = random.Random(18)
    sample = together.decode_predict_response(together.sample_predict_request())
    values = {name: getattr(sample, name) for name in attributes(sample)}
    for count in [0, 1, 1, 1, 1, 1, 2, 5] * 40:
        changed = values | {name: chosen.choice(VALUES) for name in chosen.sample(list(values), count)}
        written = [outcome(module.encode_predict_response, module.PredictResponse(**changed)) for module in contracts]
        assert written[0] == written[1], changed


def test_a_row_of_large_numbers_is_read(contracts: tuple[ModuleType, ModuleType]) -> None:
    """Whose sum is infinite."""
    together, _ = contracts
    columns = together.columns.Columns(*(together.columns.Column(name, "float64") for name in ("n2", "mn2")))
    bad = together.violations.Violations()
    message = together.pb.PredictRequest(n2=1.7e308, mn2=1.7e308)
    assert columns.read(message, "", bad) == (1.7e308, 1.7e308)
    assert not bad.items
