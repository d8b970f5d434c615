"""What the schema says of a field, in words: for comments in the .proto and docstrings in Python."""

from __future__ import annotations

from protoserve.platform.plain_text import escaped, in_json
from protoserve.runtime.bounds import quantity, span
from protoserve.schema.model import Contract, Enum, EnumValue, Field, Message, Method


def summary(doc: str, name: str) -> str:
    """The author's words, or the name in words where there are none; always a sentence."""
    text = doc.strip() or name.replace("_", " ").strip() or name
    text = text[0].upper() + text[1:]
    return text if text.endswith((".", "!", "?", ":")) else f"{text}."


def of_message(contract: Contract, message: Message) -> str:
    """A message in words: the author's, or what it is for, with every method that has it."""
    takers, givers = contract.takers(message), contract.givers(message)
    roles = [f"request of {_listed(takers)}"] if takers else []
    roles += [f"response of {_listed(givers)}"] if givers else []
    name = message.in_proto.rpartition(".")[2]
    otherwise = f"{name}, a part of other messages" if contract.is_used_type(message.name) else name
    return summary(message.doc, " and ".join(roles) or otherwise)


def of_enum(enum: Enum) -> str:
    """An enum in words: the author's, or what it is."""
    return summary(enum.doc, f"The values of {enum.name}")


def of_value(value: EnumValue) -> str:
    """A value of an enum in words: the author's, or its name."""
    return summary(value.doc, value.name)


def of_method(method: Method) -> str:
    """A method in words: the author's, or what it does; and that it is not served."""
    requests = "a stream of requests" if method.client_streaming else "one request"
    answers = " with a stream of replies" if method.streaming else ""
    said = summary(method.doc, f"{method.name} answers {requests}{answers}")
    return said if method.served else f"{said}\nNot served: this server answers UNIMPLEMENTED."


def _listed(methods: list[str]) -> str:
    *first, last = methods
    return "several methods" if len(methods) > 3 else f"{', '.join(first)} and {last}" if first else last


def facts(field: Field) -> list[str]:
    """Unit, limits, shape and the rest, a sentence each, in a fixed order."""
    said = []
    if field.unit:
        said.append(f"Unit: {field.unit}.")
    if field.media_type:
        said.append(f"Media type: {field.media_type}.")
    if field.shape is not None:
        said.append(f"Shape: [{', '.join(map(str, field.shape))}], row-major, elements {field.type}.")
        if not field.dynamic and field.scalar and field.scalar.element_bytes > 1:
            said.append("Little-endian.")
    limits = span(field.minimum, field.maximum, field.type)
    if limits:
        said.append(f"{limits[0].upper()}{limits[1:]}.")
    length = quantity(field.min_length, field.max_length, "bytes" if field.type == "bytes" else "characters")
    if length:
        said.append(f"Length: {length}.")
    items = span(field.min_items, field.max_items)
    if items:
        said.append(f"{'Elements in all' if field.dynamic else 'Items'}: {items}.")
    if field.pattern is not None:
        said.append(f"Pattern: `{escaped(field.pattern)}`.")
    if field.scalar and field.scalar.kind.value == "float" and field.allow_nan:
        said.append("NaN and infinities are allowed.")
    if field.source:
        said.append(f"Source: {field.source}.")
    if field.default is not None:
        said.append(f"Default: {in_json(field.default)}.")
    elif field.oneof is None and not field.required and not field.repeated and not field.is_map:
        said.append("Optional.")
    return said


def docstring(field: Field) -> str:
    """The author's words and the facts, for Python; empty where that would only repeat the field's name."""
    said = [summary(field.doc, field.name)] if field.doc.strip() else []
    said += [f"`{field.name}` in the .proto."] * (field.attribute != field.name)
    return " ".join(" ".join([*said, *facts(field)]).split())


def paragraph(field: Field) -> str:
    """Summary and facts in lines, for a comment."""
    head = summary(field.doc, field.name).splitlines()
    tail = " ".join(" ".join(facts(field)).split())
    return "\n".join([*(line.strip() for line in head), *([tail] if tail else [])])
