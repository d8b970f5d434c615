"""One valid value for every field: in sample requests, in warm-ups and in examples."""

from __future__ import annotations

import base64
import json
import math
import random
import struct
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import re2
import rstr

from protoserve.emit import field_code
from protoserve.platform.plain_text import in_json
from protoserve.schema import well_known_types
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.model import Contract, Enum, Field, Message
from protoserve.schema.types import SCALARS, Kind, ScalarType, cast
from protoserve.wire import element_format, is_required

# A named dimension has this size in a sample: more than one, so that order and size both show.
DIMENSION = 2
# A sample has not many more fields than this, unless they are required.
_MOST_FIELDS = 1000
_MOMENT = "2026-01-01T00:00:00Z"


class PythonCode:
    """Writes messages as Python expressions that build their dataclasses, from sample values.

    A subclass may have other values. `above` holds the names of the messages around what is written.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract

    def message(self, message: Message, above: tuple[str, ...] = ()) -> str:
        """The expression for a whole message."""
        inner = (*above, message.name)
        fields = filled(self.contract, message, above)
        return f"{message.name}({', '.join(f'{field.attribute}={self.field(field, inner)}' for field in fields)})"

    def field(self, field: Field, above: tuple[str, ...]) -> str:
        """The expression for a field, whatever its form."""
        if field.shape is not None:
            return self.array(field)
        kind = self.contract.message(field.type) if field.scalar is None else None
        one = self.scalar(field) if kind is None else self.message(kind, above)
        if field.is_map:
            return "{" + ", ".join(f"{key!r}: {one}" for key in keys(field)) + "}"
        if field.repeated:
            count = amount(field)
            return f"[{one}]" if count == 1 else f"[{one}] * {count}"
        return one

    def array(self, field: Field) -> str:
        """The expression for an array."""
        kind = "bool_" if field.type == "bool" else field.type
        return f"np.full({dimensions(field)!r}, {scalar(self.contract, field)!r}, np.{kind})"

    def scalar(self, field: Field) -> str:
        """The expression for one scalar or enum value."""
        value = scalar(self.contract, field)
        kind = SCALARS[field.type].kind if field.scalar else None
        if kind is Kind.BYTES:
            return repr(raw_bytes(field, value))
        return repr(value) if kind is Kind.JSON else field_code.literal(self.contract, field, value)


def as_json(contract: Contract, message: Message) -> str:
    """The same sample in protobuf's JSON mapping (https://protobuf.dev/programming-guides/json/)."""
    return _dump(_object(contract, message, ())) + "\n"


def scalar(contract: Contract, field: Field) -> Any:
    """A value of one element of the field, JSON-like; an enum is the name of its first value.

    Raises SchemaError where the limits are such that only the author can give an example.
    """
    if field.example is not None:
        return field.example
    if field.default is not None:
        return field.default
    enum = contract.enum(field.type)
    if enum is not None:
        return next((value.name for value in enum.values if value.number), enum.values[0].name)
    kind = SCALARS[field.type]
    if kind.numeric:
        return _number(field, kind)
    plain = {Kind.BOOL: True, Kind.TIMESTAMP: _MOMENT, Kind.DURATION: "1.5s", Kind.JSON: {"key": "value"}}
    if kind.kind in plain:
        return plain[kind.kind]
    return _text(contract, field, kind)


def _number(field: Field, kind: ScalarType) -> float | int:
    low, high = field.minimum, field.maximum
    if low is not None and high is not None:
        middle: float = (low + high) / 2 if kind.kind is Kind.FLOAT else (int(low) + int(high)) // 2
    elif low is not None:
        middle = low + 1 if kind.high is None or low + 1 <= kind.high else low
    elif high is not None:
        middle = high - 1 if kind.low is None or high - 1 >= kind.low else high
    else:
        middle = 1
    # On the wire a float16 is a float, which holds numbers that no float16 is.
    return cast(kind, middle) if kind.name == "float16" else float(middle) if kind.kind is Kind.FLOAT else int(middle)


def _text(contract: Contract, field: Field, kind: ScalarType) -> str:
    least, most = field.min_length or 0, field.max_length
    if field.pattern is None:
        text = field.name.replace("_", " ")
        text = text + "." * (least - len(text))
        return text if most is None else text[:most]
    pattern = re2.compile(field.pattern)
    for seed in range(200):
        try:
            text = rstr.Rstr(random.Random(seed)).xeger(field.pattern)
        except Exception:  # RE2 knows forms that the sample maker does not: then the author gives an example
            break
        text = text + "a" * (least - len(text))
        if (most is None or len(text) <= most) and pattern.search(text) and text.isprintable():
            return text
    where, message = field.where, "no sample value could be made for this pattern"
    problem = Problem(where.line, where.column, where.path, message, "give one: `example: ...`")
    raise SchemaError(contract.file, [problem])


def filled(contract: Contract, message: Message, above: tuple[str, ...]) -> Iterable[Field]:
    """The fields that a sample sets: all, but one of each oneof, and none that would go on for ever.

    Messages in messages can have more fields than any sample should, so the largest are left out where they may be.
    """
    largest = _MOST_FIELDS // max(1, sum(contract.message(field.type) is not None for field in message.fields))
    chosen = {
        oneof: next((item for item in members if not recurses(contract, item, (*above, message.name))), members[0]).name
        for oneof, members in message.oneofs.items()
    }
    for field in message.fields:
        if field.oneof is not None and chosen[field.oneof] != field.name:
            continue
        again = recurses(contract, field, (*above, message.name))
        inner = contract.message(field.type) if field.scalar is None else None
        again = again or (inner is not None and _left(contract, inner, (*above, message.name), largest) < 0)
        if again and not is_required(field) and not field.min_items:
            continue
        yield field


def _left(contract: Contract, message: Message, above: tuple[str, ...], most: int) -> int:
    """How many of `most` fields are left after those of the message and of the messages in it; negative if too many."""
    most -= len(message.fields)
    for field in message.fields:
        inner = contract.message(field.type) if field.scalar is None else None
        if most >= 0 and inner is not None and inner.name not in (*above, message.name):
            most = _left(contract, inner, (*above, message.name), most)
    return most


def recurses(contract: Contract, field: Field, above: tuple[str, ...]) -> bool:
    """Whether setting the field means to set a message that is being set already."""
    inner = contract.message(field.type) if field.scalar is None else None
    if inner is None:
        return False
    if inner.name in above:
        return True
    return any(recurses(contract, item, (*above, inner.name)) for item in inner.fields if is_required(item))


def amount(field: Field) -> int:
    """How many entries a repeated field or a map has in a sample."""
    wanted = max(field.min_items or 0, 1)
    return wanted if field.max_items is None else min(wanted, field.max_items)


def dimensions(field: Field) -> tuple[int, ...]:
    """The shape of a sample array, in which named dimensions have a size that the limits allow."""
    sizes = [size if isinstance(size, int) else DIMENSION for size in field.shape or ()]
    named = [index for index, size in enumerate(field.shape or ()) if isinstance(size, str)]
    for index in named:
        if field.max_items is not None and math.prod(sizes) > field.max_items:
            sizes[index] = 1
    if named and field.min_items and math.prod(sizes) < field.min_items:
        rest = math.prod(sizes) // sizes[named[0]]
        sizes[named[0]] = -(-field.min_items // rest)
    return tuple(sizes)


def keys(field: Field) -> list[Any]:
    count = amount(field)
    if field.key == "string":
        return ["key" if index == 0 else f"key {index}" for index in range(count)]
    return [True, False][:count] if field.key == "bool" else list(range(1, count + 1))


def raw_bytes(field: Field, value: Any) -> bytes:
    """An example of bytes is base64 in a schema, as in protobuf's JSON; what is made up here is plain text."""
    return base64.b64decode(value) if field.example is not None or field.default is not None else str(value).encode()


def _object(contract: Contract, message: Message, above: tuple[str, ...]) -> Any:
    """A message in JSON, where protobuf's own have forms of their own."""
    if message.in_proto in well_known_types.FILES:
        return _well_known(contract, message, above)
    return {field.name: _json(contract, field, (*above, message.name)) for field in filled(contract, message, above)}


def _well_known(contract: Contract, message: Message, above: tuple[str, ...]) -> Any:
    name = message.in_proto.removeprefix(well_known_types.PREFIX)
    if name in ("Empty", "Any"):  # what an Any holds would have to be known to who reads the JSON
        return {}
    (field,) = message.fields
    value = _json(contract, field, (*above, message.name))
    return ",".join(value) if name == "FieldMask" else value


def _json(contract: Contract, field: Field, above: tuple[str, ...]) -> Any:
    if field.shape is not None:
        return _json_array(contract, field)
    inner = contract.message(field.type) if field.scalar is None else None
    if field.is_map:
        one = replace(field, key=None)
        return {
            json.dumps(key) if isinstance(key, bool) else str(key): _json(contract, one, above) for key in keys(field)
        }
    if field.repeated:
        return [_json(contract, replace(field, repeated=False), above)] * amount(field)
    if inner is not None:
        return _object(contract, inner, above)
    return _json_scalar(contract, field)


def _json_scalar(contract: Contract, field: Field) -> Any:
    value = scalar(contract, field)
    enum: Enum | None = contract.enum(field.type)
    if enum is not None:
        return enum.value_in_proto(str(value))
    if SCALARS[field.type].proto.endswith("64"):
        return str(value)
    if SCALARS[field.type].kind is Kind.BYTES:
        return base64.b64encode(raw_bytes(field, value)).decode()
    return value


def _json_array(contract: Contract, field: Field) -> Any:
    shape = dimensions(field)
    kind = SCALARS[field.type]
    value = scalar(contract, field)
    if kind.element_bytes:
        values: Any = base64.b64encode(struct.pack(f"<{element_format(field)}", value) * math.prod(shape)).decode()
    else:
        values = [_json_scalar(contract, replace(field, shape=None))] * math.prod(shape)
    return {"shape": [str(size) for size in shape], "values": values} if field.dynamic else values


def _dump(value: Any, indent: str = "") -> str:
    """JSON that a person can read: an object a field a line, numbers of an array on one line."""
    inner = indent + "  "
    if isinstance(value, dict) and value:
        body = ",\n".join(f"{inner}{in_json(key)}: {_dump(item, inner)}" for key, item in value.items())
        return f"{{\n{body}\n{indent}}}"
    if isinstance(value, list) and any(isinstance(item, dict) for item in value):
        body = ",\n".join(f"{inner}{_dump(item, inner)}" for item in value)
        return f"[\n{body}\n{indent}]"
    return in_json(value)
