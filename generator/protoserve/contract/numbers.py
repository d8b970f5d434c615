"""Missing numbers, written into the text of a schema; every other byte stays as it is.

A number that is not in the text would follow from the order of the fields, and then two branches that each add
one would merge cleanly and renumber silently. So the generator writes it down, once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from protoserve.contract.build import MAX_ENUM_NUMBER, MAX_FIELD_NUMBER
from protoserve.contract.draft import EnumDraft, FieldDraft, MessageDraft
from protoserve.contract.errors import Problem, SchemaError
from protoserve.contract.load import draft_of, loads
from protoserve.contract.model import Reserved, without_places
from protoserve.contract.nodes import Place, Scalar
from protoserve.contract.numbering import next_free
from protoserve.contract.section import Section


@dataclass(frozen=True, slots=True)
class _Edit:
    """`text` takes the place of what stands from `start` to `end`."""

    start: int
    end: int
    text: str


def numbered(text: str, file: str = "schema.yaml") -> str:
    """The schema with a number on every field and enum value.

    A new number is above all that its message (or enum) uses or reserves, in the order of the text. A schema that
    has all its numbers comes back unchanged. Raises SchemaError for a schema that is not sound, and where no number
    is left. A missing `package` is not looked at.
    """
    package = "unnamed.v1"
    draft = draft_of(text, file, default_package=package)
    edits: list[_Edit] = []
    for message in draft.all_messages():
        edits.extend(_of_message(text, file, message))
    for enum in (item for item in draft.enums if not item.exact):
        edits.extend(_of_enum(text, file, enum))
    if not edits:
        return text
    wanted = without_places(draft.finished(file))
    result = _applied(text, edits)
    try:
        same = without_places(loads(result, file, default_package=package)) == wanted
    except SchemaError:
        same = False
    if not same:
        edit = min(edits, key=lambda item: item.start)
        line = text.count("\n", 0, edit.start) + 1
        found = "the missing numbers could not be written into this text"
        raise SchemaError(file, [Problem(line, 1, "", found, "write each field as `{name: ..., number: ...}`")])
    return result


def _of_message(text: str, file: str, message: MessageDraft) -> Iterator[_Edit]:
    used = [item.field.number for item in message.fields]
    for item in message.fields:
        if not item.field.number:
            number = _next(file, item.section.place, item.section.path, used, message.reserved, MAX_FIELD_NUMBER)
            _number_field(item, number)
            yield _inserted(text, item.section, number)


def _number_field(item: FieldDraft, number: int) -> None:
    item.field = replace(item.field, number=number)


def _of_enum(text: str, file: str, enum: EnumDraft) -> Iterator[_Edit]:
    used = [item.value.number for item in enum.values]
    for item in enum.values:
        if item.value.number:
            continue
        place = item.source.place
        number = _next(file, place, item.value.where.path, used, enum.reserved, MAX_ENUM_NUMBER, own=False)
        item.value = replace(item.value, number=number)
        if isinstance(item.source, Scalar):
            name = text[place.start : place.end]
            yield _Edit(place.start, place.end, f"{{name: {name}, number: {number}}}")
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


def _inserted(text: str, section: Section, number: int) -> _Edit:
    """`number: N` right after the name."""
    key, node = section.keys["name"], section.node_of("name")
    assert node is not None  # a field or a value without a name has been refused
    end = node.place.end
    word = '"number"' if text[key.place.start] == '"' else "number"
    if section.node.flow:
        return _Edit(end, end, f", {word}: {number}")
    # A comment behind the name stays with the name: the new line comes below.
    newline = text.find("\n", end)
    indent = " " * (section.node.place.column - 1)
    line_end = "\r\n" if "\r\n" in text else "\n"
    if newline < 0:
        return _Edit(len(text), len(text), f"{line_end}{indent}{word}: {number}")
    return _Edit(newline + 1, newline + 1, f"{indent}{word}: {number}{line_end}")


def _applied(text: str, edits: list[_Edit]) -> str:
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda item: item.start):
        parts += (text[at : edit.start], edit.text)
        at = edit.end
    return "".join([*parts, text[at:]])
