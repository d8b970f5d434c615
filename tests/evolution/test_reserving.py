"""`reserved` is written into the text of a schema however its author writes YAML, and nothing else changes."""

# A text of the table stays on its line.
# ruff: noqa: E501

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contract.bad_inputs import RESPONSE
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads
from protoserve.schema.model import Reserved
from protoserve.schema.reserve import reserve

LEFT = Reserved(((7, 7),), ("colour",))
HEAD = "package: iris.v1\nmethods:\n  Predict:\n"
FIELD = "{name: a, number: 1, type: bool}"


def schema(request: str) -> str:
    return f"{HEAD}{request}{RESPONSE}"


CASES = {
    "block": (
        f"    request:\n      fields:\n        - {FIELD}   # one\n",
        f"    request:\n      fields:\n        - {FIELD}   # one\n      reserved: {{numbers: [7], names: [colour]}}\n",
    ),
    "a block of blocks, with a comment below": (
        "    request:\n      fields:\n        - name: a\n          number: 1\n          type: bool  # one\n\n      # what follows\n",
        "    request:\n      fields:\n        - name: a\n          number: 1\n          type: bool  # one\n"
        "      reserved: {numbers: [7], names: [colour]}\n\n      # what follows\n",
    ),
    "braces": (
        f"    request: {{fields: [{FIELD}]}}  # all\n",
        f"    request: {{fields: [{FIELD}], reserved: {{numbers: [7], names: [colour]}}}}  # all\n",
    ),
    "braces over lines": (
        f"    request: {{\n      fields: [\n        {FIELD},\n      ],\n    }}\n",
        f"    request: {{\n      fields: [\n        {FIELD},\n      ], reserved: {{numbers: [7], names: [colour]}},\n    }}\n",
    ),
    "a text of several lines last": (
        "    request:\n      fields: []\n      doc: |\n        One.\n        Two.\n",
        "    request:\n      fields: []\n      doc: |\n        One.\n        Two.\n      reserved: {numbers: [7], names: [colour]}\n",
    ),
    "reserved in braces": (
        '    request: {fields: [], reserved: {numbers: [2, "4 to 5"], names: [old]}}\n',
        '    request: {fields: [], reserved: {numbers: [2, "4 to 5", 7], names: [old, colour]}}\n',
    ),
    "reserved in braces, names only": (
        "    request: {fields: [], reserved: {names: [old]}}\n",
        "    request: {fields: [], reserved: {names: [old, colour], numbers: [7]}}\n",
    ),
    "reserved in blocks": (
        "    request:\n      fields: []\n      reserved:\n        numbers:\n          - 2  # two\n        names:\n          - old\n",
        "    request:\n      fields: []\n      reserved:\n        numbers:\n          - 2  # two\n          - 7\n        names:\n"
        "          - old\n          - colour\n",
    ),
    "reserved in a block, numbers only": (
        "    request:\n      fields: []\n      reserved:\n        numbers: [2]  # two\n",
        "    request:\n      fields: []\n      reserved:\n        numbers: [2, 7]  # two\n        names: [colour]\n",
    ),
    "reserved with empty lists": (
        "    request: {fields: [], reserved: {numbers: [], names: }}\n",
        "    request: {fields: [], reserved: {numbers: [7], names: [colour] }}\n",
    ),
    "reserved with nothing": (
        "    request:\n      reserved:   # soon\n      fields: []\n",
        "    request:\n      reserved: {numbers: [7], names: [colour]}   # soon\n      fields: []\n",
    ),
    "reserved with empty braces": (
        "    request:\n      reserved: {}\n      fields: []\n",
        "    request:\n      reserved: {numbers: [7], names: [colour]}\n      fields: []\n",
    ),
    "quoted keys": (
        f'    request: {{"fields":[{FIELD}]}}\n',
        f'    request: {{"fields":[{FIELD}], reserved: {{numbers: [7], names: [colour]}}}}\n',
    ),
}


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
@pytest.mark.parametrize("name", CASES)
def test_it_is_inserted(name: str, line_end: str) -> None:
    before, after = (schema(text).replace("\n", line_end) for text in CASES[name])
    assert reserve(before, "schema.yaml", {"PredictRequest": LEFT}) == after
    assert reserve(after, "schema.yaml", {}) == after


def test_at_the_end_of_a_file_without_a_line_end() -> None:
    text = (
        "package: a1.v1\nmethods:\n  P: {request: {fields: []}, response: {fields: []}}\nmessages:\n  M:\n    doc: One."
    )
    assert reserve(text, "s", {"M": LEFT}) == f"{text}\n    reserved: {{numbers: [7], names: [colour]}}"


def test_a_name_that_yaml_takes_for_something_else() -> None:
    text = reserve(schema("    request: {fields: []}\n"), "s", {"PredictRequest": Reserved((), ("true", "no"))})
    assert loads(text).methods[0].request.reserved.names == ("true", "no")


@pytest.mark.parametrize("empty", ["{}", "  {  }", "", "   # nothing"])
def test_a_message_that_has_nothing_left(empty: str) -> None:
    text = f"messages:\n  M: {empty}\n" + schema("    request: {message: M}\n")
    made = reserve(text, "s", {"M": LEFT})
    assert loads(made).methods[0].request.reserved == LEFT
    assert ("# nothing" in made) == ("# nothing" in text)


def test_a_shared_message_and_an_enum() -> None:
    text = "enums:\n  E: {values: [{name: x, number: 1}]}\nmessages:\n  M: {}\n" + schema("    request: {message: M}\n")
    made = loads(reserve(text, "s", {"M": LEFT, "E": LEFT}))
    assert made.methods[0].request.reserved == made.enums[0].reserved == LEFT


def test_what_is_not_foreseen_is_refused_with_its_line() -> None:
    text = schema("    request:\n      ? fields\n      : []\n      ? reserved\n      : ? numbers\n        : [2]\n")
    try:
        made = reserve(text, "s.yaml", {"PredictRequest": LEFT})
    except SchemaError as error:
        assert str(error).startswith("s.yaml:")  # noqa: PT017
        assert "write it yourself" in str(error)  # noqa: PT017
    else:
        assert loads(made).methods[0].request.reserved.names == ("colour",)


@settings(max_examples=60, deadline=None)
@given(
    st.booleans(),
    st.sampled_from(["none", "flow", "block", "empty"]),
    st.sampled_from(["", "  # hm", "   "]),
    st.integers(0, 3),
)
def test_any_mix(flow: bool, there: str, comment: str, fields: int) -> None:
    items = [f"{{name: f{index}, number: {index + 1}, type: bool}}" for index in range(fields)]
    kept = {
        "none": "",
        "flow": "{numbers: [50], names: [old]}",
        "empty": "{}",
        "block": "\n        names:\n        - old",
    }
    if flow:
        inner = f", reserved: {kept[there]}" if there in ("flow", "empty") else ""
        text = schema(f"    request: {{fields: [{', '.join(items)}]{inner}}}{comment}\n")
    else:
        listed = "".join(f"\n      - {item}{comment}" for item in items) or " []"
        inner = f"      reserved: {kept[there]}{comment}\n" if there != "none" else ""
        text = schema(f"    request:\n      fields:{listed}\n{inner}")
    made = reserve(text, "schema.yaml", {"PredictRequest": LEFT})
    request = loads(made).methods[0].request
    assert (7, 7) in request.reserved.ranges
    assert "colour" in request.reserved.names
    assert len(request.fields) == fields
    assert made.count("# hm") == text.count("# hm")
