"""Missing numbers, written into the text of a schema; every other byte stays as it is.

A number that is not in the text would follow from the order of the fields, and then two branches that each add
one would merge cleanly and renumber silently. So the generator writes it down, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from protoserve.platform.yaml_tree import Place, Scalar
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.load import draft_of
from protoserve.schema.mapping_reader import Section
from protoserve.schema.model import MAX_ENUM_NUMBER, MAX_FIELD_NUMBER, Contract, Reserved
from protoserve.schema.number_rules import next_free
from protoserve.schema.text_edits import Edit, applied, failed, reads_as
from protoserve.schema.unchecked_contract import EnumDraft, MessageDraft


def numbered(text: str, file: str = "schema.yaml", *, known: Contract | None = None) -> str:
    """The schema with a number on every field and enum value.

    A new number is above all that its message (or enum) uses or reserves, in the order of the text. What was renamed
    keeps the number that it has in `known`, the contract of before. A schema that has all its numbers comes back
    unchanged. Raises SchemaError for a schema that is not sound, and where no number
    is left. A missing `package` is not looked at.
    """
    package = "unnamed.v1"
    draft = draft_of(text, file, default_package=package)
    edits: list[Edit] = []
    for message in draft.all_messages():
        edits.extend(_of_message(text, file, message, draft.python_names, known))
    for enum in (item for item in draft.enums if not item.exact):
        edits.extend(_of_enum(text, file, enum, draft.python_names, known))
    if not edits:
        return text
    wanted = draft.finished(file)
    result = applied(text, edits)
    if not reads_as(result, wanted, package):
        raise failed(text, file, edits, "the missing numbers", "write each field as `{name: ..., number: ...}`")
    return result


def _of_message(
    text: str, file: str, message: MessageDraft, names: dict[str, str], known: Contract | None
) -> Iterator[Edit]:
    used = [item.field.number for item in message.fields]
    before = known.message(names[message.name]) if known is not None else None
    earlier = {} if before is None else {item.name: item.number for item in before.fields}
    kept = _kept([(item.name, item.field.number, item.field.renamed_from) for item in message.fields], earlier)
    used += kept.values()
    for item in message.fields:
        if not item.field.number:
            number = kept.get(item.name) or _next(
                file, item.section.place, item.section.path, used, message.reserved, MAX_FIELD_NUMBER
            )
            item.field = replace(item.field, number=number)
            yield _inserted(text, item.section, number)


def _kept(items: list[tuple[str, int, str | None]], earlier: dict[str, int]) -> dict[str, int]:
    """The numbers that renamed things (name, number, earlier name) had before, by their new names."""
    taken = {number for _, number, _ in items}
    return {
        name: earlier[was]
        for name, number, was in items
        if not number and was is not None and name not in earlier and earlier.get(was, 0) not in taken
    }


def _of_enum(text: str, file: str, enum: EnumDraft, names: dict[str, str], known: Contract | None) -> Iterator[Edit]:
    used = [item.value.number for item in enum.values]
    before = known.enum(names[enum.name]) if known is not None else None
    earlier = {} if before is None else {item.name: item.number for item in before.values}
    kept = _kept([(item.value.name, item.value.number, item.value.renamed_from) for item in enum.values], earlier)
    used += kept.values()
    for item in enum.values:
        if item.value.number:
            continue
        place = item.source.place
        number = kept.get(item.value.name) or _next(
            file, place, item.value.where.path, used, enum.reserved, MAX_ENUM_NUMBER, own=False
        )
        item.value = replace(item.value, number=number)
        if isinstance(item.source, Scalar):
            name = text[place.start : place.end]
            yield Edit(place.start, place.end, f"{{name: {name}, number: {number}}}")
        else:
            yield _inserted(text, item.source, number)


def _next(
    file: str, place: Place, path: str, used: list[int], reserved: Reserved, top: int, *, own: bool = True
) -> int:
    number = next_free(used, reserved, top, own=own)
    if number is None:
        remedy = "give a free number yourself: `number: N`"
        problem = Problem(place.line, place.column, path, "no number is left above those in use", remedy)
        raise SchemaError(file, [problem])
    used.append(number)
    return number


def _inserted(text: str, section: Section, number: int) -> Edit:
    """`number: N` right after the name."""
    key, node = section.keys["name"], section.node_of("name")
    assert node is not None  # a field or a value without a name has been refused
    end = node.place.end
    word = '"number"' if text[key.place.start] == '"' else "number"
    if section.node.flow:
        return Edit(end, end, f", {word}: {number}")
    # A comment behind the name stays with the name: the new line comes below.
    newline = text.find("\n", end)
    indent = " " * (section.node.place.column - 1)
    line_end = "\r\n" if "\r\n" in text else "\n"
    if newline < 0:
        return Edit(len(text), len(text), f"{line_end}{indent}{word}: {number}")
    return Edit(newline + 1, newline + 1, f"{indent}{word}: {number}{line_end}")
