"""Every wrong schema is refused with its place, its path and a remedy, and nothing else is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from contract.bad_inputs import CASES, Case, schema
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import MAX_BYTES, load, loads


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_refused(case: Case) -> None:
    with pytest.raises(SchemaError) as caught:
        loads(case.text, "schema.yaml")
    problems = caught.value.problems
    found = [item for item in problems if (item.line, item.path) == (case.line, case.path)]
    assert any(case.words in f"{item.message}; {item.remedy}" for item in found), str(caught.value)
    assert all(item.remedy and item.column >= 1 for item in problems)
    assert len(problems) == 1 or not case.alone, str(caught.value)
    assert f"schema.yaml:{case.line}:" in str(caught.value)


def test_all_problems_at_once_in_order() -> None:
    text = schema(
        "{name: class, number: 1, type: strng}",
        "{name: b, number: 1, type: float64, minimum: 3, maximum: 2, unitt: cm}",
    )
    with pytest.raises(SchemaError) as caught:
        loads(text, "a.yaml")
    assert str(caught.value).splitlines() == [
        "a.yaml:6:18: methods.Predict.request.fields.class.name: 'class' is a keyword of Python;"
        " rename it, to 'class_value' for example",
        "a.yaml:6:42: methods.Predict.request.fields.class.type: unknown type 'strng'; did you mean 'string'?",
        "a.yaml:7:29: methods.Predict.request.fields.b.number: 'b' has the number 1, and so has 'class' (line 6);"
        " two branches may each have added a field: `make renumber` gives the one that is not on the main branch"
        " another number; or keep the released number, and write 2, the next free one",
        "a.yaml:7:56: methods.Predict.request.fields.b.minimum: the minimum 3 is above the maximum 2;"
        " swap them or correct one",
        "a.yaml:7:71: methods.Predict.request.fields.b.unitt: unknown key 'unitt'; did you mean 'unit'?",
    ]


@pytest.mark.parametrize(
    ("written", "remedy"),
    [
        ("type: string[]", "write `type: string` and `repeated: true`"),
        ("type: 'float32[n, 3]'", "write `type: float32` and `shape: [n, 3]`"),
        ("type: 'map<string, int64>'", "write `key: string` and `value: int64` in place of `type`"),
        ("type: integer", "did you mean 'int64'?"),
        ("type: Predictresponse", "did you mean 'PredictResponse'?"),
        ("type: bool, optional: true", "write `required: false`"),
    ],
)
def test_remedy_says_what_to_write(written: str, remedy: str) -> None:
    with pytest.raises(SchemaError) as caught:
        loads(schema(f"{{name: a, number: 1, {written}}}".replace("string[]", "'string[]'")))
    assert [item.remedy for item in caught.value.problems] == [remedy]


def test_broken_enum_is_told_once() -> None:
    text = schema("{name: a, number: 1, type: Color}", top="enums:\n  Color: [red]\n")
    with pytest.raises(SchemaError) as caught:
        loads(text)
    assert [item.path for item in caught.value.problems] == ["enums.Color"]


def test_columns_after_windows_line_ends_and_wide_characters() -> None:
    text = schema("{name: a, doc: 'é😀', number: 0, type: bool}").replace("\n", "\r\n")
    with pytest.raises(SchemaError) as caught:
        loads(text)
    assert [(item.line, item.column) for item in caught.value.problems] == [(6, 40)]


def test_large_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(SchemaError, match="larger than 1 MiB"):
        load(path)
    assert path.stat().st_size > MAX_BYTES


@pytest.mark.parametrize(
    ("data", "place", "words"),
    [
        (b"package: iris.v1\ndoc: a\xffb\n", "2:7", "0xff is not UTF-8"),
        ("package: iris.v1\n".encode("utf-16"), "1:1", "not UTF-8"),
        (b"\x89PNG\r\n\x1a\n", "1:1", "not UTF-8"),
    ],
)
def test_bytes_that_are_no_text(tmp_path: Path, data: bytes, place: str, words: str) -> None:
    path = tmp_path / "schema.yaml"
    path.write_bytes(data)
    with pytest.raises(SchemaError) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}:{place}: ")
    assert words in str(caught.value)


def test_paths_that_are_no_file(tmp_path: Path) -> None:
    with pytest.raises(SchemaError, match="does not exist"):
        load(tmp_path / "schema.yaml")
    with pytest.raises(SchemaError, match="a folder"):
        load(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_pipe_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "schema.yaml"
    os.mkfifo(path)
    with pytest.raises(SchemaError, match="not a regular file"):
        load(path)
