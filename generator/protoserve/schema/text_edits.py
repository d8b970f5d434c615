"""Changes of a schema's text that leave every other byte as it is, and the proof that they did what was meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.load import loads
from protoserve.schema.model import Contract, without_places


@dataclass(frozen=True, slots=True)
class Edit:
    """`text` takes the place of what stands from `start` to `end`."""

    start: int
    end: int
    text: str


def applied(text: str, edits: Sequence[Edit]) -> str:
    """The text after all edits, which must not overlap; those of one place come in their order."""
    parts: list[str] = []
    at = 0
    for edit in sorted(edits, key=lambda item: item.start):
        parts += (text[at : edit.start], edit.text)
        at = edit.end
    return "".join([*parts, text[at:]])


def reads_as(text: str, wanted: Contract, default_package: str) -> bool:
    """Whether an edited text is a sound schema and says exactly what was wanted."""
    try:
        return without_places(loads(text, default_package=default_package)) == without_places(wanted)
    except SchemaError:
        return False


def failed(text: str, file: str, edits: Sequence[Edit], what: str, remedy: str) -> SchemaError:
    """The error for a way of writing YAML that the edits do not foresee, at the first of them."""
    line = text.count("\n", 0, min(edit.start for edit in edits)) + 1
    return SchemaError(file, [Problem(line, 1, "", f"{what} could not be written into this text", remedy)])
