"""A schema that was taken over evolves like any other: numbers, renames, reservations, comparison."""

from __future__ import annotations

import pytest

from foreign.test_carried import PROTOS
from protoserve.compat.compare import compare
from protoserve.compat.missing_reservations import leftovers
from protoserve.emit.upgrade_modules import derive_upgrade, render_upgrade
from protoserve.intake.proto.convert import from_proto
from protoserve.schema.assign_numbers import numbered
from protoserve.schema.load import loads
from protoserve.schema.renumber import renumber
from protoserve.schema.reserve import reserve


@pytest.fixture(scope="module")
def schemas() -> dict[str, str]:
    return {path.stem: from_proto(path, "proj") for path in PROTOS if path.stem in ("legacy", "chat")}


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


def test_second_names_of_a_number_stay(schemas: dict[str, str]) -> None:
    text = schemas["legacy"]
    assert renumber(text, "schema.yaml", loads(text), "p.v1") == (text, [])


def test_a_field_that_two_branches_added_to_an_inner_message_is_renumbered(schemas: dict[str, str]) -> None:
    text = schemas["chat"]
    released = changed(
        text, "- {name: prompt_tokens", "- {name: cached, number: 3, type: uint32}\n      - {name: prompt_tokens"
    )
    both = changed(
        released,
        "- {name: cached, number: 3",
        "- {name: batched, number: 3, type: uint32}\n      - {name: cached, number: 3",
    )
    made, found = renumber(both, "schema.yaml", loads(released), "p.v1")
    assert [item.where.path.rpartition(".")[2] for item in found] == ["batched"]
    assert "{name: cached, number: 3, type: uint32}" in made
    assert "{name: batched, number: 4, type: uint32}" in made


def test_a_new_field_gets_its_number_and_a_renamed_one_keeps_it(schemas: dict[str, str]) -> None:
    text = schemas["chat"]
    more = changed(text, "{name: prompt_tokens, number: 1,", "{name: asked, renamed_from: prompt_tokens,")
    more = changed(
        more,
        "{name: completion_tokens,",
        "{name: cached, type: uint32, presence: implicit}\n      - {name: completion_tokens,",
    )
    made = numbered(more, "schema.yaml", known=loads(text))
    usage = loads(made).message("ChatChunkUsage")
    assert usage is not None
    assert {item.name: item.number for item in usage.fields} == {"asked": 1, "cached": 3, "completion_tokens": 2}


def test_what_goes_from_an_inner_message_or_enum_is_reserved_there(schemas: dict[str, str]) -> None:
    text = schemas["chat"]
    less = changed(text, "      - {name: prompt_tokens, number: 1, type: uint32}\n", "")
    less = changed(less, "      - {name: FINISH_REASON_STOP, number: 1}\n", "")
    old, new = loads(text), loads(less)
    rules = {change.rule for change in compare(old, new) if change.breaking}
    assert rules == {"field-removed", "value-removed"}
    made = loads(reserve(less, "schema.yaml", leftovers(old, new)))
    usage, reason = made.message("ChatChunkUsage"), made.enum("ChatChunkFinishReason")
    assert usage is not None
    assert reason is not None
    assert (usage.reserved.ranges, usage.reserved.names) == (((1, 1),), ("prompt_tokens",))
    assert "FINISH_REASON_STOP" in reason.reserved.names


def test_it_equals_itself(schemas: dict[str, str]) -> None:
    for text in schemas.values():
        assert compare(loads(text), loads(text)) == ()


def test_a_new_version_carries_names_that_python_cannot_use() -> None:
    """Fields that differ in case alone, and those with another name in Python: nothing is left to its author."""
    path = next(path for path in PROTOS if path.stem == "keywords")
    older = from_proto(path, "proj")
    newer = changed(older, "package: import.a.v1", "package: import.a.v2")
    upgrade = derive_upgrade(loads(older), loads(newer))
    assert upgrade.abstract_methods == ()
    assert upgrade.lost_fields == ()
    text = render_upgrade(upgrade, "proj")
    assert "class_=request.class_" in text
    compile(text, "v1_to_v2.py", "exec")
