"""Writes a descriptor as the text of a schema, in the order of the .proto, with comments as `doc`."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FieldDescriptorProto
from google.protobuf.message import Message

from protoserve.intake.proto.source import Source, Steps
from protoserve.platform.plain_text import in_json, one_line
from protoserve.schema import reserved_names, well_known_types
from protoserve.schema.protobuf_options import OPTIONS

WIDTH = 120
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_NOT_TEXT = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}
_FLOATS = {"double": "float64", "float": "float32"}
_TOP = {"message": 2**29 - 1, "enum": 2**31 - 1}

# A key of the schema with its value, written out.
Pair = tuple[str, str]


# For each path of a schema: the file, the place and the name of what it is in the .proto.
Parts = dict[str, tuple[Source, Steps, str]]


class Writer:
    """Writes one schema, in which the methods `served` are served. `text` fills `parts`."""

    def __init__(self, source: Source, served: Collection[str]) -> None:
        self.source = source
        self._served = served
        self.parts: Parts = {}
        schema_type = partial(_schema_type, source.descriptor.package, frozenset(source.declared()))
        self._own = _Declarations(source, schema_type, "", self.parts)
        self._imported = [
            _Declarations(item, schema_type, f"imports.{item.path}.", self.parts) for item in source.imports
        ]
        self._type = schema_type

    def text(self, name: str) -> str:
        """The text of the schema; `name` is the name of the .proto, for a comment."""
        return "".join(f"{line}\n" for line in self._lines(name))

    def _lines(self, name: str) -> Iterator[str]:
        file, service = self.source.descriptor, self.source.descriptor.service[0]
        self.parts |= {
            "package": (self.source, (2,), "package"),
            "service": (self.source, (6, 0, 1), service.name),
        }
        origin = f"# Taken over from {one_line(name)}."
        yield f"{origin} What its clients rely on is kept: names, numbers, types, presence, options."
        yield f"package: {_text(file.package)}"
        yield "status: draft"
        yield f"service: {_text(service.name)}"
        yield "names: exact"
        yield from _doc(self.source.comment((6, 0)), "")
        yield from _option_lines("options", file.options, "file")
        yield from _option_lines("service_options", service.options, "service")
        if self._imported:
            yield "imports:"
        for declarations in self._imported:
            yield from (f"  {line}".rstrip() for line in declarations.section())
        yield from self._own.lines()
        yield "methods:"
        for index, method in enumerate(service.method):
            steps = (6, 0, 2, index)
            self.parts[f"methods.{method.name}"] = self.source, steps, f"{service.name}.{method.name}"
            yield f"  {_text(method.name)}:"
            yield from _doc(self.source.comment(steps), "    ")
            if method.name not in self._served:
                yield "    served: false"
            if method.client_streaming:
                yield f"    streaming: {'both' if method.server_streaming else 'client'}"
            elif method.server_streaming:
                yield "    streaming: server"
            yield f"    request: {{message: {_text(self._type(method.input_type))}}}"
            yield f"    response: {{message: {_text(self._type(method.output_type))}}}"
            if method.HasField("options") and not _options(method.options, "method"):
                yield "    options: {}"
            yield from _flow_options(method.options, "method", "    ")


class _Declarations:
    """The enums and messages of one file, which is at `prefix` in the schema.

    `schema_type` gives a type of the .proto as the schema calls it.
    """

    def __init__(self, source: Source, schema_type: Callable[[str], str], prefix: str, parts: Parts) -> None:
        self.source = source
        self.parts = parts
        self._type = schema_type
        self._prefix = prefix
        self._enums: list[tuple[str, EnumDescriptorProto, Steps]] = []
        self._messages: list[tuple[str, DescriptorProto, Steps, str]] = []
        file = source.descriptor
        for index, enum in enumerate(file.enum_type):
            self._enums.append((enum.name, enum, (5, index)))
        for index, message in enumerate(file.message_type):
            self._collect(message, message.name, (4, index), "")

    def section(self) -> Iterator[str]:
        """An imported file: its path, its package and what it declares."""
        self.parts[self._prefix.rstrip(".")] = self.source, (), f"import {self.source.path}"
        yield f"{_text(self.source.path)}:"
        yield f"  package: {_text(self.source.descriptor.package)}"
        for line in (*_option_lines("options", self.source.descriptor.options, "file"), *self.lines()):
            yield f"  {line}"

    def lines(self) -> Iterator[str]:
        """The keys `enums` and `messages`, where there are some."""
        if self._enums:
            yield "enums:"
            for full, enum, steps in self._enums:
                yield from self._enum(full, enum, steps)
        if self._messages:
            yield "messages:"
            for full, message, steps, after in self._messages:
                yield from self._message(full, message, steps, after)

    def _collect(self, message: DescriptorProto, name: str, steps: Steps, after: str) -> None:
        """Collects a message, then its nested messages and enums."""
        self._messages.append((name, message, steps, after))
        for index, enum in enumerate(message.enum_type):
            self._enums.append((f"{name}.{enum.name}", enum, (*steps, 4, index)))
        entries = {f".{field.type_name.rpartition('.')[2]}": field.name for field in message.field}
        behind = ""
        for index, inner in enumerate(message.nested_type):
            if inner.options.map_entry:
                behind = entries[f".{inner.name}"]
            else:
                self._collect(inner, f"{name}.{inner.name}", (*steps, 3, index), behind)

    def _enum(self, full: str, enum: EnumDescriptorProto, steps: Steps) -> Iterator[str]:
        path = f"{self._prefix}enums.{full}"
        self.parts[path] = self.source, steps, full
        yield f"  {_text(full)}:"
        yield from _doc(self.source.comment(steps), "    ")
        yield from _flow_options(enum.options, "enum", "    ")
        yield "    values:"
        for index, value in enumerate(enum.value):
            place = (*steps, 2, index)
            self.parts[f"{path}.values.{value.name}"] = self.source, place, f"{full}.{value.name}"
            pairs = [("name", _text(value.name)), ("number", str(value.number))]
            pairs += _given(value.options, "value")
            yield from _item(pairs, self.source.comment(place), "      ")
        ranges = [(item.start, item.end) for item in enum.reserved_range]
        yield from _reserved(ranges, enum.reserved_name, _TOP["enum"])

    def _message(self, full: str, message: DescriptorProto, steps: Steps, after: str) -> Iterator[str]:
        path = f"{self._prefix}messages.{full}"
        self.parts[path] = self.source, steps, full
        yield f"  {_text(full)}:"
        yield from _doc(self.source.comment(steps), "    ")
        if after:
            yield f"    after: {_text(after)}"
        implicit = any(_can_be_optional(field) and not field.proto3_optional for field in message.field)
        if implicit:
            yield "    presence: implicit"
        yield from _flow_options(message.options, "message", "    ")
        yield f"    fields:{'' if message.field else ' []'}"
        for index, field in enumerate(message.field):
            place = (*steps, 2, index)
            self.parts[f"{path}.fields.{field.name}"] = self.source, place, f"{full}.{field.name}"
            pairs = self._field(message, field, implicit=implicit)
            yield from _item(pairs, self.source.comment(place), "      ")
        ranges = [(item.start, item.end - 1) for item in message.reserved_range]
        yield from _reserved(ranges, message.reserved_name, _TOP["message"])

    def _field(self, message: DescriptorProto, field: FieldDescriptorProto, *, implicit: bool) -> list[Pair]:
        pairs = [("name", _text(field.name)), ("number", str(field.number))]
        entry = _entry(message, field)
        kind = field if entry is None else entry.field[1]
        if entry is None:
            pairs.append(("type", _text(self._kind(field))))
        else:
            pairs += [("key", self._kind(entry.field[0])), ("value", _text(self._kind(kind)))]
        many = field.label == FieldDescriptorProto.LABEL_REPEATED
        in_oneof = field.HasField("oneof_index") and not field.proto3_optional
        if many and entry is None:
            pairs.append(("repeated", "true"))
        if in_oneof:
            pairs.append(("oneof", _text(message.oneof_decl[field.oneof_index].name)))
        if field.proto3_optional and (implicit or not _can_be_optional(field)):
            pairs.append(("presence", "explicit"))
        if not many and (in_oneof or field.proto3_optional or not _can_be_optional(field)):
            pairs.append(("required", "false"))
        if kind.type in (FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_FLOAT):
            pairs.append(("allow_nan", "true"))
        if field.json_name != reserved_names.json_name(field.name):
            pairs.append(("json_name", _text(field.json_name)))
        if field.options.HasField("deprecated") and field.options.deprecated:
            pairs.append(("deprecated", "true"))
        return pairs + _given(field.options, "field")

    def _kind(self, field: FieldDescriptorProto) -> str:
        if field.type_name:
            return self._type(field.type_name)
        name = FieldDescriptorProto.Type.Name(field.type).removeprefix("TYPE_").lower()
        return _FLOATS.get(name, name)


def _schema_type(package: str, own_names: Collection[str], name: str) -> str:
    """A type of the .proto as the schema calls it: in full, but from the package on where the file itself has it."""
    full = name.lstrip(".")
    if full in well_known_types.SCALARS:
        return well_known_types.SCALARS[full]
    return full.removeprefix(f"{package}.") if package and name in own_names else full


def _can_be_optional(field: FieldDescriptorProto) -> bool:
    """Whether `optional` makes a difference to the field: a single number, text or enum, outside of any oneof."""
    single = field.label != FieldDescriptorProto.LABEL_REPEATED and field.type != FieldDescriptorProto.TYPE_MESSAGE
    return single and (field.proto3_optional or not field.HasField("oneof_index"))


def _entry(message: DescriptorProto, field: FieldDescriptorProto) -> DescriptorProto | None:
    """The message that protoc made for the field, which is a map; None for another field."""
    if field.type != FieldDescriptorProto.TYPE_MESSAGE or field.label != FieldDescriptorProto.LABEL_REPEATED:
        return None
    name = field.type_name.rpartition(".")[2]
    return next((item for item in message.nested_type if item.name == name and item.options.map_entry), None)


def _options(given: Message, level: str) -> list[Pair]:
    pairs = []
    for descriptor, value in given.ListFields():
        if descriptor.name in OPTIONS[level]:
            if descriptor.enum_type is not None:
                value = descriptor.enum_type.values_by_number[value].name
            pairs.append((descriptor.name, str(value).lower() if isinstance(value, bool) else _text(value)))
    return sorted(pairs)


def _option_lines(key: str, given: Message, level: str) -> Iterator[str]:
    pairs = _options(given, level)
    if pairs:
        yield f"{key}:"
        yield from (f"  {name}: {value}" for name, value in pairs)


def _given(given: Message, level: str) -> list[Pair]:
    pairs = _options(given, level)
    return [("options", f"{{{', '.join(f'{key}: {value}' for key, value in pairs)}}}")] if pairs else []


def _flow_options(given: Message, level: str, indent: str) -> Iterator[str]:
    yield from (f"{indent}{key}: {value}" for key, value in _given(given, level))


def _reserved(ranges: list[tuple[int, int]], reserved: Iterable[str], top: int) -> Iterator[str]:
    spans = []
    for low, high in ranges:
        last = "max" if high == top else str(high)
        spans.append(str(low) if low == high else f'"{low} to {last}"')
    parts = [f"numbers: [{', '.join(spans)}]"] if spans else []
    kept = [_text(name) for name in reserved]
    parts += [f"names: [{', '.join(kept)}]"] if kept else []
    if parts:
        yield f"    reserved: {{{', '.join(parts)}}}"


def _item(pairs: list[Pair], doc: str, indent: str) -> Iterator[str]:
    """A field or a value: on one line where that holds it, else a key a line."""
    plain = ", ".join(f"{key}: {value}" for key, value in [*pairs, *([("doc", _text(doc))] if doc else [])])
    line = f"{indent}- {{{plain}}}"
    if "\n" not in doc and len(line) <= WIDTH:
        yield line
        return
    (key, value), *others = pairs
    yield f"{indent}- {key}: {value}"
    yield from (f"{indent}  {key}: {value}" for key, value in others)
    yield from _doc(doc, f"{indent}  ")


def _doc(doc: str, indent: str) -> Iterator[str]:
    if not doc:
        return
    if "\n" not in doc:
        yield f"{indent}doc: {_text(doc)}"
        return
    yield f"{indent}doc: |-"
    yield from (f"{indent}  {line}".rstrip() for line in doc.splitlines())


def _text(given: str | bytes) -> str:
    """A text in YAML, in quotes where it needs some; of bytes, which are refused, something that can be read."""
    text = given if isinstance(given, str) else given.decode(errors="replace")
    if _PLAIN.fullmatch(text) and text.lower() not in _NOT_TEXT:
        return text
    return in_json(text)
