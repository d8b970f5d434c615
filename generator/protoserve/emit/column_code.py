"""Runs of numbers in a message, which generated code reads and writes together (`runtime/columns.py`)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

from protoserve.emit import limit_code
from protoserve.schema.model import Contract, Field
from protoserve.schema.types import SCALARS, Kind
from protoserve.wire import Presence, is_required, presence

# Fewer numbers are read as quickly one by one, in code that is easier to follow.
LEAST = 8
# A function with a thousand variables is slow to call: Python takes memory for each call from the system.
MOST = 100
_KINDS = (Kind.BOOL, Kind.INT, Kind.FLOAT)


@dataclass(frozen=True, slots=True)
class Run:
    """Numbers that follow each other in a message. Where `together` is false, it is one field of any type."""

    fields: tuple[Field, ...]
    together: bool


def runs(contract: Contract, fields: tuple[Field, ...]) -> Iterator[Run]:
    """The fields in their order: runs of `LEAST` to `MOST` numbers, and the other fields one by one."""
    for kind, group in groupby(fields, key=lambda field: _kind(contract, field)):
        members = tuple(group)
        if kind is not None and len(members) >= LEAST:
            count = math.ceil(len(members) / MOST)
            ends = [len(members) * number // count for number in range(count + 1)]
            yield from (Run(members[start:end], together=True) for start, end in pairwise(ends))
        else:
            yield from (Run((field,), together=False) for field in members)


@dataclass(frozen=True, slots=True)
class ColumnsCode:
    """A run as the template needs it: the arguments of `columns.Columns`, and the names of its `values`.

    All values that meet the `conditions` are allowed. Without limits there are none: `Columns` is quicker without.
    """

    arguments: list[str]
    values: list[str]
    conditions: list[str]


def columns(contract: Contract, run: Run) -> ColumnsCode:
    """The code for a run of numbers that are read and written together."""
    arguments = [_column(field) for field in run.fields]
    if presence(contract, run.fields[0]) is not Presence.EXPLICIT:
        arguments.append("have_presence=False")
    has_limits = any(field.type != "float64" or limit_code.bounds(field) != (None, None) for field in run.fields)
    conditions = [_condition(field) for field in run.fields if field.type != "bool"] if has_limits else []
    return ColumnsCode(arguments, [_value(field) for field in run.fields], conditions)


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


def _value(field: Field) -> str:
    """The variable that holds the value of a field, which may be called `math`."""
    return "_" if field.type == "bool" else f"{field.attribute}_"


def _condition(field: Field) -> str:
    """That a number is finite and within the limits. NaN fails any comparison."""
    low, high = limit_code.bounds(field)
    if field.type == "float64":
        above = "-math.inf < " if low is None else f"{low!r} <= "
        return f"{above}{_value(field)}{' < math.inf' if high is None else f' <= {high!r}'}"
    scalar = SCALARS[field.type]
    least, most = scalar.low if low is None else low, scalar.high if high is None else high
    return f"{least!r} <= {_value(field)} <= {most!r}"
