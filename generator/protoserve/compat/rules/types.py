"""Which types can stand for each other: on the wire, in JSON, and above both."""

from __future__ import annotations

from collections.abc import Iterator

from protoserve.compat.change import BOTH, Break, Directions
from protoserve.compat.rules.field_pair import FieldPair
from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Field, same_type
from protoserve.schema.types import SCALARS
from protoserve.wire import value_type

# Types of one row are read alike, as far as the number fits: https://protobuf.dev/programming-guides/proto3/#updating
_ON_THE_WIRE = (
    {"int32", "uint32", "int64", "uint64", "bool"},
    {"sint32", "sint64"},
    {"fixed32", "sfixed32"},
    {"fixed64", "sfixed64"},
    {"string", "bytes"},
)
# JSON writes 64-bit integers as texts, and bytes in base64.
_IN_JSON = (
    {"int32", "uint32", "sint32", "fixed32", "sfixed32"},
    {"int64", "uint64", "sint64", "fixed64", "sfixed64"},
    {"float", "double"},
)


def described(field: Field) -> str:
    """The type as a reader of the schema would say it."""
    if field.is_map:
        return f"a map of {field.key} to {field.type}"
    if field.shape is not None:
        return f"{field.type}[{', '.join(map(str, field.shape))}]"
    return f"a list of {field.type}" if field.repeated else field.type


def comparable(was: Field, now: Field) -> bool:
    """Whether the limits of the two are about the same kind of value."""
    before, after = was.scalar, now.scalar
    if before is None or after is None:
        return before is after
    return before.kind is after.kind and (was.shape is None) == (now.shape is None)


def compare_types(pair: FieldPair) -> None:
    """Reports a change of the type, of a map's keys, or of the elements of a shape."""
    was, now = pair.before, pair.after
    same = same_type(pair.old, was.type, pair.new, now.type)
    if same and was.key == now.key and (was.shape is None) == (now.shape is None):
        return
    replaced = f"{described(now)} takes the place of {described(was)}"
    breaks = set(_breaks(pair.old, pair.new, was, now, pair.used))
    if not breaks:
        pair.report("type-changed", (), f"{replaced}: all that was valid still is")
        return
    rule = "element-type-changed" if was.shape is not None and now.shape is not None else "type-changed"
    kinds = {Break.WIRE, Break.JSON, *BOTH} & breaks
    if not kinds:
        why = f"the type is {now.type}, was {was.type}: the same on the wire, another name in code"
        pair.report(rule, breaks, why, f"keep the name {was.type}")
        return
    remedy = f"keep `{was.name}` as it is, marked `deprecated: true`, and add a field of the new type"
    pair.report(rule, breaks, f"{replaced}: {_effect(kinds)}", remedy)


def _effect(kinds: set[Break]) -> str:
    if Break.WIRE in kinds:
        return "the bytes of one are not those of the other"
    if Break.JSON in kinds:
        return "they differ in protobuf's JSON"
    return "what is sent is read as something else"


def _breaks(old: Contract, new: Contract, was: Field, now: Field, used: Directions) -> Iterator[Break]:
    if was.key != now.key:
        yield from _scalars(SCALARS[str(was.key)].proto, SCALARS[str(now.key)].proto)
        yield from _range(str(was.key), str(now.key), used)
    if same_type(old, was.type, new, now.type) and (was.shape is None) == (now.shape is None):
        return
    before, after = old.message(was.type), new.message(now.type)
    if before is not None and after is not None:
        yield Break.SOURCE
        return
    enum_before, enum_after = old.enum(was.type), new.enum(now.type)
    if enum_before is not None and enum_after is not None:
        # The names of values begin with the name of their enum, and JSON has them.
        yield Break.SOURCE if reserved_names.snake(was.type) == reserved_names.snake(now.type) else Break.JSON
        return
    if not comparable(was, now) or (was.shape is not None and was.type != now.type):
        yield from used
    first, second = value_type(was), value_type(now)
    if enum_before is not None or enum_after is not None:
        # An enum's value is an int32 on the wire, and a name in JSON.
        first, second = "int32" if enum_before else first, "int32" if enum_after else second
        yield Break.JSON
    yield from _scalars(first, second)


def _scalars(first: str, second: str) -> Iterator[Break]:
    if first == second:
        return
    if not any({first, second} <= row for row in _ON_THE_WIRE):
        yield Break.WIRE
    if not any({first, second} <= row for row in _IN_JSON):
        yield Break.JSON


def _range(was: str, now: str, used: Directions) -> Iterator[Break]:
    """What a change of the keys' type breaks: keys that the other type cannot hold."""
    before, after = SCALARS[was], SCALARS[now]
    if before.low is None or after.low is None or before.high is None or after.high is None:
        yield from used
        return
    if before.low < after.low or before.high > after.high:
        yield from used & {Break.REQUEST}
    if after.low < before.low or after.high > before.high:
        yield from used & {Break.RESPONSE}
