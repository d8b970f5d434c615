"""One valid value for every field: in sample requests, in warm-ups and in examples."""

from __future__ import annotations

import base64
import json
import math
import struct
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from protoserve.emit import field_code, pattern_samples
from protoserve.emit.sample_budget import CODE_CHARACTERS, DEPTH, JSON_CHARACTERS, SampleBudget
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
_KEY_CHARACTERS = len("key 1000000: ")
_MOMENT = "2026-01-01T00:00:00Z"


class PythonCode:
    """Writes messages as Python expressions that build their dataclasses, from sample values.

    A subclass may have other values. `above` holds the names of the messages around what is written.
    """

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.budget = SampleBudget(contract, CODE_CHARACTERS, "a sample in Python")

    def message(self, message: Message, above: tuple[str, ...] = ()) -> str:
        """The expression for a whole message. Raises SchemaError if it would be too large."""
        inner = (*above, message.name)
        fields = filled(self.contract, message, above, self.budget)
        return f"{message.name}({', '.join(f'{field.attribute}={self.field(field, inner)}' for field in fields)})"

    def field(self, field: Field, above: tuple[str, ...]) -> str:
        """The expression for a field, whatever its form."""
        if field.shape is not None:
            return self.array(field)
        kind = self.contract.message(field.type) if field.scalar is None else None
        before = self.budget.characters
        if kind is None:
            self.budget.take(field, len(field.name) + text_length(field))
            one = self.scalar(field)
        else:
            with self.budget.within(field):
                one = self.message(kind, above)
        if field.is_map:
            self.budget.take(field, amount(field) * (self.budget.characters - before + _KEY_CHARACTERS))
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
    """The same sample in protobuf's JSON mapping (https://protobuf.dev/programming-guides/json/).

    Raises SchemaError if it would be too large.
    """
    budget = SampleBudget(contract, JSON_CHARACTERS, "a sample request")
    return _dump(_object(contract, message, (), budget)) + "\n"


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
    matching = pattern_samples.text(field.pattern, least, most)
    if matching is not None:
        return matching
    where, message = field.where, "no sample value could be made for this pattern"
    problem = Problem(where.line, where.column, where.path, message, "give one: `example: ...`")
    raise SchemaError(contract.file, [problem])


def text_length(field: Field) -> int:
    """At most how many characters a text of the field has that is not an example, whose length the schema has."""
    return 0 if field.example is not None or field.default is not None else field.min_length or 0


def filled(contract: Contract, message: Message, above: tuple[str, ...], budget: SampleBudget) -> Iterable[Field]:
    """The fields that a sample sets: all, but one of each oneof, and none that would go on for ever.

    Messages in messages can have more fields than any sample should, so the largest are left out where they may be.
    """
    inside = (*above, message.name)
    largest = _MOST_FIELDS // max(1, sum(contract.message(field.type) is not None for field in message.fields))
    chosen = {
        oneof: next((item for item in members if not _recurses(contract, item, inside, budget)), members[0]).name
        for oneof, members in message.oneofs.items()
    }
    for field in message.fields:
        if field.oneof is not None and chosen[field.oneof] != field.name:
            continue
        budget.step()
        inner = contract.message(field.type) if field.scalar is None else None
        if inner is not None:
            may_be_left_out = not is_required(field) and not field.min_items
            if may_be_left_out and (
                _recurses(contract, field, inside, budget) or _left(contract, inner, inside, largest) < 0
            ):
                continue
            budget.deeper(field, len(inside))
        yield field


def _left(contract: Contract, message: Message, above: tuple[str, ...], most: int) -> int:
    """How many of `most` fields are left after those of the message and of the messages in it; negative if too many,
    or if messages are too deep in each other.
    """
    if len(above) > DEPTH:
        return -1
    most -= len(message.fields)
    if most < 0:
        return most
    inside = (*above, message.name)
    for field in message.fields:
        inner = contract.message(field.type) if field.scalar is None else None
        if most >= 0 and inner is not None and inner.name not in inside:
            most = _left(contract, inner, inside, most)
    return most


def _recurses(contract: Contract, field: Field, above: tuple[str, ...], budget: SampleBudget) -> bool:
    """Whether setting the field means to set a message that is being set already."""
    inner = contract.message(field.type) if field.scalar is None else None
    left, seen = [] if inner is None else [inner], set()
    while left:
        message = left.pop()
        if message.name in above:
            return True
        if message.name in seen:
            continue
        seen.add(message.name)
        for item in message.fields:
            if is_required(item) and item.scalar is None:
                budget.step()
                left += filter(None, [contract.message(item.type)])
    return False


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


def _object(contract: Contract, message: Message, above: tuple[str, ...], budget: SampleBudget) -> Any:
    """A message in JSON, where protobuf's own have forms of their own."""
    if message.in_proto in well_known_types.FILES:
        return _well_known(contract, message, above, budget)
    inside = (*above, message.name)
    return {field.name: _json(contract, field, inside, budget) for field in filled(contract, message, above, budget)}


def _well_known(contract: Contract, message: Message, above: tuple[str, ...], budget: SampleBudget) -> Any:
    name = message.in_proto.removeprefix(well_known_types.PREFIX)
    if name in ("Empty", "Any"):  # what an Any holds would have to be known to who reads the JSON
        return {}
    (field,) = message.fields
    value = _json(contract, field, (*above, message.name), budget)
    return ",".join(value) if name == "FieldMask" else value


def _json(contract: Contract, field: Field, above: tuple[str, ...], budget: SampleBudget) -> Any:
    if field.shape is not None:
        return _json_array(contract, field, budget)
    if not (field.is_map or field.repeated):
        return _json_value(contract, field, above, budget)
    before = budget.characters
    one = _json_value(contract, replace(field, key=None, repeated=False), above, budget)
    # On lines of their own, indented, if they are messages.
    around = 2 * len(above) + 4 if isinstance(one, dict) else 2
    around += _KEY_CHARACTERS if field.is_map else 0
    budget.take(field, (amount(field) - 1) * (budget.characters - before + around))
    if field.repeated:
        return [one] * amount(field)
    return {json.dumps(key) if isinstance(key, bool) else str(key): one for key in keys(field)}


def _json_value(contract: Contract, field: Field, above: tuple[str, ...], budget: SampleBudget) -> Any:
    """One value: of a list or a map, or of the field itself."""
    inner = contract.message(field.type) if field.scalar is None else None
    budget.take(field, 2 * len(above) + len(field.name) + len('"": ,\n'))
    if inner is not None:
        with budget.within(field):
            return _object(contract, inner, above, budget)
    budget.take(field, text_length(field))  # before the text is made
    value = _json_scalar(contract, field)
    budget.take(field, len(json.dumps(value)))
    return value


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


def _json_array(contract: Contract, field: Field, budget: SampleBudget) -> Any:
    shape = dimensions(field)
    kind = SCALARS[field.type]
    value = scalar(contract, field)
    each = kind.element_bytes * 4 / 3 if kind.element_bytes else len(json.dumps(value)) + 2
    budget.take(field, math.ceil(math.prod(shape) * each))
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
