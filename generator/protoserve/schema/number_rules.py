"""Numbers of fields and of enum values: in range, free, and none twice."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from protoserve.platform.yaml_tree import Place, Scalar
from protoserve.schema.mapping_reader import Section
from protoserve.schema.model import MAX_ENUM_NUMBER, MAX_FIELD_NUMBER, Reserved
from protoserve.schema.unchecked_contract import EnumDraft, MessageDraft

# protobuf keeps these for itself.
OWN_FIRST, OWN_LAST = 19_000, 19_999


@dataclass(frozen=True, slots=True)
class Numbered:
    """A field or an enum value, `number` 0 while it has none."""

    name: str
    number: int
    section: Section


def fields_of(message: MessageDraft) -> list[Numbered]:
    return [Numbered(item.name, item.field.number, item.section) for item in message.fields]


def values_of(enum: EnumDraft) -> list[Numbered]:
    """Values with a section; one in the short form has no number yet."""
    return [
        Numbered(item.value.name, item.value.number, item.source)
        for item in enum.values
        if isinstance(item.source, Section)
    ]


def check_message(message: MessageDraft) -> None:
    """Reports what is wrong with the numbers of the fields and their reserved names."""
    items = fields_of(message)
    free = next_free((item.number for item in items), message.reserved, MAX_FIELD_NUMBER)
    for item in items:
        if OWN_FIRST <= item.number <= OWN_LAST:
            problem = f"{item.number} is one of {OWN_FIRST} to {OWN_LAST}, which protobuf keeps for itself"
            item.section.report("number", problem, _free(free))
    _used(items, message.reserved, "field", free)
    names = frozenset(message.reserved.names)
    for item in items:
        if item.name in names:
            _reserved_name(item.section, item.section.at("name"), item.name)


def check_enum(enum: EnumDraft) -> None:
    """Reports what is wrong with the numbers of the values and their reserved names."""
    items = values_of(enum)
    if enum.exact:
        items = _exact(enum, items)
    if ("allow_alias", True) in enum.options:
        if len({item.number for item in items}) == len(items):
            enum.section.report("options", "`allow_alias`, and no two values have one number", "take `allow_alias` out")
        items = list({item.number: item for item in reversed(items)}.values())[::-1]
    free = next_free((item.number for item in items), enum.reserved, MAX_ENUM_NUMBER, own=False)
    _used(items, enum.reserved, "value", free, zero=enum.exact)
    # The .proto has values in capitals, so a reserved name is the same in any letters, unless names are exact.
    form = str if enum.exact else str.upper
    kept = {form(name) for name in enum.reserved.names}
    for item in enum.values:
        if form(item.value.name) in kept:
            section = item.source if isinstance(item.source, Section) else None
            place = section.at("name") if section else item.source.place
            _reserved_name(section or enum.section, place, item.value.name)


def _exact(enum: EnumDraft, items: list[Numbered]) -> list[Numbered]:
    """Under `names: exact` the values are those of the .proto: each with its number, the first of them 0.

    Returns the values that have a number, which may be 0 here, and whose number has not been reported as wrong.
    """
    for value in enum.values:
        if not isinstance(value.source, Section) or "number" not in value.source:
            name = value.value.name
            problem = f"the value {name!r} has no number, and with exact names none is given"
            remedy = f"write `{{name: {name}, number: N}}` with the number that it has in the .proto"
            enum.section.problems.add(value.source.place, value.value.where.path, problem, remedy)
    numbered = [item for item in items if _written(item)]
    if len(numbered) == len(enum.values) and numbered and numbered[0].number != 0:
        numbered[0].section.report("number", "the first value is not 0, which proto3 asks for", "put the value 0 first")
    return numbered


def _written(item: Numbered) -> bool:
    """Whether the number is the one that stands in the text."""
    node = item.section.node_of("number")
    return isinstance(node, Scalar) and node.value == item.number


def _reserved_name(section: Section, place: Place, name: str) -> None:
    section.problems.add(place, section.path, f"the name {name!r} is reserved", "take another name")


def _used(items: list[Numbered], reserved: Reserved, what: str, free: int | None, *, zero: bool = False) -> None:
    first: dict[int, Numbered] = {}
    ranges = sorted(reserved.ranges)
    for item in items:
        if not item.number and not zero:
            continue
        taken = first.setdefault(item.number, item)
        if taken is not item:
            line = taken.section.at("number").line
            problem = f"{item.name!r} has the number {item.number}, and so has {taken.name!r} (line {line})"
            remedy = (
                f"two branches may each have added a {what}: `make renumber` gives the one that is not on the main "
                f"branch another number; or keep the released number, and {_free(free)}"
            )
            item.section.report("number", problem, remedy)
        before = bisect_right(ranges, item.number, key=lambda span: span[0])
        if before and item.number <= ranges[before - 1][1]:
            problem = f"number {item.number} is reserved: it belonged to a {what} that is gone"
            item.section.report("number", problem, _free(free))


def _free(number: int | None) -> str:
    return "give another number" if number is None else f"write {number}, the next free one"


def next_free(used: Iterable[int], reserved: Reserved, top: int, *, own: bool = True) -> int | None:
    """The number after every used and reserved one; None when there is none.

    Numbers are never taken from a gap: a gap may be a deleted field that nobody reserved. `own` skips what
    protobuf keeps for itself.
    """
    last = max((*used, *(high for _, high in reserved.ranges)), default=0)
    number = last + 1
    if own and OWN_FIRST <= number <= OWN_LAST:
        number = OWN_LAST + 1
    return number if number <= top else None
