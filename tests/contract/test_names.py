"""How names are cut into words, where protoc, buf and Python must agree."""

from __future__ import annotations

import pytest

from protoserve.schema import reserved_names


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("Predict", "predict"),
        ("PredictProba", "predict_proba"),
        ("HTTPStatus", "http_status"),
        ("Iris2D", "iris2d"),
        ("Foo1Bar", "foo1_bar"),
        ("F1Score", "f1_score"),
        ("A1B2", "a1b2"),
        ("ROC2AUCx", "roc2au_cx"),
        ("X", "x"),
    ],
)
def test_snake_is_bufs(name: str, snake: str) -> None:
    # Each pair was tried with `buf lint` (ENUM_VALUE_PREFIX of buf 1.75).
    assert reserved_names.snake(name) == snake


@pytest.mark.parametrize(("name", "json"), [("a", "a"), ("foo_bar", "fooBar"), ("a_1", "a1"), ("x_1st", "x1st")])
def test_json_names_are_protocs(name: str, json: str) -> None:
    assert reserved_names.json_name(name) == json


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("sepalLength", "sepal_length"),
        ("sepal length (cm)", "sepal_length_cm"),
        ("3d", "x_3d"),
        ("é", "e"),
        ("長さ", "x"),
        ("Größe", "grosse"),
    ],
)
def test_a_name_that_is_offered_can_be_used(name: str, nearest: str) -> None:
    assert reserved_names.as_snake(name) == nearest
    assert reserved_names.field(nearest) is None


def test_offered_names_avoid_what_was_wrong() -> None:
    for name in ("class", "Float", "self", "__init__", "DESCRIPTOR"):
        complaint = reserved_names.field(name)
        assert complaint is not None
        offered = complaint[1].split("'")[1]
        assert reserved_names.field(offered) is None, (name, offered)
