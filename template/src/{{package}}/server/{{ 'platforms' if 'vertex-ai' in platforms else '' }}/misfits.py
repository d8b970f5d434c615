"""Where JSON does not fit a message of the contract: each place by its path, in words of its own.

protobuf's parser stops at the first place, names it by Python's classes, and is asked here for yes or no alone.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ...contract.violations import MAX_VIOLATIONS, Violation

_INTEGER = "an integer from {} to {}"
_TYPES = {
    FieldDescriptor.TYPE_STRING: "a string",
    FieldDescriptor.TYPE_BYTES: "a string in base64",
    FieldDescriptor.TYPE_BOOL: "true or false",
    FieldDescriptor.TYPE_FLOAT: "a number from -3.4e38 to 3.4e38",
    FieldDescriptor.TYPE_DOUBLE: "a number",
}
_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: _INTEGER.format(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: _INTEGER.format(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: _INTEGER.format(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: _INTEGER.format(0, 2**64 - 1),
}
# Messages of protobuf's own with a JSON of their own; those that wrap one value have that value's.
_MESSAGES = {
    "google.protobuf.Timestamp": 'a time, such as "2026-01-31T12:00:00Z"',
    "google.protobuf.Duration": 'a duration, such as "1.5s"',
    "google.protobuf.Value": "JSON without NaN and infinities",
    "google.protobuf.Struct": "an object without NaN and infinities",
    "google.protobuf.ListValue": "a list without NaN and infinities",
    "google.protobuf.FieldMask": 'the paths of fields, such as "first,second.third"',
    "google.protobuf.Any": 'an object with "@type"',
}


def misfits(value: Any, kind: type[Message], at: str) -> list[Violation]:
    """What is wrong with `value`, which lies at the path `at`, as the JSON of a message; empty where it fits."""
    try:
        return list(islice(_message(value, kind, at), MAX_VIOLATIONS))
    except RecursionError:
        return [Violation(at, "is nested too deeply")]


def fields(kind: type[Message]) -> dict[str, Any]:
    """The fields of a message by both of their names in JSON."""
    return {name: field for field in kind.DESCRIPTOR.fields for name in (field.json_name, field.name)}


def slot(field: FieldDescriptor) -> str:
    """What only one value can be given for: the oneof of the field, or the field."""
    return field.containing_oneof.name if field.containing_oneof is not None else field.name


def described(value: Any) -> str:
    """The kind of a JSON value, in JSON's words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def fits(value: Any, kind: type[Message]) -> bool:
    """Whether protobuf reads the value as that message."""
    try:
        ParseDict(value, kind())
    except (ParseError, ValueError, RecursionError):
        return False
    return True


def _message(value: Any, kind: type[Message], at: str) -> Iterator[Violation]:
    if not isinstance(value, dict):
        first = next((f'"{field.name}": ...' for field in kind.DESCRIPTOR.fields), "")
        yield Violation(at, f"must be an object, {{{first}}}; got {described(value)}")
        return
    known, alone = fields(kind), True
    for name, item in value.items():
        if name not in known:
            alone = False
            listed = ", ".join(field.name for field in kind.DESCRIPTOR.fields)
            yield Violation(f"{at}.{name}", f"is no field of {kind.DESCRIPTOR.name}; there are: {listed or 'none'}")
        elif not fits({name: item}, kind):
            alone = False
            yield from _field(item, known[name], kind, f"{at}.{name}")
    if alone and not fits(value, kind):
        yield from _together(value, kind, at)


def _together(value: dict[str, Any], kind: type[Message], at: str) -> Iterator[Violation]:
    """Fields of which each fits, and not beside the others."""
    known, given, told = fields(kind), dict[str, list[str]](), False
    for name, item in value.items():
        if item is not None:
            given.setdefault(slot(known[name]), []).append(name)
    for one, names in given.items():
        if len(names) > 1:
            told = True
            place = one if len({known[name].name for name in names}) > 1 else known[names[0]].name
            yield Violation(f"{at}.{place}", f"only one of {', '.join(names)} may be given")
    if not told:
        yield Violation(at, f"must be the JSON of {kind.DESCRIPTOR.name}, nested less deeply")


def _field(value: Any, field: FieldDescriptor, kind: type[Message], path: str) -> Iterator[Violation]:
    """What is wrong with the value of a field of the message, which is refused."""
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        yield from _map(value, field.name, inner, kind, path)
    elif not field.is_repeated:
        yield from _one(value, field, path)
    elif not isinstance(value, list):
        yield Violation(path, f"must be a list, each {_wanted(field)}; got {described(value)}")
    elif inner is not None and not _is_protobufs(inner):
        for index, item in enumerate(value):
            yield from _message(item, GetMessageClass(inner), f"{path}[{index}]")
    else:
        index = _first(value, lambda part: fits({field.name: part}, kind))
        yield from _one(value[index], field, f"{path}[{index}]")


def _map(value: Any, name: str, entry: Descriptor, kind: type[Message], path: str) -> Iterator[Violation]:
    """The first entry that is wrong."""
    if not isinstance(value, dict):
        yield Violation(path, f"must be an object, {{KEY: VALUE, ...}}; got {described(value)}")
        return
    entries = list(value.items())
    key, item = entries[_first(entries, lambda part: fits({name: dict(part)}, kind))]
    place = f"{path}[{key!r}]"
    if item is None or not fits({"value": item}, GetMessageClass(entry)):
        yield from _one(item, entry.fields_by_name["value"], place)
    else:
        yield Violation(place, f"must have a key that is {_wanted(entry.fields_by_name['key'])}")


def _one(value: Any, field: FieldDescriptor, path: str) -> Iterator[Violation]:
    if field.message_type is not None and not _is_protobufs(field.message_type):
        yield from _message(value, GetMessageClass(field.message_type), path)
        return
    hint = ""
    if isinstance(value, float) and not math.isfinite(value) and field.message_type is None:
        hint = '; JSON has it in quotes: "NaN", "Infinity", "-Infinity"'
    yield Violation(path, f"must be {_wanted(field)}; got {_shown(value)}{hint}")


def _first(items: Sequence[Any], fit: Callable[[Sequence[Any]], bool]) -> int:
    """The index of the first item that does not fit, of which there is one; a long list is halved, not walked."""
    low, high = 0, len(items)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(items[low:middle]) else (low, middle)
    return low


def _is_protobufs(kind: Descriptor) -> bool:
    """Whether a message is one of protobuf's own, whose JSON is another than its fields'."""
    return bool(kind.full_name.startswith("google.protobuf."))


def _wanted(field: FieldDescriptor) -> str:
    """What a value of the field is in JSON; values of enums as the .proto names them."""
    if field.enum_type is not None:
        names = (value.name for value in field.enum_type.values if value.number or "UNSPECIFIED" not in value.name)
        return f"one of {', '.join(names)}"
    if field.message_type is None:
        return _TYPES.get(field.type) or _INTEGERS[field.cpp_type]
    kind = field.message_type
    wrapped = kind.fields_by_name.get("value") if kind.full_name.endswith("Value") else None
    if kind.full_name in _MESSAGES:
        return _MESSAGES[kind.full_name]
    return _wanted(wrapped) if wrapped is not None and _is_protobufs(kind) else f"an object, a {kind.name}"


def _shown(value: Any) -> str:
    """A value that is one line, as JSON; the kind of any other."""
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, (dict, list)) else ""
    return text if text and len(text) <= 60 else described(value)
