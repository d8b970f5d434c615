"""Runs of numbers in a message, which generated code reads and writes together (`runtime/columns.py`)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from protoserve.emit import limit_code
from protoserve.schema.model import Contract, Field
from protoserve.schema.types import Kind
from protoserve.wire import Presence, is_required, presence

# Fewer numbers are read as quickly one by one, in code that is easier to follow.
LEAST = 8
_KINDS = (Kind.BOOL, Kind.INT, Kind.FLOAT)


@dataclass(frozen=True, slots=True)
class Run:
    """Numbers that follow each other in a message. Where `together` is false, it is one field of any type."""

    fields: tuple[Field, ...]
    together: bool


def runs(contract: Contract, fields: tuple[Field, ...]) -> Iterator[Run]:
    """The fields in their order: runs of at least `LEAST` numbers, and the other fields one by one."""
    for kind, group in groupby(fields, key=lambda field: _kind(contract, field)):
        members = tuple(group)
        if kind is not None and len(members) >= LEAST:
            yield Run(members, together=True)
        else:
            yield from (Run((field,), together=False) for field in members)


def constructor(contract: Contract, run: Run) -> str:
    """The Python expression for what reads and writes a run."""
    columns = ", ".join(_column(field) for field in run.fields)
    without = "" if presence(contract, run.fields[0]) is Presence.EXPLICIT else ", have_presence=False"
    return f"columns.Columns({columns}{without})"


def _kind(contract: Contract, field: Field) -> Presence | None:
    """The presence of a field that can be in a run; None for any other."""
    scalar = field.scalar
    is_number = scalar is not None and scalar.kind in _KINDS and scalar.name != "float16"  # rounded before it is sent
    single = field.shape is None and not field.repeated and not field.is_map
    return presence(contract, field) if is_number and single and is_required(field) else None


def _column(field: Field) -> str:
    low, high = limit_code.bounds(field) if field.type != "bool" else (None, None)
    if field.scalar is not None and field.scalar.kind is Kind.INT and field.scalar.element_bytes:
        low, high = limit_code.integer_bounds(field)  # narrower than the type that travels
    limits = f", {low!r}, {high!r}" if low is not None or high is not None else ""
    nan = ", allow_nan=True" if field.allow_nan else ""
    attribute = f", attribute={field.attribute!r}" if field.attribute != field.name else ""
    return f"columns.Column({field.name!r}, {field.type!r}{limits}{nan}{attribute})"
