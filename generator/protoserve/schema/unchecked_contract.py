"""A contract while it is read: the model's objects, each with the place in the text that it came from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from protoserve.platform.yaml_tree import Place, Scalar
from protoserve.schema import reserved_names
from protoserve.schema.mapping_reader import Section
from protoserve.schema.model import (
    Contract,
    Enum,
    EnumValue,
    Field,
    ImportedFile,
    Message,
    Method,
    Options,
    Reserved,
    Where,
)


@dataclass(slots=True)
class FieldDraft:
    """`required` is what the text says, None where it says nothing."""

    field: Field
    section: Section
    required: bool | None

    @property
    def name(self) -> str:
        return self.field.name


@dataclass(slots=True)
class ImportDraft:
    """A .proto that the schema imports, without what it declares."""

    path: str
    package: str
    options: Options
    section: Section

    def full_name(self, name: str) -> str:
        return f"{self.package}.{name}".lstrip(".")


@dataclass(slots=True)
class MessageDraft:
    """`name` is that by which fields refer to it: the full name for a message of an imported .proto."""

    name: str
    section: Section
    fields: list[FieldDraft]
    doc: str
    reserved: Reserved
    implicit: bool
    options: Options = ()
    after: str | None = None
    imported: ImportDraft | None = None

    @property
    def in_proto(self) -> str:
        """The name from the package on."""
        return self.name if self.imported is None else _without_package(self.name, self.imported)

    def oneofs(self) -> dict[str, list[FieldDraft]]:
        groups: dict[str, list[FieldDraft]] = {}
        for item in self.fields:
            if item.field.oneof is not None:
                groups.setdefault(item.field.oneof, []).append(item)
        return groups

    def finished(self, python_names: dict[str, str], types: frozenset[str]) -> Message:
        """The message, with the names that types have in Python; `types` are all of those."""
        attributes = reserved_names.field_attributes((item.name for item in self.fields), types)
        fields = tuple(
            replace(
                item.field,
                type=python_names.get(item.field.type, item.field.type),
                python_name="" if attributes[item.name] == item.name else attributes[item.name],
            )
            for item in self.fields
        )
        name = python_names[self.name]
        return Message(
            name,
            fields,
            self.doc,
            self.reserved,
            self.implicit,
            self.in_proto if self.in_proto != name else "",
            self.after,
            self.options,
            self.section.where,
            "" if self.imported is None else self.imported.path,
        )


@dataclass(slots=True)
class ValueDraft:
    """A value of an enum, written as a mapping or, in the short form, as its name alone."""

    value: EnumValue
    source: Section | Scalar


@dataclass(slots=True)
class EnumDraft:
    """`name` is as in a message."""

    name: str
    section: Section
    values: list[ValueDraft]
    doc: str
    reserved: Reserved
    exact: bool
    options: Options
    imported: ImportDraft | None = None

    @property
    def in_proto(self) -> str:
        """The name from the package on."""
        return self.name if self.imported is None else _without_package(self.name, self.imported)

    def finished(self, python_names: dict[str, str]) -> Enum:
        """The enum, with the name that it has in Python."""
        name = python_names[self.name]
        return Enum(
            name,
            tuple(item.value for item in self.values),
            self.doc,
            self.reserved,
            self.exact,
            self.in_proto if self.in_proto != name else "",
            self.options,
            self.section.where,
            "" if self.imported is None else self.imported.path,
        )


@dataclass(slots=True)
class MethodDraft:
    """`request` and `response` are shared with `Draft.messages` where the schema refers to one of those."""

    name: str
    section: Section
    request: MessageDraft
    response: MessageDraft
    doc: str
    streaming: bool
    client_streaming: bool
    served: bool
    options: Options | None


@dataclass
class Draft:
    """`declared` are the names below `enums` and `messages`, of which some may be too broken to be read."""

    package: str
    service: str
    status: str
    doc: str
    section: Section
    declared: set[str]
    enums: list[EnumDraft]
    messages: list[MessageDraft]
    methods: list[MethodDraft]
    exact: bool
    options: Options
    service_options: Options
    imports: list[ImportDraft]

    def all_messages(self) -> Iterator[MessageDraft]:
        """Every message that the text writes, once; two of one name are two."""
        seen: set[int] = set()
        own = (message for method in self.methods for message in (method.request, method.response))
        for message in (*own, *self.messages):
            if id(message) not in seen:
                seen.add(id(message))
                yield message

    @cached_property
    def message_names(self) -> dict[str, MessageDraft]:
        return {message.name: message for message in self.all_messages()}

    @cached_property
    def enum_names(self) -> dict[str, EnumDraft]:
        return {enum.name: enum for enum in self.enums}

    @cached_property
    def python_names(self) -> dict[str, str]:
        """The class of each message and enum in Python, by the name that fields refer to it by."""
        kinds: list[MessageDraft | EnumDraft] = [*self.all_messages(), *self.enums]
        names = {kind.name: reserved_names.python(kind.name) for kind in kinds if kind.imported is None}
        taken = {reserved_names.class_form(name) for name in names.values()}
        imported = [kind for kind in kinds if kind.imported is not None]
        shared = Counter(reserved_names.class_form(reserved_names.python(kind.in_proto)) for kind in imported)
        taken |= {form for form, count in shared.items() if count > 1}
        for kind in sorted(imported, key=lambda item: item.name):
            names[kind.name] = reserved_names.distinct_python(kind.name, kind.in_proto, taken)
            taken.add(reserved_names.class_form(names[kind.name]))
        return names

    def finished(self, file: str) -> Contract:
        """The contract; sound only when the rules reported nothing."""
        types = frozenset(self.python_names.values())
        made = {id(message): message.finished(self.python_names, types) for message in self.all_messages()}
        methods = tuple(
            Method(
                item.name,
                made[id(item.request)],
                made[id(item.response)],
                item.doc,
                item.streaming,
                item.options,
                item.section.where,
                item.client_streaming,
                item.served,
            )
            for item in self.methods
        )
        enums = tuple(enum.finished(self.python_names) for enum in self.enums)
        imports = tuple(
            ImportedFile(item.path, item.package, item.options, item.section.where) for item in self.imports
        )
        shared = tuple(made[id(message)] for message in self.messages)
        return Contract(
            self.package,
            self.service,
            methods,
            enums,
            shared,
            self.status,
            self.doc,
            self.exact,
            self.options,
            self.service_options,
            imports,
            file,
            {key: Where(place.line, place.column, key) for key, place in self._places()},
        )

    def _places(self) -> Iterator[tuple[str, Place]]:
        """Of a text or a number its own place, of what has lines below it that of its key."""
        for key, written in self.section.keys.items():
            node = self.section.node_of(key)
            yield key, node.place if isinstance(node, Scalar) else written.place


def _without_package(name: str, imported: ImportDraft) -> str:
    return name.removeprefix(f"{imported.package}.") if imported.package else name


def set_attributes(draft: FieldDraft, **values: object) -> None:
    """Sets attributes of a draft's field."""
    draft.field = replace(draft.field, **values)  # type: ignore[arg-type]  # the names are those of Field
