"""A contract while it is read: the model's objects, each with the place in the text that it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from protoserve.platform.yaml_tree import Place, Scalar
from protoserve.schema import reserved_names
from protoserve.schema.mapping_reader import Section
from protoserve.schema.model import Contract, Enum, EnumValue, Field, Message, Method, Options, Reserved, Where
from protoserve.schema.types import SCALARS


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
class MessageDraft:
    name: str
    section: Section
    fields: list[FieldDraft]
    doc: str
    reserved: Reserved
    implicit: bool
    options: Options = ()
    after: str | None = None

    def oneofs(self) -> dict[str, list[FieldDraft]]:
        groups: dict[str, list[FieldDraft]] = {}
        for item in self.fields:
            if item.field.oneof is not None:
                groups.setdefault(item.field.oneof, []).append(item)
        return groups

    def finished(self) -> Message:
        fields = tuple(replace(item.field, type=_python(item.field.type)) for item in self.fields)
        name, where = reserved_names.python(self.name), self.section.where
        written = self.name if self.name != name else ""
        return Message(name, fields, self.doc, self.reserved, self.implicit, written, self.after, self.options, where)


@dataclass(slots=True)
class ValueDraft:
    """A value of an enum, written as a mapping or, in the short form, as its name alone."""

    value: EnumValue
    source: Section | Scalar


@dataclass(slots=True)
class EnumDraft:
    name: str
    section: Section
    values: list[ValueDraft]
    doc: str
    reserved: Reserved
    exact: bool
    options: Options

    def finished(self) -> Enum:
        values = tuple(item.value for item in self.values)
        name, where = reserved_names.python(self.name), self.section.where
        written = self.name if self.name != name else ""
        return Enum(name, values, self.doc, self.reserved, self.exact, written, self.options, where)


@dataclass(slots=True)
class MethodDraft:
    """`request` and `response` are shared with `Draft.messages` where the schema refers to one of those."""

    name: str
    section: Section
    request: MessageDraft
    response: MessageDraft
    doc: str
    streaming: bool
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

    def finished(self, file: str) -> Contract:
        """The contract; sound only when the rules reported nothing."""
        made = {id(message): message.finished() for message in self.all_messages()}
        methods = tuple(
            Method(m.name, made[id(m.request)], made[id(m.response)], m.doc, m.streaming, m.options, m.section.where)
            for m in self.methods
        )
        enums = tuple(enum.finished() for enum in self.enums)
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
            file,
            {key: Where(place.line, place.column, key) for key, place in self._places()},
        )

    def _places(self) -> Iterator[tuple[str, Place]]:
        """Of a text or a number its own place, of what has lines below it that of its key."""
        for key, written in self.section.keys.items():
            node = self.section.node_of(key)
            yield key, node.place if isinstance(node, Scalar) else written.place


def _python(kind: str) -> str:
    """The type of a field as Python names it."""
    return kind if kind in SCALARS else reserved_names.python(kind)


def set_attributes(draft: FieldDraft, **values: object) -> None:
    """Sets attributes of a draft's field."""
    draft.field = replace(draft.field, **values)  # type: ignore[arg-type]  # the names are those of Field
