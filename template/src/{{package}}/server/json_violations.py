"""Where JSON is not that of a message of the contract: every place, by its path and in JSON's words.

protobuf's parser stops at the first place and names it by Python's classes, so it is only asked whether a part fits.
"""

import json
import math
from collections.abc import Callable, Iterator, Sequence
from difflib import get_close_matches
from itertools import islice
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from ..contract.bounds import listed
from ..contract.violations import MAX_VIOLATIONS, Violation

# What protobuf raises for JSON that is not that of a message. OverflowError: an integer is too large for a float.
# SystemError: a field's name has half of a surrogate pair, as in "\ud800".
UNFIT = (ParseError, ValueError, OverflowError, RecursionError, SystemError)
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


def json_violations(value: Any, kind: type[Message], at: str) -> list[Violation]:
    """What is wrong with `value`, which lies at the path `at`, as the JSON of a message; empty where it fits."""
    try:
        return list(islice(_message(value, kind, at), MAX_VIOLATIONS))
    except RecursionError:
        return [Violation(at, "is nested too deeply")]


def fields(kind: type[Message]) -> dict[str, FieldDescriptor]:
    """The fields of a message by both of their names in JSON."""
    descriptor: Any = kind.DESCRIPTOR  # its type is that of one of protobuf's implementations
    return {name: field for field in descriptor.fields for name in (field.json_name, field.name)}


def slot(field: FieldDescriptor) -> str:
    """What only one value can be given for: the oneof of the field, or the field."""
    return field.containing_oneof.name if field.containing_oneof is not None else field.name


def json_kind(value: Any) -> str:
    """The kind of a JSON value, in JSON's words."""
    names = {dict: "an object", list: "a list", str: "a string", bool: "a boolean", type(None): "null"}
    return next((name for kind, name in names.items() if isinstance(value, kind)), "a number")


def has_integer_keys(kind: Descriptor, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a message, or one within it, has a map whose keys are integers."""
    if kind.full_name in seen:
        return False
    inner = [field.message_type for field in kind.fields if field.message_type is not None]
    if any(_is_map_of_integers(each) for each in inner):
        return True
    return any(has_integer_keys(each, seen | {kind.full_name}) for each in inner)


def repeated_integer_keys(value: Any, kind: Descriptor, at: str) -> Iterator[Violation]:
    """Keys of maps that are one integer in two ways, such as "1" and "01", in JSON that fits."""
    if not isinstance(value, dict):
        return
    known = {name: field for field in kind.fields for name in (field.json_name, field.name)}
    for name, item in value.items():
        inner = known[name].message_type
        if item is None or inner is None or _is_well_known(inner):
            continue
        path = f"{at}.{name}"
        is_map = inner.GetOptions().map_entry
        if _is_map_of_integers(inner) and len(item) > len({int(key) for key in item}):
            yield Violation(path, "has an integer as a key more than once")
        if is_map and inner.fields_by_name["value"].message_type is not None:
            for key, each in item.items():
                path_of_value = f"{path}[{shortened(key)!r}]"
                yield from repeated_integer_keys(each, inner.fields_by_name["value"].message_type, path_of_value)
        elif not is_map and known[name].is_repeated:
            for index, each in enumerate(item):
                yield from repeated_integer_keys(each, inner, f"{path}[{index}]")
        elif not is_map:
            yield from repeated_integer_keys(item, inner, path)


def _is_map_of_integers(kind: Descriptor) -> bool:
    return bool(kind.GetOptions().map_entry and kind.fields_by_name["key"].cpp_type in _INTEGERS)


def fits(value: Any, kind: type[Message]) -> bool:
    """Whether protobuf reads the value as that message."""
    try:
        ParseDict(value, kind())
    except UNFIT:
        return False
    return True


def _message(value: Any, kind: type[Message], at: str) -> Iterator[Violation]:
    if not isinstance(value, dict):
        first = next((f'"{field.name}": ...' for field in kind.DESCRIPTOR.fields), "")
        yield Violation(at, f"must be an object, {{{first}}}; got {json_kind(value)}")
        return
    known, all_fit = fields(kind), True
    for name, item in value.items():
        if name not in known:
            all_fit = False
            names = [field.name for field in kind.DESCRIPTOR.fields]
            about = f"is not a field of {kind.DESCRIPTOR.name}; its fields are: {listed(names)}"
            yield Violation(f"{at}.{shortened(name)}", about + _suggestion(name, names))
        elif not fits({name: item}, kind):
            all_fit = False
            yield from _field(item, known[name], kind, f"{at}.{name}")
    if all_fit and not fits(value, kind):
        yield from _together(value, kind, at)


def _together(value: dict[str, Any], kind: type[Message], at: str) -> Iterator[Violation]:
    """What is wrong with fields each of which fits when it is alone."""
    known = fields(kind)
    names_by_slot: dict[str, list[str]] = {}
    for name, item in value.items():
        if item is not None:
            names_by_slot.setdefault(slot(known[name]), []).append(name)
    crowded = {place: names for place, names in names_by_slot.items() if len(names) > 1}
    for oneof, names in crowded.items():
        same_field = len({known[name].name for name in names}) == 1  # by both of its names
        place = known[names[0]].name if same_field else oneof
        yield Violation(f"{at}.{place}", f"only one of {', '.join(names)} may be given")
    if not crowded:
        yield Violation(at, f"must be the JSON of {kind.DESCRIPTOR.name}, nested less deeply")


def _field(value: Any, field: FieldDescriptor, kind: type[Message], path: str) -> Iterator[Violation]:
    """What is wrong with the value of a field, which does not fit."""
    inner = field.message_type
    if inner is not None and inner.GetOptions().map_entry:
        yield from _map(value, field.name, inner, kind, path)
    elif not field.is_repeated:
        yield from _single(value, field, path)
    elif not isinstance(value, list):
        yield Violation(path, f"must be a list, each {_form(field)}; got {json_kind(value)}")
    elif inner is not None and not _is_well_known(inner):
        for index, item in enumerate(value):
            yield from _message(item, GetMessageClass(inner), f"{path}[{index}]")
    else:
        index = _first_misfit(value, lambda part: fits({field.name: part}, kind))
        yield from _single(value[index], field, f"{path}[{index}]")


def _map(value: Any, name: str, entry: Descriptor, kind: type[Message], path: str) -> Iterator[Violation]:
    """The first entry that is wrong."""
    if not isinstance(value, dict):
        yield Violation(path, f"must be an object, {{KEY: VALUE, ...}}; got {json_kind(value)}")
        return
    entries = list(value.items())
    key, item = entries[_first_misfit(entries, lambda part: fits({name: dict(part)}, kind))]
    place = f"{path}[{shortened(key)!r}]"
    if item is None or not fits({"value": item}, GetMessageClass(entry)):
        yield from _single(item, entry.fields_by_name["value"], place)
    else:
        yield Violation(place, f"must have a key that is {_form(entry.fields_by_name['key'])}")


def _single(value: Any, field: FieldDescriptor, path: str) -> Iterator[Violation]:
    if field.message_type is not None and not _is_well_known(field.message_type):
        yield from _message(value, GetMessageClass(field.message_type), path)
        return
    hint = ""
    if field.enum_type is not None and isinstance(value, str):
        hint = _suggestion(value, _value_names(field))
    elif isinstance(value, float) and not math.isfinite(value) and field.message_type is None:
        hint = '; JSON has it in quotes: "NaN", "Infinity", "-Infinity"'
    yield Violation(path, f"must be {_form(field)}; got {_shown(value)}{hint}")


def _first_misfit(items: Sequence[Any], fit: Callable[[Sequence[Any]], bool]) -> int:
    """The index of the first item that does not fit; there must be one. Searches by halves, since lists are long."""
    low, high = 0, len(items)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fit(items[low:middle]) else (low, middle)
    return low


def _is_well_known(kind: Descriptor) -> bool:
    """Whether a message is one of protobuf's well-known types, whose JSON is not that of their fields."""
    return bool(kind.full_name.startswith("google.protobuf."))


def _form(field: FieldDescriptor) -> str:
    """What a value of the field must be in JSON; values of enums are named as in the .proto."""
    if field.enum_type is not None:
        return f"one of {listed(_value_names(field))}"
    if field.message_type is None:
        return _TYPES.get(field.type) or _INTEGERS[field.cpp_type]
    kind = field.message_type
    wrapped = kind.fields_by_name.get("value") if kind.full_name.endswith("Value") else None
    if kind.full_name in _MESSAGES:
        return _MESSAGES[kind.full_name]
    return _form(wrapped) if wrapped is not None and _is_well_known(kind) else f"an object, a {kind.name}"


def _value_names(field: FieldDescriptor) -> list[str]:
    """The values of the field's enum as JSON has them."""
    values = field.enum_type.values if field.enum_type is not None else ()
    return [value.name for value in values if value.number or "UNSPECIFIED" not in value.name]


def _suggestion(name: str, names: Sequence[str]) -> str:
    """The name that was meant, if it is clear. Its first words may be missing: the .proto puts them before values."""
    meant: dict[str, set[str]] = {}
    for each in names:
        words = each.casefold().split("_")
        for first in range(len(words)):
            meant.setdefault("_".join(words[first:]), set()).add(each)
    unique = [ending for ending, owners in meant.items() if len(owners) == 1]
    close = get_close_matches("_".join(name[:100].casefold().split()), unique, n=1, cutoff=0.7)
    return f"; did you mean {min(meant[close[0]])}?" if close else ""


def shortened(name: str) -> str:
    """A name that a caller chose, at a length that can be printed."""
    return name if len(name) <= 60 else f"{name[:57]}..."


def _shown(value: Any) -> str:
    """A short value as JSON; the kind of any other."""
    text = json.dumps(value, ensure_ascii=False) if not isinstance(value, (dict, list)) else ""
    return text if text and len(text) <= 60 else json_kind(value)
