"""Numbers that two branches have both taken, settled in the text of a schema; every other byte stays as it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.load import loads, unchecked_draft_of
from protoserve.schema.model import MAX_ENUM_NUMBER, MAX_FIELD_NUMBER, Contract, Reserved, Where
from protoserve.schema.number_rules import Numbered, fields_of, next_free, values_of
from protoserve.schema.text_edits import Edit, applied


@dataclass(frozen=True, slots=True)
class Renumbered:
    """A field or value that has another number now; `other` is the one that kept the number."""

    where: Where
    number: int
    before: int
    other: str


def package_of(text: str, file: str, default_package: str) -> str:
    """The package of a schema, whatever else is wrong with it."""
    return unchecked_draft_of(text, file, default_package=default_package).package


def renumber(text: str, file: str, released: Contract | None, default_package: str) -> tuple[str, list[Renumbered]]:
    """The schema with no number twice, and what changed in it.

    Of those that share a number the one that `released` has under it keeps it; the first one where it has none of them.
    Every other gets the next number that neither contract uses or reserves. Raises SchemaError for a schema that is not
    sound for another reason.
    """
    draft = unchecked_draft_of(text, file, default_package=default_package)
    names = draft.python_names
    settled: list[tuple[Renumbered, Edit]] = []
    for message in draft.all_messages():
        there = released.message(names[message.name]) if released is not None else None
        known = {} if there is None else {item.name: item.number for item in there.fields}
        kept = [message.reserved, *([there.reserved] if there is not None else [])]
        settled += _settled(file, fields_of(message), known, kept, MAX_FIELD_NUMBER, own=True)
    for enum in draft.enums:
        if ("allow_alias", True) in enum.options:
            continue  # two names of one number are meant
        values = released.enum(names[enum.name]) if released is not None else None
        known = {} if values is None else {item.name: item.number for item in values.values}
        kept = [enum.reserved, *([values.reserved] if values is not None else [])]
        settled += _settled(file, values_of(enum), known, kept, MAX_ENUM_NUMBER, own=False)
    result = applied(text, [edit for _, edit in settled])
    loads(result, file, default_package=default_package)
    return result, sorted((change for change, _ in settled), key=lambda item: item.where.line)


def _settled(
    file: str, items: Sequence[Numbered], known: dict[str, int], kept: Sequence[Reserved], top: int, *, own: bool
) -> Iterator[tuple[Renumbered, Edit]]:
    used = [*(item.number for item in items), *known.values()]
    reserved = Reserved(tuple(span for one in kept for span in one.ranges))
    owners: dict[int, Numbered] = {}
    for item in items:
        if known.get(item.name) == item.number:
            owners[item.number] = item
    for item in items:
        owner = owners.setdefault(item.number, item)
        if owner is item or not item.number:
            continue
        number = next_free(used, reserved, top, own=own)
        place = item.section.at("number")
        if number is None:
            problem = "no number is left above those in use"
            raise SchemaError(
                file, [Problem(place.line, place.column, item.section.path, problem, "give one yourself")]
            )
        used.append(number)
        where = Where(place.line, place.column, item.section.path)
        yield Renumbered(where, number, item.number, owner.name), Edit(place.start, place.end, str(number))
