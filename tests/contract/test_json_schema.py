"""The JSON Schema for editors says what the loader says, as far as structure goes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contract.bad_inputs import CASES, Case
from contract.test_accepted import FULL
from protoserve.platform import yaml_tree
from protoserve.schema import parse
from protoserve.schema.json_schema import json_schema
from protoserve.schema.presets import preset_text, presets
from protoserve.schema.section import plain
from protoserve.schema.signature import signature_to_yaml
from protoserve.schema.types import ALIASES, MAP_KEYS, SCALARS

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
        ("field", parse.FIELD_KEYS),
    ],
)
def test_keys_are_the_loaders_and_are_described(name: str | None, keys: tuple[str, ...]) -> None:
    properties = (SCHEMA if name is None else SCHEMA["$defs"][name])["properties"]
    assert sorted(properties) == sorted(keys)
    for key, value in properties.items():
        described = "description" in value or "description" in SCHEMA["$defs"][value["$ref"].rpartition("/")[2]]
        assert described, key


def test_types_are_the_loaders() -> None:
    assert SCHEMA["$defs"]["type"]["anyOf"][0]["enum"] == [*SCALARS, *ALIASES]
    assert SCHEMA["$defs"]["field"]["properties"]["key"]["enum"] == list(MAP_KEYS)
