"""From the tree of nodes to a draft of the contract: keys, and the types of their values."""

from __future__ import annotations

import re
from collections.abc import Iterator

from protoserve.platform.yaml_tree import Mapping, Node, Place, Scalar
from protoserve.schema import protobuf_options, well_known_types
from protoserve.schema.field_keys import FIELD_KEYS
from protoserve.schema.mapping_reader import Problems, Section, described, nearest, shown
from protoserve.schema.model import (
    MAX_ENUM_NUMBER,
    MAX_FIELD_NUMBER,
    MIN_ENUM_NUMBER,
    EnumValue,
    Field,
    Reserved,
    Where,
)
from protoserve.schema.types import ALIASES
from protoserve.schema.unchecked_contract import (
    Draft,
    EnumDraft,
    FieldDraft,
    ImportDraft,
    MessageDraft,
    MethodDraft,
    ValueDraft,
    set_attributes,
)

ROOT_KEYS = (
    *("package", "status", "service", "doc", "names", "options", "service_options"),
    *("imports", "enums", "messages", "methods"),
)
IMPORT_KEYS = ("package", "options", "enums", "messages")
ENUM_KEYS = ("doc", "values", "reserved", "options")
VALUE_KEYS = ("name", "number", "doc", "renamed_from", "options")
BODY_KEYS = ("message", "doc", "presence", "fields", "reserved", "options")
MESSAGE_KEYS = (*BODY_KEYS[1:], "after")
METHOD_KEYS = ("doc", "streaming", "served", "request", "response", "options")
RESERVED_KEYS = ("numbers", "names")
# What people write from other schema languages, and what it is here.
_MEANT = {
    "optional": "write `required: false`",
    "nullable": "write `required: false`",
    "description": "write `doc`",
    "comment": "write `doc`",
    "dtype": "write `type`",
    "min": "write `minimum`",
    "max": "write `maximum`",
    "enum": "define it below `enums` and name it as the `type`",
    "items": "write `repeated: true` and the items' type as `type`",
    "id": "write `number`",
    "regex": "write `pattern`",
}
_RANGE = re.compile(r"(-?[0-9]{1,10})\s+to\s+(-?[0-9]{1,10}|max)")


def build(root: Mapping, problems: Problems, default_package: str | None) -> Draft:
    """The draft of a schema. What is wrong goes to `problems`, and the draft then holds a stand-in."""
    section = Section(root, "", problems)
    section.allow(ROOT_KEYS, {"version": "the version is the last part of `package`", "name": "write `package`"})
    package = section.text("package")
    if package is None and "package" not in section:
        package = default_package
        if package is None:
            section.report(None, "`package` is missing", "write `package: NAME.v1` on the first line")
    exact = section.choice("names", ("standard", "exact"), "standard") == "exact"
    imports = section.section("imports")
    imported = [_import(inner, path) for path, inner in imports.sections()] if imports else []
    enums = section.section("enums")
    messages = section.section("messages")
    shared = [_message(inner, name, MESSAGE_KEYS) for name, inner in messages.sections()] if messages else []
    shared += [message for file in imported for message in _imported_messages(file)]
    methods = section.section("methods")
    if methods is None and "methods" not in section:
        section.report(None, "`methods` is missing", "write `methods:` with at least one method")
    elif methods is not None and not methods.keys:
        section.report("methods", "a service needs at least one method", "write one, such as `Predict:`")
    by_name: dict[str, MessageDraft] = {}
    for message in shared:
        by_name.setdefault(message.name, message)
    written = frozenset(by_name)
    drafts = [_method(inner, name, by_name) for name, inner in methods.sections()] if methods else []
    for message in [*shared, *(body for method in drafts for body in (method.request, method.response))]:
        for item in message.fields:
            _well_known(item.field.type, by_name, problems)
    shared += [message for name, message in by_name.items() if name not in written]
    return Draft(
        package or "",
        section.text("service") or "PredictionService",
        section.choice("status", ("draft", "stable"), "draft"),
        section.text("doc", lines=True) or "",
        section,
        {
            *(enums.keys if enums else ()),
            *(messages.keys if messages else ()),
            *(name for file in imported for name in _declared(file)),
        },
        [
            *([_enum(inner, name, exact=exact) for name, inner in enums.sections()] if enums else ()),
            *(enum for file in imported for enum in _imported_enums(file)),
        ],
        shared,
        drafts,
        exact,
        protobuf_options.read(section, "file"),
        protobuf_options.read(section, "service", "service_options"),
        imported,
    )


def _import(section: Section, path: str) -> ImportDraft:
    section.allow(IMPORT_KEYS)
    package = section.text("package")
    if package is None and "package" not in section:
        section.report(None, "`package` is missing", 'write the package of the .proto; `package: ""` if it has none')
    return ImportDraft(path, package or "", protobuf_options.read(section, "file"), section)


def _declarations(file: ImportDraft, kind: str) -> Iterator[tuple[str, Section]]:
    """The full name of each message or enum of an imported .proto, with its section; `kind` is the key above them."""
    section = file.section.section(kind)
    if section is not None:
        yield from ((file.full_name(name), inner) for name, inner in section.sections())


def _declared(file: ImportDraft) -> Iterator[str]:
    """The full names below `messages` and `enums` of an imported .proto, also of what is too broken to be read."""
    for kind in ("enums", "messages"):
        node = file.section.node_of(kind)
        if isinstance(node, Mapping):
            yield from (file.full_name(key.text) for key, _ in node.entries)


def _imported_messages(file: ImportDraft) -> Iterator[MessageDraft]:
    for name, section in _declarations(file, "messages"):
        message = _message(section, name, MESSAGE_KEYS)
        message.imported = file
        yield message


def _imported_enums(file: ImportDraft) -> Iterator[EnumDraft]:
    for name, section in _declarations(file, "enums"):
        enum = _enum(section, name, exact=True)
        enum.imported = file
        yield enum


def _well_known(name: str, shared: dict[str, MessageDraft], problems: Problems) -> MessageDraft | None:
    """The message of protobuf's own of that name, which is among the shared ones from now on; None for another name."""
    known = shared.get(name)
    definition = well_known_types.definition(name) if known is None and name in well_known_types.FILES else None
    if definition is not None:
        known = _message(Section(definition, name, problems), name, MESSAGE_KEYS)
        shared[name] = known
    return known


def _method(section: Section, name: str, shared: dict[str, MessageDraft]) -> MethodDraft:
    meant = {"input": "write `request`", "output": "write `response`", "stream": "write `streaming: server`"}
    section.allow(METHOD_KEYS, meant)
    streaming = section.choice("streaming", ("none", "server", "client", "both"), "none")
    served = section.flag("served")
    request, response = (_body(section, kind, f"{name}{kind.capitalize()}", shared) for kind in ("request", "response"))
    doc = section.text("doc", lines=True) or ""
    options = protobuf_options.read(section, "method") if "options" in section else None
    return MethodDraft(
        name,
        section,
        request,
        response,
        doc,
        streaming in ("server", "both"),
        streaming in ("client", "both"),
        served is not False,
        options,
    )


def _body(method: Section, kind: str, standard: str, shared: dict[str, MessageDraft]) -> MessageDraft:
    """A request or a response: a message of its own, or one of the shared ones."""
    section = method.section(kind)
    if section is None:
        if kind not in method:
            method.report(None, f"`{kind}` is missing", f"write `{kind}: {{fields: []}}` for an empty one")
        return MessageDraft(standard, method, [], "", Reserved(), False)
    name = section.text("message") or standard
    known = shared.get(name) or _well_known(name, shared, section.problems)
    if "message" in section and "fields" not in section:
        if known is not None:
            others = [key for key in section.keys if key in MESSAGE_KEYS]
            for key in others:
                section.report(key, f"{key!r} belongs to the message {name!r}", "write it there")
            section.allow(BODY_KEYS)
            return known
        guess = nearest(name, shared)
        remedy = f"did you mean {guess!r}?" if guess else "define it below `messages`, or give its `fields` here"
        section.report("message", f"the message {shown(name)} does not exist", remedy)
    message = _message(section, name, BODY_KEYS)
    if "fields" not in section and "message" not in section:
        section.report(None, "`fields` is missing", "write `fields: []` for an empty one")
    return message


def _message(section: Section, name: str, keys: tuple[str, ...]) -> MessageDraft:
    section.allow(keys)
    fields = [
        field
        for index, node in enumerate(section.items("fields", "fields") or ())
        if (field := _field(section, node, index)) is not None
    ]
    reserved = _reserved(section, MAX_FIELD_NUMBER)
    implicit = section.choice("presence", ("explicit", "implicit"), "explicit") == "implicit"
    for item in fields:
        if implicit and "presence" not in item.section:
            set_attributes(item, implicit=True)
    doc = section.text("doc", lines=True) or ""
    options = protobuf_options.read(section, "message")
    return MessageDraft(name, section, fields, doc, reserved, implicit, options, section.text("after"))


def _named(parent: Section, list_key: str, node: Node, index: int, what: str) -> tuple[Section, str] | None:
    """An item of a list of things with names: its section, whose path ends in the name, and the name."""
    path = f"{parent.path}.{list_key}"
    if not isinstance(node, Mapping):
        message = f"a {what} must be a mapping, not {described(node)}"
        parent.problems.add(node.place, f"{path}[{index}]", message, f"write `{{name: ...}}` for each {what}")
        return None
    section = Section(node, f"{path}[{index}]", parent.problems)
    name = section.text("name")
    if not name:
        if "name" not in section:
            section.report(None, "`name` is missing", f"give the {what} a name")
        elif name is not None:
            section.report("name", "the name is empty", f"give the {what} a name")
        return None
    section.path = f"{path}.{name}"
    return section, name


def _field(parent: Section, node: Node, index: int) -> FieldDraft | None:
    named = _named(parent, "fields", node, index, "field")
    if named is None:
        return None
    section, name = named
    section.allow((row.name for row in FIELD_KEYS), _MEANT)
    key, kind = _types(section)
    values = {row.attribute: row.read(section, row.name) for row in FIELD_KEYS if row.read is not None}
    labelled = "presence" in section and not values["implicit"]
    field = Field(name, kind, key=key, labelled=labelled, where=section.where, **values)
    return FieldDraft(field, section, section.flag("required"))


def _types(section: Section) -> tuple[str | None, str]:
    """The type of a map's keys (None unless it is a map) and the type of the field; "" where it is wrong."""
    kind = section.text("type")
    if "key" not in section and "value" not in section:
        if "type" not in section:
            section.report(None, "`type` is missing", "give the field a type, `type: float64` for example")
        return None, ALIASES.get(kind or "", kind or "")
    if "type" in section:
        section.report("type", "a map has `key` and `value`, and no `type`", "take `type` out, or `key` and `value`")
    for missing in ("key", "value"):
        if missing not in section:
            section.report(None, f"a map needs `{missing}` too", f"write `{missing}: TYPE`")
    key, kind = section.text("key") or "", section.text("value") or ""
    return ALIASES.get(key, key), ALIASES.get(kind, kind)


def _enum(section: Section, name: str, *, exact: bool) -> EnumDraft:
    section.allow(ENUM_KEYS)
    values: list[ValueDraft] = []
    items = section.items("values", "values")
    for index, node in enumerate(items or ()):
        value = _enum_value(section, node, index, exact=exact)
        if value is not None:
            values.append(value)
    if items == () or (items is None and "values" not in section):
        section.report("values", "the enum has no value", "write `values: [first, second]`")
    doc = section.text("doc", lines=True) or ""
    reserved = _reserved(section, MAX_ENUM_NUMBER, MIN_ENUM_NUMBER if exact else 1)
    return EnumDraft(name, section, values, doc, reserved, exact, protobuf_options.read(section, "enum"))


def _enum_value(parent: Section, node: Node, index: int, *, exact: bool) -> ValueDraft | None:
    if isinstance(node, Scalar) and isinstance(node.value, str) and node.text.strip():
        place = Where(node.place.line, node.place.column, f"{parent.path}.values.{node.text}")
        return ValueDraft(EnumValue(node.text, where=place), node)
    if isinstance(node, Scalar) and node.value is not None and not isinstance(node.value, str):
        message = f"a value must be a name, not {described(node)}"
        parent.problems.add(node.place, f"{parent.path}.values[{index}]", message, f'write it in quotes: "{node.text}"')
        return None
    named = _named(parent, "values", node, index, "value")
    if named is None:
        return None
    section, name = named
    section.allow(VALUE_KEYS)
    if exact:
        number = section.integer("number", MIN_ENUM_NUMBER, MAX_ENUM_NUMBER)
    else:
        number = section.integer("number", 1, MAX_ENUM_NUMBER, "number from 1: 0 is UNSPECIFIED, which every enum has")
    doc, options = section.text("doc", lines=True) or "", protobuf_options.read(section, "value")
    renamed_from = section.text("renamed_from") or None
    return ValueDraft(EnumValue(name, number or 0, doc, renamed_from, options, section.where), section)


def _reserved(parent: Section, top: int, least: int = 1) -> Reserved:
    """`{numbers: [3, "5 to 9"], names: [colour]}`."""
    section = parent.section("reserved")
    if section is None:
        return Reserved()
    section.allow(RESERVED_KEYS, {"ranges": 'write `numbers: ["5 to 9"]`'})
    ranges: list[tuple[int, int]] = []
    places: list[Place] = []
    for item in section.items("numbers", 'numbers, such as [3, "5 to 9"]') or ():
        numbers = _range(item, top)
        if numbers is None or not least <= numbers[0] <= numbers[1] <= top:
            remedy = f'write an integer from {least} to {top}, or a range: "5 to 9"'
            section.problems.add(
                item.place, f"{section.path}.numbers", f"{described(item)} is not a number to reserve", remedy
            )
        else:
            ranges.append(numbers)
            places.append(item.place)
    _report_overlaps(section, ranges, places)
    names: dict[str, None] = {}
    for item in section.items("names", "names") or ():
        if not isinstance(item, Scalar) or not isinstance(item.value, str) or not item.text.isidentifier():
            section.problems.add(
                item.place, f"{section.path}.names", f"{described(item)} is not a name", "write a name"
            )
        elif item.text in names:
            message = f"{item.text!r} appears twice"
            section.problems.add(item.place, f"{section.path}.names", message, "keep one of the two")
        else:
            names[item.text] = None
    return Reserved(tuple(ranges), tuple(names))


def _report_overlaps(section: Section, ranges: list[tuple[int, int]], places: list[Place]) -> None:
    """Reports the later one of two that overlap."""
    order = sorted(range(len(ranges)), key=lambda index: (ranges[index], index))
    widest = order[0] if order else 0
    for index in order[1:]:
        if ranges[index][0] <= ranges[widest][1]:
            later = max(index, widest)
            low, high = ranges[later]
            message = f"{low if low == high else f'{low} to {high}'} is reserved already"
            section.problems.add(places[later], f"{section.path}.numbers", message, "keep one of the two")
        if ranges[index][1] > ranges[widest][1]:
            widest = index


def _range(node: Node, top: int) -> tuple[int, int] | None:
    if not isinstance(node, Scalar) or isinstance(node.value, bool):
        return None
    if isinstance(node.value, int):
        return node.value, node.value
    match = _RANGE.fullmatch(node.text.strip())
    if match is None:
        return None
    return int(match[1]), top if match[2] == "max" else int(match[2])
