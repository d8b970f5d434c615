"""Everything that a schema must be besides well-formed: the rules over fields, and over the whole."""

from __future__ import annotations

import re
from collections import Counter

from protoserve.schema import (
    import_rules,
    limit_rules,
    message_graph,
    name_rules,
    number_rules,
    value_rules,
    well_known_types,
)
from protoserve.schema.mapping_reader import nearest, shown
from protoserve.schema.model import Field
from protoserve.schema.types import ALIASES, LISTS, MAP_KEYS, SCALARS, Kind
from protoserve.schema.unchecked_contract import Draft, FieldDraft, MessageDraft, set_attributes

# What other languages call a type, and what it is here.
_MEANT = {
    "str": "string",
    "text": "string",
    "char": "string",
    "int": "int64",
    "integer": "int64",
    "long": "int64",
    "uint": "uint64",
    "byte": "uint8",
    "number": "float64",
    "half": "float16",
    "boolean": "bool",
    "datetime": "timestamp",
    "date": "timestamp",
    "time": "timestamp",
    "timedelta": "duration",
    "object": "json",
    "dict": "json",
    "any": "json",
    "binary": "bytes",
    "bytearray": "bytes",
    "image": "bytes",
}
_BRACKETS = re.compile(r"\s*([A-Za-z0-9]+)\s*\[(.*)\]\s*")
# How other languages write a list, a map, and what may be missing.
_LIST = re.compile(rf"\s*(?:(?:{'|'.join(LISTS)})\s*[\[<](.+)[\]>]|repeated\s+(.+?)|\[(.+)\])\s*", re.IGNORECASE)
_MAP = re.compile(r"\s*(?:map|dict|mapping)\s*[\[<]\s*(\w+)\s*,\s*(.+?)\s*[\]>]\s*", re.IGNORECASE)
_OPTIONAL = re.compile(r"\s*(?:optional\s*[\[<](.+)[\]>]|optional\s+(.+?)|(.+?)\s*\|\s*None)\s*", re.IGNORECASE)


def check(draft: Draft) -> None:
    """Reports what is wrong with the draft, and settles `required` of its fields."""
    name_rules.check(draft)
    _check_served(draft)
    for message in draft.all_messages():
        number_rules.check_message(message)
        for item in message.fields:
            if _known_types(item, draft):
                _check_combinations(item, draft)
                limit_rules.check(item)
                value_rules.check(item, draft)
        _settle_required(message)
    for enum in draft.enums:
        number_rules.check_enum(enum)
    message_graph.check(draft)
    import_rules.check(draft)


def _check_served(draft: Draft) -> None:
    """A model takes one request at a time, and a server that answers nothing is none."""
    for method in draft.methods:
        if method.client_streaming and method.served:
            remedy = "write `served: false`, which keeps the method in the .proto and answers it UNIMPLEMENTED"
            method.section.report("streaming", "a stream of requests cannot be served", remedy)
    if draft.methods and not any(method.served for method in draft.methods):
        draft.section.report("methods", "no method is served", "take `served: false` out of one")


def _known_types(item: FieldDraft, draft: Draft) -> bool:
    field, section = item.field, item.section
    if field.is_map and field.key and field.key not in MAP_KEYS:
        section.report("key", f"{shown(field.key)} cannot be the key of a map", f"write one of {', '.join(MAP_KEYS)}")
    if not field.type:
        return False
    if field.type in SCALARS or field.type in draft.enum_names or field.type in draft.message_names:
        return True
    key = "value" if field.is_map else "type"
    if field.type in draft.declared:
        return False  # what is wrong with it is reported where it is defined
    known = (*SCALARS, *draft.enum_names, *draft.message_names)
    section.report(key, f"unknown type {shown(field.type)}", _type_remedy(field.type, known))
    return False


def _type_remedy(name: str, known: tuple[str, ...]) -> str:
    brackets, entries, items = _BRACKETS.fullmatch(name), _MAP.fullmatch(name), _LIST.fullmatch(name)
    optional = _OPTIONAL.fullmatch(name)
    if entries:
        return f"write `key: {type_name(entries[1])}` and `value: {type_name(entries[2])}` in place of `type`"
    if items:
        item = next(filter(None, items.groups()))
        if re.search(r"[\[<]", item):
            return "write the numbers' type and `shape: [rows, columns]`, or put the inner list into a message"
        return f"write `type: {type_name(item)}` and `repeated: true`"
    if optional:
        return f"write `type: {type_name(next(filter(None, optional.groups())))}` and `required: false`"
    if name.lower() in LISTS:
        return "write the items' type, and `repeated: true`"
    if brackets and not brackets[2].strip():
        return f"write `type: {brackets[1]}` and `repeated: true`"
    if brackets:
        return f"write `type: {brackets[1]}` and `shape: [{brackets[2]}]`"
    if name in well_known_types.SCALARS:
        return f"write `{well_known_types.SCALARS[name]}`"
    imported = next((full for full in known if full.endswith(f".{name}")), None)
    guess = _MEANT.get(name.lower()) or imported or nearest(name, (*known, *ALIASES))
    return f"did you mean {guess!r}?" if guess else f"write one of {', '.join(known)}"


def type_name(name: str) -> str:
    """What a type of another language is here; any other name as it is."""
    return _MEANT.get(name.strip().lower(), name.strip())


def _check_combinations(item: FieldDraft, draft: Draft) -> None:
    """Which keys of a field exclude each other."""
    field, section, scalar = item.field, item.section, item.field.scalar
    if field.shape is not None:
        if scalar is None or scalar.dtype is None:
            remedy = "take `shape` out; for a list write `repeated: true`"
            section.report("shape", f"{field.type} takes no shape: only bool, integers and floats do", remedy)
        if field.repeated:
            remedy = "name one more dimension in the shape: [count, 3]"
            section.report("repeated", "a shape cannot be repeated", remedy)
        if field.is_map:
            section.report("shape", "a map cannot have a shape", "put the shape into a message and map to that")
    if field.is_map and field.repeated:
        section.report("repeated", "a map cannot be repeated", "put the map into a message and repeat that")
    if field.oneof is not None:
        _check_oneof_member(item)
    if any(name == "packed" for name, _ in field.options) and not (field.repeated and _packable(field, draft)):
        section.report("options", "`packed` is for lists of numbers, bools and enums", "take `packed` out")
    if item.required and (field.repeated or field.is_map):
        section.report("required", "a list or a map is never required: it can be empty", "write `min_items: 1`")
    if field.default is not None:
        _check_default(item, draft)
    if field.example is not None and field.type in draft.message_names:
        section.report("example", "a message cannot have an example", f"give examples on the fields of {field.type}")


def _packable(field: Field, draft: Draft) -> bool:
    scalar = field.scalar
    return field.type in draft.enum_names if scalar is None else scalar.numeric or scalar.kind is Kind.BOOL


def _check_oneof_member(item: FieldDraft) -> None:
    field, section, scalar = item.field, item.section, item.field.scalar
    remedy = "put it into a message of its own and name that as the type"
    if field.repeated or field.is_map:
        section.report("oneof", f"a {'map' if field.is_map else 'list'} cannot be in a oneof", remedy)
    elif field.size is not None and scalar is not None and scalar.dtype and not scalar.element_bytes:
        section.report("oneof", f"a {field.type} of a fixed shape travels as a list and cannot be in a oneof", remedy)


def _check_default(item: FieldDraft, draft: Draft) -> None:
    field, section = item.field, item.section
    what = None
    if field.type in draft.message_names:
        what = "a message"
    elif field.is_map or field.repeated:
        what = "a map" if field.is_map else "a list"
    elif field.shape is not None:
        what = "a shape"
    elif field.oneof is not None:
        what = "a member of a oneof"
    elif isinstance(field.default, (list, dict)):
        what = "a json list or mapping"
    if what is not None:
        section.report("default", f"{what} cannot have a default", "take `default` out")
    elif item.required:
        section.report("required", "a field with a default is not required", "take `required` or `default` out")
    elif field.implicit:
        remedy = "take `default` out, or `presence: implicit`"
        section.report("default", "without presence a missing value is 0, never a default", remedy)


def _settle_required(message: MessageDraft) -> None:
    """`Field.required` as the model means it; see `Field` and `Message.oneofs`."""
    optional = {name: _oneof_optional(members) for name, members in message.oneofs().items()}
    for item in message.fields:
        field = item.field
        if field.oneof is not None:
            set_attributes(item, required=not optional[field.oneof])
        elif field.repeated or field.is_map or field.default is not None:
            set_attributes(item, required=False)
        else:
            set_attributes(item, required=item.required is not False)


def _oneof_optional(members: list[FieldDraft]) -> bool:
    optional = Counter(item.required is False for item in members)
    if optional[True] and optional[False]:
        odd = next(item for item in members if (item.required is False) == (optional[True] < optional[False]))
        key = "required" if "required" in odd.section else None
        message = f"some members of the oneof {odd.field.oneof!r} say `required: false` and others do not"
        odd.section.report(key, message, "write `required: false` on all of them or on none")
    return bool(optional[True])
