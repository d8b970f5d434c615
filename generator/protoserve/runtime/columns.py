"""Numbers that stand side by side in a message, such as the columns of a wide row: read and written together.

A few operations on all of them find out whether all are valid, which takes a fraction of the time of checking one after
the other. Only where one is not, a second pass names what is wrong.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import math
import sys
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, make_dataclass
from itertools import compress, repeat
from operator import attrgetter, ge, le, not_
from typing import Any, TypeVar

from .bounds import allowed
from .violations import Violations
from .writing import write_bool, write_float, write_int

M = TypeVar("M")

_LARGEST = {"float32": (2 - 2**-23) * 2.0**127, "float64": sys.float_info.max, "bool": 1}


@dataclass(frozen=True, slots=True)
class Column:
    """A required number or bool of a message: `name` in the .proto, `attribute` in Python if that is another.

    `dtype` is its type in the schema, `low` and `high` are its limits as that type holds them. `allow_nan` allows NaN,
    and infinities within the limits.
    """

    name: str
    dtype: str
    low: float | None = None
    high: float | None = None
    allow_nan: bool = False
    attribute: str = ""

    @property
    def kind(self) -> type[bool | int | float]:
        """The type of its values in Python."""
        if self.dtype == "bool":
            return bool
        return float if self.dtype.startswith("float") else int

    @property
    def span(self) -> tuple[float, float]:
        """The least and the largest finite value: of the limits, else of the type."""
        least, largest = _span_of(self.dtype)
        return least if self.low is None else self.low, largest if self.high is None else self.high

    def allows(self, value: float) -> bool:
        """Whether the value is within the limits, and finite if it must be."""
        least, largest = self.span
        if least <= value <= largest:
            return True
        if not self.allow_nan or math.isfinite(value):
            return False
        # NaN is neither less nor greater.
        return not (self.low is not None and value < self.low) and not (self.high is not None and value > self.high)


class Columns:
    """Columns that follow each other in a message; `have_presence` says whether the message knows which were sent."""

    def __init__(self, *columns: Column, have_presence: bool = True) -> None:
        self._columns, self._have_presence = columns, have_presence
        self._names = [column.name for column in columns]
        self._kinds = [column.kind for column in columns]
        self._in_message = attrgetter(*self._names)
        self._in_object = attrgetter(*(column.attribute or column.name for column in columns))
        self._least = [column.span[0] for column in columns]
        self._largest = [column.span[1] for column in columns]
        self._have_limits = any(column.dtype != "float64" or column.span != _span_of("float64") for column in columns)

    def read(self, message: Any, prefix: str, bad: Violations) -> tuple[Any, ...]:
        """The values of the message, in order. Violations go to `bad`, with `prefix` before the names."""
        values: tuple[Any, ...] = self._in_message(message)
        # What is not zero was sent.
        are_present = not self._have_presence or all(values) or self._were_sent(message, values)
        if not (are_present and self._are_allowed(values)):
            for column, value in zip(self._columns, values, strict=True):
                self._name_violation(column, message, value, prefix, bad)
        return values

    def write(self, message: Any, value: object, prefix: str) -> None:
        """Puts the attributes of `value` into the message. Raises InvalidReply at the first that does not fit."""
        values = self._in_object(value)
        if list(map(type, values)) == self._kinds and self._are_allowed(values):
            deque(map(setattr, repeat(message), self._names, values), maxlen=0)
            return
        for column, each in zip(self._columns, values, strict=True):
            setattr(message, column.name, _written(column, each, prefix + column.name))

    def _were_sent(self, message: Any, values: Sequence[Any]) -> bool:
        zeros = compress(self._names, map(not_, values))
        return all(map(type(message).HasField, repeat(message), zeros))

    def _are_allowed(self, values: Sequence[Any]) -> bool:
        """Whether all values are allowed. Quick where all are finite, as they nearly always are."""
        if self._have_limits:
            are_inside = all(map(le, self._least, values)) and all(map(ge, self._largest, values))
        else:
            are_inside = math.isfinite(sum(values))  # only if all are
        return are_inside or all(map(Column.allows, self._columns, values))

    def _name_violation(self, column: Column, message: Any, value: Any, prefix: str, bad: Violations) -> None:
        if self._have_presence and not type(message).HasField(message, column.name):
            bad.missing(prefix + column.name)
        elif not column.allows(value):
            limits = allowed(column.low, column.high, column.dtype, allow_nan=column.allow_nan)
            bad.add(prefix + column.name, f"must be {limits}; got {value}")


def positional(kind: type[M]) -> Callable[..., M]:
    """A constructor of a dataclass that takes the values of all its fields in their order.

    Its own takes them by name, and Python looks each name up among all others, one after the other.
    """
    twin: Any = make_dataclass(kind.__name__, [field.name for field in fields(kind)])  # type: ignore[arg-type]
    set_attributes, new = twin.__init__, object.__new__

    def construct(*values: object) -> M:
        instance: M = new(kind)
        set_attributes(instance, *values)
        return instance

    return construct


def _span_of(dtype: str) -> tuple[float, float]:
    """The least and the largest finite value of a type of the schema."""
    if dtype in _LARGEST:
        return -_LARGEST[dtype], _LARGEST[dtype]
    bits = int(dtype.lstrip("abcdefghijklmnopqrstuvwxyz"))
    if dtype.startswith(("u", "fixed")):
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


def _written(column: Column, value: object, path: str) -> bool | int | float:
    """A value as it goes into a message. Raises InvalidReply."""
    if column.kind is bool:
        return write_bool(value, path)
    if column.kind is int:
        least, largest = column.span
        return write_int(value, path, int(least), int(largest))
    return write_float(value, path, column.dtype, column.low, column.high, allow_nan=column.allow_nan)
