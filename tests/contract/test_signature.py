"""The one-line form gives the schema that it stands for, or points at the column that is wrong."""

from __future__ import annotations

import pytest

from protoserve.schema.assign_numbers import numbered
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads
from protoserve.schema.signature import signature_to_yaml

IRIS = (
    "sepal_length: float64, image?: uint8[height, width, 3] -> "
    "species: Species(setosa|versicolor), probabilities: float32[3]"
)


def test_the_text_is_a_schema_that_people_can_read() -> None:
    assert (
        signature_to_yaml(IRIS, "iris.v1")
        == """\
package: iris.v1
status: draft
service: PredictionService
enums:
  Species:
    values:
      - {name: setosa, number: 1}
      - {name: versicolor, number: 2}
methods:
  Predict:
    doc: Predict one row.
    request:
      fields:
        - {name: sepal_length, number: 1, type: float64}
        - {name: image, number: 2, type: uint8, shape: [height, width, 3], required: false}
    response:
      fields:
        - {name: species, number: 1, type: Species}
        - {name: probabilities, number: 2, type: float32, shape: [3]}
"""
    )


def test_lists_maps_and_enums_that_come_again() -> None:
    line = "tags: string[], rates: map<string, double>, a: E(x|true), b?: E, c: E(x|true)[] -> d: map<int64, E>"
    contract = loads(signature_to_yaml(line, "iris.v1"))
    tags, rates, a, b, c = contract.methods[0].request.fields
    assert (tags.repeated, tags.shape) == (True, None)
    assert (rates.key, rates.type) == ("string", "float64")
    assert (a.type, b.type, b.required, c.repeated) == ("E", "E", False, True)
    assert contract.methods[0].response.fields[0].key == "int64"
    assert [value.name for value in contract.enums[0].values] == ["x", "true"]


@pytest.mark.parametrize(
    ("line", "streaming", "names"),
    [
        ("-> stream token: string", True, ["token"]),
        ("a: bool -> stream: string", False, ["stream"]),
        ("a: bool -> stream stream: string", True, ["stream"]),
        ("  a:bool->b:bool,c:bool  ", False, ["b", "c"]),
    ],
)
def test_streams(line: str, streaming: bool, names: list[str]) -> None:
    method = loads(signature_to_yaml(line, "iris.v1")).methods[0]
    assert method.streaming is streaming
    assert [item.name for item in method.response.fields] == names


def test_it_has_all_its_numbers() -> None:
    text = signature_to_yaml(IRIS, "iris.v1")
    assert numbered(text) == text


@pytest.mark.parametrize(
    ("line", "column", "words"),
    [
        ("", 1, "arrow"),
        ("a: float64", 11, "arrow"),
        ("a: float64 ->", 12, "response has no field"),
        ("a float64 -> b: bool", 1, "has no colon before its type; write `a: float64`"),
        ("Tenure (months), b: bool -> c: bool", 1, "write `tenure_months: float64`, or with another type"),
        ("a: -> b: bool", 4, "a type is missing"),
        ("a: float64 b: bool -> c: bool", 12, "',' is missing"),
        ("a: float64, -> b: bool", 13, "name of a field"),
        ("a: float64 -> b: bool -> c: bool", 23, "',' is missing"),
        ("a: float64[ -> b: bool", 13, "dimension"),
        ("a: float64[3 -> b: bool", 14, "','"),
        ("a: float64[0] -> b: bool", 11, "less than 1"),
        ("a: string[3] -> b: bool", 10, "takes no shape"),
        ("a: E(x|) -> b: bool", 8, "name of a value"),
        ("a: E(x -> b: bool", 8, "')' is missing"),
        ("a: E(x|X) -> b: bool", 8, "other letters"),
        ("a: E(x|y) -> b: E(x|z)", 17, "other values in column 4"),
        ("a: e(x) -> b: bool", 4, "PascalCase"),
        ("a: float46 -> b: bool", 4, "unknown type"),
        ("a: map<float64, bool> -> b: bool", 4, "cannot be the key"),
        ("a: map<string> -> b: bool", 14, "','"),
        ("a: list[str] -> b: bool", 4, "write `string[]`"),
        ("a: map<string, map<string, bool>> -> b: bool", 16, "map of maps"),
        ("tags?: string[] -> b: bool", 1, "never required"),
        ("class: bool -> b: bool", 1, "keyword"),
        ("a: bool, a: bool -> b: bool", 10, "twice"),
        ("a: bool; b: bool -> c: bool", 8, "no meaning"),
        ("a: bool -> é: bool", 12, "write `e`"),
        ("Tenure (months): int64 -> b: bool", 1, "write `tenure_months` (and, if the model calls it so, `source: Ten"),
        ("a: bool, size (h, w)?: bool -> b: bool", 10, "write `size_h_w`"),
        ("'class of': bool -> b: bool", 1, "letters a-z, digits and underscores only; write `class_of`"),
        ("a: K(small|very large) -> b: bool", 12, "write `very_large`, and where the model wants the label itself"),
        ("a: K(1|2) -> b: bool", 6, "write `x_1`"),
        (
            "a: float32[-1, 224] -> b: bool",
            12,
            "write `float32[batch, 224]`; or, if a request is one row, `float32[2",
        ),
        ("a: float32[3, None] -> b: bool", 15, "write `float32[3, size_2]`"),
        ("a: float32[?] -> b: bool", 12, "if it is the number of rows, write `float32`"),
        ("a: K(small,large) -> b: bool", 11, "write `Name(first|second)`"),
        ("a: float32[ * , *] -> b: bool", 13, "write `float32[batch, size_2]`"),
    ],
)
def test_errors_point_at_the_column(line: str, column: int, words: str) -> None:
    with pytest.raises(SchemaError) as caught:
        signature_to_yaml(line, "iris.v1")
    first = caught.value.problems[0]
    assert (first.line, first.column) == (1, column), str(caught.value)
    assert words in f"{first.message}; {first.remedy}"
    assert first.remedy
    assert str(caught.value).splitlines()[1:3] == [f"    {line}", f"    {' ' * (column - 1)}^"]


def test_names_that_cannot_be_are_reported_at_once() -> None:
    with pytest.raises(SchemaError) as caught:
        signature_to_yaml("Tenure (months): int64, x: float32[-1], k: K(very small|b c) -> a b: bool, c", "iris.v1")
    assert [problem.column for problem in caught.value.problems] == [1, 36, 46, 57, 65, 76]


def test_of_a_long_line_the_part_around_the_column_is_shown() -> None:
    fields = [f"column_{index}: float64" for index in range(30)]
    with pytest.raises(SchemaError) as caught:
        signature_to_yaml(", ".join([*fields[:15], "a b: bool", *fields[15:]]) + " -> c: bool", "iris.v1")
    _, excerpt, caret = str(caught.value).splitlines()
    assert max(len(excerpt), len(caret)) <= 80
    assert excerpt[len(caret) - 1 :].startswith("a b: bool")
