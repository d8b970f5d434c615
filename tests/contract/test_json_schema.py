"""The JSON Schema for editors says what the loader says, as far as structure goes."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract.bad_inputs import CASES, Case
from contract.test_accepted import FULL
from protoserve.platform import yaml_tree
from protoserve.platform.yaml_tree import Mapping, Place
from protoserve.schema import parse
from protoserve.schema.field_keys import FIELD_KEYS
from protoserve.schema.json_schema import json_schema
from protoserve.schema.mapping_reader import Problems, Section, plain
from protoserve.schema.model import Field
from protoserve.schema.presets import preset_text, presets
from protoserve.schema.signature import signature_to_yaml

SCHEMA = json.loads(json_schema())
VALIDATOR = Draft202012Validator(SCHEMA)


def read(text: str) -> Any:
    """As an editor reads YAML, where a key that stands twice is not the JSON Schema's matter."""
    return plain(yaml_tree.parse(text))


def test_it_is_a_json_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", presets())
def test_presets_pass(name: str) -> None:
    VALIDATOR.validate(read(preset_text(name)))


def test_every_feature_passes() -> None:
    VALIDATOR.validate(read(FULL))
    VALIDATOR.validate(
        read(signature_to_yaml("a: map<string, float>, b?: E(x|y) -> stream c: float32[n, 3]", "iris.v1"))
    )


@pytest.mark.parametrize("case", [case for case in CASES if case.structural], ids=lambda case: case.name)
def test_structural_slips_are_seen(case: Case) -> None:
    assert not VALIDATOR.is_valid(read(case.text))


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        (None, parse.ROOT_KEYS),
        ("enum", parse.ENUM_KEYS),
        ("value", parse.VALUE_KEYS),
        ("message", parse.MESSAGE_KEYS),
        ("body", parse.BODY_KEYS),
        ("method", parse.METHOD_KEYS),
        ("reserved", parse.RESERVED_KEYS),
    ],
)
def test_keys_are_the_loaders_and_are_described(name: str | None, keys: tuple[str, ...]) -> None:
    properties = (SCHEMA if name is None else SCHEMA["$defs"][name])["properties"]
    assert sorted(properties) == sorted(keys)
    for key, value in properties.items():
        described = "description" in value or "description" in SCHEMA["$defs"][value["$ref"].rpartition("/")[2]]
        assert described, key


def test_a_key_of_a_field_has_one_attribute_of_the_model_with_the_same_default() -> None:
    rows = [row for row in FIELD_KEYS if row.read is not None]
    defaults = {item.name: item.default for item in fields(Field)}
    read_together = {"name", "python_name", "type", "key", "required", "labelled", "where"}
    assert sorted(row.attribute for row in rows) == sorted(defaults.keys() - read_together)
    empty = Section(Mapping(Place(0, 0, 1, 1), (), flow=True), "", Problems())
    for row in rows:
        assert row.read is not None
        assert row.read(empty, row.name) == defaults[row.attribute], row.name
