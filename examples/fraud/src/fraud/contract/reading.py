"""Wire values as Python values, checked against the contract.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import MessageToDict, ParseError
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from .arrays import first_outside
from .bounds import (
    EPOCH,
    NOT_JSON,
    allowed,
    duration_violation,
    listed,
    quantity,
    shape_violation,
    timestamp_violation,
)
from .violations import Violations

Json = dict[str, "Json"] | list["Json"] | str | float | bool | None
"""The value of a `json` field."""

SLICE = 2**14  # items of a list, which take less than a millisecond

E = TypeVar("E", bound=IntEnum)
K = TypeVar("K")
V = TypeVar("V")


def kind_of(message: Message) -> type[Message]:
    """The class of a message, to call what a field of the same name hides in the message itself."""
    return type(message)


def read_enum(kind: type[E], number: int, field: str, bad: Violations, *, prefix: str = "", names: str = "") -> E:
    """The value with this number.

    Violations list the names of the .proto: those of Python after `prefix`, or `names` where these are others.
    """
    try:
        return kind(number)
    except ValueError:
        all_names = names.split(", ") if names else [f"{prefix}{member.name}" for member in kind]
        bad.add(field, f"must be one of {listed(all_names)}; got {f'{prefix}UNSPECIFIED' if number == 0 else number}")
        return next(iter(kind))


def read_timestamp(message: Timestamp, field: str, bad: Violations) -> datetime:
    """The time to the microsecond; nanoseconds are cut off."""
    if (violation := timestamp_violation(message.seconds, message.nanos)) is not None:
        bad.add(field, violation)
        return EPOCH
    return EPOCH + timedelta(seconds=message.seconds, microseconds=message.nanos // 1000)


def read_duration(message: Duration, field: str, bad: Violations) -> timedelta:
    """The time to the microsecond; nanoseconds are cut off."""
    seconds, nanos = message.seconds, message.nanos
    if (violation := duration_violation(seconds, nanos)) is not None:
        bad.add(field, violation)
        return timedelta()
    return timedelta(seconds=seconds, microseconds=int(nanos / 1000))


def read_json(message: Value, field: str, bad: Violations) -> Json:
    try:
        value: Json = MessageToDict(message)
    except (ParseError, ValueError, TypeError, RecursionError):
        bad.add(field, NOT_JSON)
        return None
    return value


def read_array(
    values: Any,
    dtype: str,
    shape: tuple[int, ...],
    field: str,
    bad: Violations,
    *,
    low: float | None = None,
    high: float | None = None,
    allow_nan: bool = False,
) -> NDArray[Any]:
    """An array of a fixed shape, from a repeated field (a copy) or from little-endian bytes (a read-only view)."""
    array = _elements(values, dtype)
    if array is None or array.size != math.prod(shape):
        bad.add(field, f"must have {_amount(values, dtype, shape)} for shape {list(shape)}; got {len(values)}")
        return np.zeros(1, dtype)  # a placeholder: the recorded violation rejects the message
    return _limited(array if array.shape == shape else array.reshape(shape), field, bad, low, high, allow_nan)


def read_tensor(
    message: Any,
    dtype: str,
    shape: tuple[int | str, ...],
    sizes: dict[str, int],
    field: str,
    bad: Violations,
    *,
    least: int = 1,
    most: int | None = None,
    low: float | None = None,
    high: float | None = None,
    allow_nan: bool = False,
) -> NDArray[Any]:
    """An array that was sent with its shape; `sizes` holds the named dimensions of the message known so far."""
    got = tuple(message.shape)
    array = _elements(message.values, dtype)
    problem = shape_violation(got, shape, sizes)
    if problem is None and (array is None or array.size != math.prod(got)):
        problem = f"must have {_amount(message.values, dtype, got)} for shape {list(got)}; got {len(message.values)}"
    if problem is not None or array is None:
        bad.add(field, problem or "")
        return np.zeros(1, dtype)  # a placeholder, as in read_array
    check_count(array.size, least, most, field, bad, "elements")
    return _limited(array.reshape(got), field, bad, low, high, allow_nan)


def check_count(length: int, low: int, high: int | None, field: str, bad: Violations, units: str = "items") -> bool:
    """Whether the length is allowed; records a violation if not."""
    if low <= length and (high is None or length <= high):
        return True
    bad.add(field, f"must have {quantity(low, high, units)}; got {length}")
    return False


def read_list(values: Sequence[V]) -> list[V]:
    """A list in slices, between which other threads run."""
    slices = (values[start : start + SLICE] for start in range(0, len(values), SLICE))
    return [value for each in slices for value in each]


def read_map(values: Mapping[K, V]) -> dict[K, V]:
    """A map entry by entry, so that other threads run in between."""
    return {key: values[key] for key in values}


def read_oneof(message: Message, oneof: str, members: str, prefix: str, bad: Violations) -> None:
    if kind_of(message).WhichOneof(message, oneof) is None:
        bad.add(f"{prefix}{oneof}", f"one of {members} is required")


def _elements(values: Any, dtype: str) -> NDArray[Any] | None:
    if not isinstance(values, bytes):
        return np.asarray(values, dtype)
    width = np.dtype(dtype).itemsize
    return np.frombuffer(values, np.dtype(dtype).newbyteorder("<")) if len(values) % width == 0 else None


def _amount(values: Any, dtype: str, shape: tuple[int, ...]) -> str:
    size = math.prod(shape)
    return f"{size * np.dtype(dtype).itemsize} bytes" if isinstance(values, bytes) else f"{size} elements"


def _limited(
    array: NDArray[Any], field: str, bad: Violations, low: float | None, high: float | None, allow_nan: bool
) -> NDArray[Any]:
    outside = first_outside(array, low, high, allow_nan=allow_nan)
    if outside is not None:
        index, value = outside
        limits = allowed(low, high, array.dtype.name, allow_nan=allow_nan)
        bad.add(f"{field}{index}", f"must be {limits}; got {value}")
    return array
