"""Python values as wire values, checked against the contract. Each function raises InvalidReply.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, TypeVar

import numpy as np
from google.protobuf.duration_pb2 import Duration
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.struct_pb2 import Value
from google.protobuf.timestamp_pb2 import Timestamp
from numpy.typing import NDArray

from .arrays import FEW, first_outside
from .bounds import EPOCH, allowed, quantity, shape_violation, span
from .encoding import LENGTH, varint
from .violations import InvalidReply, shown

E = TypeVar("E", bound=IntEnum)

# Which kinds of numpy array may become which: integers become floats, nothing loses its fraction unseen.
_CASTS = {"b": "b", "i": "iu", "u": "iu", "f": "fiu"}
_AS_ON_THE_WIRE = ("<f4", "<f8")  # types whose elements lie in memory as in a packed field
_TENSOR_VALUES = 2  # the number of `values` in the message of a shape with a named dimension
_LARGEST = {name: np.finfo(name).max.item() for name in ("float16", "float32", "float64")}


def write_bool(value: object, field: str) -> bool:
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    raise InvalidReply(field, "bool", shown(value))


def write_int(value: Any, field: str, low: int, high: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not hasattr(value, "__index__"):
        raise InvalidReply(field, "int", shown(value))
    try:
        whole = operator.index(value)
    except TypeError:
        raise InvalidReply(field, "int", shown(value)) from None
    if not low <= whole <= high:
        raise InvalidReply(field, f"int {span(low, high)}", shown(value))
    return whole


def write_float(
    value: Any, field: str, dtype: str, low: float | None, high: float | None, *, allow_nan: bool = False
) -> float:
    """Limits are compared after the cast to `dtype`, so that 1.0000000001 is a fine float32 probability."""
    if type(value) is not float:
        scalar = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
        if isinstance(scalar, (bool, np.bool_)) or not isinstance(scalar, (int, float, np.number)):
            raise InvalidReply(field, dtype, shown(value))
        value = float(scalar)
    if dtype != "float64":
        with np.errstate(over="ignore"):
            value = float(np.dtype(dtype).type(value))
    inside = (low is None or value >= low) and (high is None or value <= high)
    if not (inside and math.isfinite(value)) and not (allow_nan and (inside or value != value)):
        raise InvalidReply(field, f"{dtype} {allowed(low, high, dtype, allow_nan=allow_nan)}", shown(value))
    return float(value)


def write_str(value: object, field: str, low: int = 0, high: int | None = None, pattern: Any = None) -> str:
    if not isinstance(value, str):
        raise InvalidReply(field, "str", shown(value))
    if len(value) < low or (high is not None and len(value) > high):
        raise InvalidReply(field, f"str of {quantity(low, high, 'characters')}", f"{len(value)} characters")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidReply(field, "str that UTF-8 can carry", shown(value)) from None
    if pattern is not None and not pattern.search(value):
        raise InvalidReply(field, f"str that matches {pattern.pattern}", shown(value))
    return str(value)


def write_bytes(value: object, field: str, low: int = 0, high: int | None = None) -> bytes:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidReply(field, "bytes", shown(value))
    if len(value) < low or (high is not None and len(value) > high):
        raise InvalidReply(field, quantity(low, high, "bytes"), f"{len(value)} bytes")
    return bytes(value)


def write_enum(kind: type[E], value: Any, field: str) -> Any:
    """An int. Typed Any because the stubs expect their own enum type."""
    if type(value) is kind:
        return value
    try:
        if isinstance(value, (bool, np.bool_)):
            raise ValueError
        return kind(operator.index(value))
    except (ValueError, TypeError):
        names = ", ".join(member.name for member in kind)
        raise InvalidReply(field, f"{kind.__name__} ({names})", shown(value)) from None


def write_timestamp(value: object, field: str) -> Timestamp:
    if not isinstance(value, datetime) or value.tzinfo is None:
        raise InvalidReply(field, "datetime with a time zone", shown(value))
    since = value - EPOCH
    return Timestamp(seconds=since.days * 86400 + since.seconds, nanos=since.microseconds * 1000)


def write_duration(value: object, field: str) -> Duration:
    if not isinstance(value, timedelta):
        raise InvalidReply(field, "timedelta", shown(value))
    message = Duration()
    try:
        message.FromTimedelta(value)
    except ValueError:
        raise InvalidReply(field, "timedelta of at most 10,000 years", shown(value)) from None
    return message


def write_json(value: Any, field: str) -> Value:
    try:
        json.dumps(value, allow_nan=False)  # protobuf would take NaN, which no JSON parser has to
        return ParseDict(value, Value())
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidReply(field, "JSON (dict, list, str, float, bool, None; no NaN)", shown(value)) from None


def write_array(
    value: Any,
    field: str,
    dtype: str,
    shape: tuple[int | str, ...],
    low: float | None = None,
    high: float | None = None,
    *,
    sizes: dict[str, int] | None = None,
    least: int = 0,
    most: int | None = None,
    allow_nan: bool = False,
) -> NDArray[Any]:
    """The value as an array of that type and shape; limits are compared after the cast."""
    target = np.dtype(dtype)
    try:
        array = np.asarray(value)
    except (ValueError, TypeError):
        raise InvalidReply(field, _form(dtype, shape), shown(value)) from None
    fits = array.shape == shape or shape_violation(array.shape, shape, {} if sizes is None else sizes) is None
    if not fits or (array.dtype.kind not in _CASTS[target.kind] and array.size):
        raise InvalidReply(field, _form(dtype, shape), shown(value))
    if array.size < least or (most is not None and array.size > most):
        raise InvalidReply(field, f"{_form(dtype, shape)} with {quantity(least, most, 'elements')}", shown(array))
    if target.kind in "iu" and array.dtype != target:
        whole = np.iinfo(target)
        outside = first_outside(array, whole.min, whole.max, allow_nan=False)
        if outside is not None:
            index, element = outside
            raise InvalidReply(f"{field}{index}", dtype, shown(element))
    if array.dtype != target:
        array = _cast(array, dtype)
    outside = first_outside(array, low, high, allow_nan=allow_nan)
    if outside is not None:
        index, element = outside
        limits = allowed(low, high, dtype, allow_nan=allow_nan)
        raise InvalidReply(f"{field}{index}", f"{dtype} {limits}", shown(element))
    return array


def _cast(array: NDArray[Any], dtype: str) -> NDArray[Any]:
    """Without numpy's warning for what becomes infinite, which the limits refuse."""
    largest = _LARGEST.get(dtype, math.inf)
    if array.size <= FEW and all(-largest <= element <= largest for element in array.ravel().tolist()):
        return array.astype(dtype)  # without `errstate`, which takes longer
    with np.errstate(over="ignore"):
        return array.astype(dtype)


def write_items(value: Any, field: str, low: int = 0, high: int | None = None) -> Sequence[Any]:
    if isinstance(value, np.ndarray) and value.ndim == 1:
        value = value.tolist()
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise InvalidReply(field, "list", shown(value))
    if len(value) < low or (high is not None and len(value) > high):
        raise InvalidReply(field, f"list of {quantity(low, high, 'items')}", shown(value))
    return value


def write_map(value: Any, field: str, low: int = 0, high: int | None = None) -> Mapping[Any, Any]:
    if not isinstance(value, Mapping):
        raise InvalidReply(field, "dict", shown(value))
    if len(value) < low or (high is not None and len(value) > high):
        raise InvalidReply(field, f"dict of {quantity(low, high, 'items')}", shown(value))
    return value


def write_oneof(field: str, required: bool, /, **members: object) -> None:
    """Checks how many members are set. Members may be called `field` or `required` too."""
    given = [name for name, value in members.items() if value is not None]
    if len(given) > 1 or (required and not given):
        wanted = f"{'exactly' if required else 'at most'} one of {', '.join(members)}"
        raise InvalidReply(field, wanted, " and ".join(given) or "none")


class LargeFields:
    """Large fields of one message, which follow its other fields on the wire as they lie in memory.

    They are copied once. In a message of protobuf they would be copied into it, and twice more when it is serialized.
    """

    LEAST_BYTES = 4096  # from which this takes less time

    def __init__(self) -> None:
        self._parts: list[Any] = []

    def add(self, number: int, data: Any, head: bytes = b"") -> None:
        """Adds the field with this number: `head`, then bytes or the elements of an array, which must not change."""
        view = np.ascontiguousarray(data).data if isinstance(data, np.ndarray) else memoryview(data)
        self._parts += [varint(number << 3 | LENGTH), varint(len(head) + view.nbytes), head, view]

    def after(self, message: Message) -> bytes:
        """The bytes of a message with these fields."""
        serialized = type(message).SerializeToString(message)
        return b"".join([serialized, *self._parts]) if self._parts else serialized


def put_bytes(
    message: Message, name: str, number: int, data: bytes | NDArray[Any], large: LargeFields | None = None
) -> None:
    """Puts bytes, or the elements of an array, into a field of the message; or into `large`."""
    if large is not None and (len(data) if isinstance(data, bytes) else data.nbytes) >= LargeFields.LEAST_BYTES:
        large.add(number, data)
    else:
        setattr(message, name, data if isinstance(data, bytes) else data.tobytes())


def pack(message: Message, number: int, values: Any, array: NDArray[Any], large: LargeFields | None = None) -> None:
    """Puts an array into the packed repeated field `values`, whose field number is `number`; or into `large`.

    Large arrays of floats go as one run of bytes, which is what a packed field is on the wire
    (https://protobuf.dev/programming-guides/encoding/#packed), a hundred times as fast as element by element.
    """
    if array.size < 64 or array.dtype.str not in _AS_ON_THE_WIRE:
        values.extend(array.ravel().tolist())
    elif large is not None and array.nbytes >= LargeFields.LEAST_BYTES:
        large.add(number, array)
    else:
        data = array.tobytes()
        type(message).MergeFromString(message, varint(number << 3 | LENGTH) + varint(len(data)) + data)


def pack_tensor(message: Any, number: int, tensor: Any, array: NDArray[Any], large: LargeFields | None = None) -> None:
    """Puts an array and its shape into `tensor`, the field of `message` with that number; or into `large`."""
    is_bytes = isinstance(tensor.values, bytes)
    if large is None or array.nbytes < LargeFields.LEAST_BYTES or not (is_bytes or array.dtype.str in _AS_ON_THE_WIRE):
        tensor.shape.extend(array.shape)
        if is_bytes:
            tensor.values = array.tobytes()
        else:
            pack(tensor, number=_TENSOR_VALUES, values=tensor.values, array=array)
        return
    shape = type(tensor)(shape=array.shape).SerializeToString()
    large.add(number, array, head=shape + varint(_TENSOR_VALUES << 3 | LENGTH) + varint(array.nbytes))


def _form(dtype: str, shape: tuple[int | str, ...]) -> str:
    return f"{dtype} of shape ({', '.join(map(str, shape))}{',' if len(shape) == 1 else ''})"
