"""Whatever the schema: the code compiles, the .proto is clean, values survive the wire, the sample is valid."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from hypothesis import given
from hypothesis import strategies as st

import random_schemas
from protoserve.emit import generated_files
from protoserve.schema import reserved_names
from protoserve.schema.load import loads
from support import ROOT, run, tool

counter = itertools.count()

BUF_YAML = (ROOT / "template" / "buf.yaml").read_text(encoding="utf-8")


def same(left: Any, right: Any) -> bool:
    """Equality that goes into arrays and dataclasses."""
    if isinstance(left, np.ndarray):
        return bool(left.dtype == right.dtype and np.array_equal(left, right, equal_nan=left.dtype.kind == "f"))
    if dataclasses.is_dataclass(left):
        return all(same(getattr(left, f.name), getattr(right, f.name)) for f in dataclasses.fields(left))
    if isinstance(left, list):
        return len(left) == len(right) and all(map(same, left, right))
    if isinstance(left, dict):
        return left.keys() == right.keys() and all(same(left[key], right[key]) for key in left)
    return bool(left == right)


def imported(folder: Path, package: str) -> ModuleType:
    """The generated contract; its stubs stay registered, so every example has a package of its own."""
    sys.path.insert(0, str(folder / "src"))
    try:
        return importlib.import_module(f"{package}.contract.v1")
    finally:
        sys.path.remove(str(folder / "src"))


@random_schemas.examples(4)
@given(schema=random_schemas.schemas(), data=st.data())
def test_any_schema(tmp_path_factory: pytest.TempPathFactory, schema: dict[str, Any], data: st.DataObject) -> None:
    generate_and_judge(tmp_path_factory, schema, data)


@pytest.mark.slow
@random_schemas.examples(21)
@given(schema=random_schemas.schemas(), data=st.data())
def test_more_schemas(tmp_path_factory: pytest.TempPathFactory, schema: dict[str, Any], data: st.DataObject) -> None:
    generate_and_judge(tmp_path_factory, schema, data)


def generate_and_judge(tmp_path_factory: pytest.TempPathFactory, schema: dict[str, Any], data: st.DataObject) -> None:
    """Generates the code of a schema, lints it, and sends values and the sample through it."""
    package = f"random{next(counter)}"
    folder = tmp_path_factory.mktemp(package)
    (folder / "schema.yaml").write_text(json.dumps({"package": f"{package}.v1", **schema}, indent=1), encoding="utf-8")
    made = generated_files.plan(folder, package)
    generated_files.apply(made)
    assert generated_files.differences(generated_files.plan(folder, package)) == "", "a second run changes nothing"

    (folder / "buf.yaml").write_text(BUF_YAML, encoding="utf-8")
    run([tool("buf"), "lint"], cwd=folder)
    run([tool("buf"), "format", "--diff", "--exit-code"], cwd=folder)
    run([tool("ruff"), "format", "--isolated", "--line-length=120", "--check", "."], cwd=folder)

    contract = loads((folder / "schema.yaml").read_text(encoding="utf-8"))
    module = imported(folder, package)
    for message in contract.all_messages():
        value = data.draw(random_schemas.values(contract, message, module))
        name = reserved_names.snake(message.name)
        wire = getattr(module, f"write_{name}")(value, "").SerializeToString()
        bad = module.violations.Violations()
        parsed = module.parsing.parse(getattr(module.pb, message.name), wire)
        back = getattr(module, f"read_{name}")(parsed, "", bad)
        assert bad.items == []
        assert same(value, back)
    for method in module.METHODS:
        sample = method.sample()
        method.decode(sample)
        assert method.max_request_bytes is None or len(sample) <= method.max_request_bytes
        text = (folder / f"tests/requests/{method.name}.json").read_text(encoding="utf-8")
        kind = getattr(module.pb, f"{method.name}Request")
        assert ParseDict(json.loads(text), kind()) == kind.FromString(sample)


def test_protoc_is_the_judge_of_what_this_file_calls_clean(tmp_path: Path) -> None:
    """The linters above do find something when there is something: they are not run on the wrong folder."""
    proto = tmp_path / "proto/a/v1/prediction.proto"
    proto.parent.mkdir(parents=True)
    proto.write_text('syntax = "proto3";\npackage a.v1;\nmessage lower {}\n', encoding="utf-8")
    (tmp_path / "buf.yaml").write_text(BUF_YAML, encoding="utf-8")
    done = subprocess.run([tool("buf"), "lint"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 100
