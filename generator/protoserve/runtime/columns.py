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
from operator import attrgetter, not_
from typing import Any

from .bounds import allowed
from .violations import Violations
from .writing import write_bool, write_float, write_int

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


def are_finite(values: Sequence[float]) -> bool:
    """Whether all values are finite, where the sum of those that are is finite, too; False also where it is not."""
    return math.isfinite(sum(values))


class Columns:
    """Columns that follow each other in a message.

    `have_presence` says whether the message knows which were sent. `are_inside` is true only for values that are all
    finite and within their limits; without it there are no limits, and each column is a float64.
    """

    def __init__(
        self,
        *columns: Column,
        have_presence: bool = True,
        are_inside: Callable[[Sequence[Any]], bool] = are_finite,
    ) -> None:
        self._columns, self._have_presence, self._are_inside = columns, have_presence, are_inside
        self._names = [column.name for column in columns]
        self._kinds = [column.kind for column in columns]
        self._in_message = attrgetter(*self._names)
        self._in_object = attrgetter(*(column.attribute or column.name for column in columns))

    def read(self, message: Any, prefix: str, bad: Violations) -> tuple[Any, ...]:
        """The values of the message, in order. Violations go to `bad`, with `prefix` before the names."""
        values: tuple[Any, ...] = self._in_message(message)
        # What is not zero was sent. Nearly always, all values are finite.
        if (all(values) or self._were_sent(message, values)) and (
            self._are_inside(values) or self._are_allowed(values)
        ):
            return values
        for column, value in zip(self._columns, values, strict=True):
            self._name_violation(column, message, value, prefix, bad)
        return values

    def write(self, message: Any, value: object, prefix: str) -> None:
        """Puts the attributes of `value` into the message. Raises InvalidReply at the first that does not fit."""
        values = self._in_object(value)
        if list(map(type, values)) == self._kinds and (self._are_inside(values) or self._are_allowed(values)):
            deque(map(setattr, repeat(message), self._names, values), maxlen=0)
            return
        for column, each in zip(self._columns, values, strict=True):
            setattr(message, column.name, _written(column, each, prefix + column.name))

    def _were_sent(self, message: Any, values: Sequence[Any]) -> bool:
        zeros = compress(self._names, map(not_, values))
        return not self._have_presence or all(map(type(message).HasField, repeat(message), zeros))

    def _are_allowed(self, values: Sequence[Any]) -> bool:
        return all(map(Column.allows, self._columns, values))

    def _name_violation(self, column: Column, message: Any, value: Any, prefix: str, bad: Violations) -> None:
        if self._have_presence and not type(message).HasField(message, column.name):
            bad.missing(prefix + column.name)
        elif not column.allows(value):
            limits = allowed(column.low, column.high, column.dtype, allow_nan=column.allow_nan)
            bad.add(prefix + column.name, f"must be {limits}; got {value}")


def positional_init(kind: type[Any]) -> Callable[..., None]:
    """An `__init__` of a dataclass that takes the values of all its fields in their order, after the instance.

    Its own takes them by name, and Python looks each name up among all others, one after the other.
    """
    twin: Any = make_dataclass(kind.__name__, [field.name for field in fields(kind)])
    init: Callable[..., None] = twin.__init__
    return init


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
