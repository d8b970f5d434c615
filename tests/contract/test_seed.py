"""Presets, and the first `schema.yaml` of a project."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest

from contract.bad_inputs import schema
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import SchemaError
from protoserve.schema.initial_text import seed
from protoserve.schema.json_schema import MODELINE
from protoserve.schema.load import loads
from protoserve.schema.presets import preset_data, preset_text, presets


@pytest.mark.parametrize("name", presets())
def test_presets_are_sound_and_say_nothing_about_the_package(name: str) -> None:
    text = preset_text(name)
    contract = loads(text, name, default_package="rose.v1")
    assert contract.package == "rose.v1"
    assert numbered(text) == text


def test_the_rows_of_tabular_are_the_real_ones() -> None:
    from sklearn.datasets import load_iris  # takes seconds, in each process that collects the tests

    iris = load_iris()
    contract = loads(preset_text("tabular"), default_package="iris.v1")
    fields = contract.methods[0].request.fields
    assert [field.source for field in fields] == list(iris.feature_names)
    assert [value.name for value in contract.enums[0].values] == list(iris.target_names)
    head, *rows = csv.reader(io.StringIO(preset_data("tabular")))
    assert head == [*(field.name for field in fields), "species"]
    assert [[float(cell) for cell in row[:4]] for row in rows] == iris.data.tolist()
    assert [row[4] for row in rows] == [iris.target_names[index] for index in iris.target]
    assert [field.example for field in fields] == iris.data[0].tolist()


def test_unknown_preset() -> None:
    with pytest.raises(KeyError):
        preset_text("nope")


def test_seed_from_a_preset(tmp_path: Path) -> None:
    text = seed("tabular", "rose", tmp_path)
    lines = text.splitlines()
    assert lines[0] == MODELINE
    assert lines[2] == "package: rose.v1"
    assert text.replace(f"{MODELINE}\n", "").replace("package: rose.v1\n", "") == preset_text("tabular")


def test_seed_from_a_signature(tmp_path: Path) -> None:
    text = seed(" a: float64 -> b: bool ", "rose", tmp_path)
    assert text.startswith(f"{MODELINE}\npackage: rose.v1\n")


@pytest.mark.parametrize(
    ("written", "seeded"),
    [
        ("# Mine.\nmethods:", f"{MODELINE}\n# Mine.\npackage: rose.v1\nmethods:"),
        ("package: acme.v2\nmethods:", f"{MODELINE}\npackage: acme.v2\nmethods:"),
        ("# yaml-language-server: $schema=old.json\n---\nmethods:", f"{MODELINE}\n---\npackage: rose.v1\nmethods:"),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_seed_from_a_file(tmp_path: Path, written: str, seeded: str, line_end: str) -> None:
    body = schema("{name: a, type: bool}").partition("methods:")[2]
    (tmp_path / "mine.yaml").write_bytes((written + body).replace("\n", line_end).encode())
    text = seed("mine.yaml", "rose", tmp_path)
    assert text == (seeded + body.replace("{name: a,", "{name: a, number: 1,")).replace("\n", line_end)


def test_seed_from_json(tmp_path: Path) -> None:
    text = '{"methods": {"Predict": {"request": {"fields": []}, "response": {"fields": []}}}}'
    (tmp_path / "mine.yaml").write_text(text)
    assert loads(seed("mine.yaml", "rose", tmp_path)).package == "rose.v1"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("tabula", "did you mean 'tabular'"),
        ("", "is not a schema"),
        ("missing.yaml", "does not exist"),
        ("a: float46 -> b: bool", "unknown type"),
    ],
)
def test_answers_that_are_no_schema(tmp_path: Path, answer: str, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        seed(answer, "rose", tmp_path)


def test_errors_of_a_file_are_at_its_own_lines(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(schema("{name: class, type: bool}").partition("\n")[2])
    with pytest.raises(SchemaError) as caught:
        seed("mine.yaml", "rose", tmp_path)
    assert [item.line for item in caught.value.problems] == [5]


def test_stubs_that_would_lie_on_the_projects_own_modules(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(schema().replace("iris.v1", "rose.contract.v1"))
    with pytest.raises(SchemaError, match="of the project itself"):
        seed("mine.yaml", "rose", tmp_path)
    assert "rose.contract.v1" in seed("mine.yaml", "iris", tmp_path)
