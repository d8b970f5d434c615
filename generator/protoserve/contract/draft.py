"""A contract while it is read: the model's objects, each with the place in the text that it came from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

from protoserve.contract.model import Contract, Enum, EnumValue, Field, Message, Method, Reserved
from protoserve.contract.nodes import Scalar
from protoserve.contract.section import Section


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

    def oneofs(self) -> dict[str, list[FieldDraft]]:
        groups: dict[str, list[FieldDraft]] = {}
        for item in self.fields:
            if item.field.oneof is not None:
                groups.setdefault(item.field.oneof, []).append(item)
        return groups

    def finished(self) -> Message:
        fields = tuple(item.field for item in self.fields)
        return Message(self.name, fields, self.doc, self.reserved, self.implicit, self.section.where)


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

    def finished(self) -> Enum:
        values = tuple(item.value for item in self.values)
        return Enum(self.name, values, self.doc, self.reserved, self.section.where)


@dataclass(slots=True)
class MethodDraft:
    """`request` and `response` are shared with `Draft.messages` where the schema refers to one of those."""

    name: str
    section: Section
    request: MessageDraft
    response: MessageDraft
    doc: str
    streaming: bool


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
        """The contract; sound only when the checks found nothing."""
        made = {id(message): message.finished() for message in self.all_messages()}
        methods = tuple(
            Method(m.name, made[id(m.request)], made[id(m.response)], m.doc, m.streaming, m.section.where)
            for m in self.methods
        )
        enums = tuple(enum.finished() for enum in self.enums)
        shared = tuple(made[id(message)] for message in self.messages)
        return Contract(self.package, self.service, methods, enums, shared, self.status, self.doc, file)


def changed(draft: FieldDraft, **values: object) -> None:
    """Sets attributes of a draft's field."""
    draft.field = replace(draft.field, **values)  # type: ignore[arg-type]  # the names are those of Field
