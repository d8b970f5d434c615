"""What a .proto can have and a schema cannot: each part with its name, its place and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
)
from google.protobuf.message import Message

from protoserve.intake.proto.source import Source, Steps
from protoserve.schema import well_known_types
from protoserve.schema.errors import Problem
from protoserve.schema.protobuf_options import OPTIONS

_KNOWN_TYPES = {f".{name}" for name in (*well_known_types.FILES, *well_known_types.SCALARS)}
# Packages of services that a generated server answers besides those of its contract.
_SERVED_ANYWAY = {"grpc.health": "health service", "grpc.reflection": "reflection service"}
# Options that a schema expresses with a key of its own, or that protoc sets itself.
_ELSEWHERE = {"message": ("map_entry",), "field": ("deprecated",)}


def refusals(source: Source) -> list[Problem]:
    """Everything in a .proto, and in the files that it uses, that a schema cannot express."""
    own = [*_syntax(source), *_package(source), *_file(source), *_services(source)]
    imported = [problem for item in source.imports for problem in (*_syntax(item), *_file(item))]
    return [*source.missing, *own, *imported]


def _syntax(source: Source) -> Iterator[Problem]:
    syntax = source.descriptor.syntax
    if syntax == "editions":
        yield source.problem((12,), "edition", "an edition is not supported", 'write it as `syntax = "proto3";`')
    elif syntax != "proto3":
        remedy = 'write it as `syntax = "proto3";`, with `optional` where presence matters'
        yield source.problem((12,), "syntax", "proto2 is not supported: its presence and defaults differ", remedy)


def _package(source: Source) -> Iterator[Problem]:
    package = source.descriptor.package
    for known, what in _SERVED_ANYWAY.items():
        if package == known or package.startswith(f"{known}."):
            remedy = "give the .proto of the service that the model answers"
            yield source.problem((2,), "package", f"{package} is gRPC's own {what}: every server here has it", remedy)
    if package == "google.protobuf":
        remedy = "rename the package, or import protobuf's own file where it is used"
        yield source.problem((2,), "package", f"{package} is protobuf's own package", remedy)


def _file(source: Source) -> Iterator[Problem]:
    file = source.descriptor
    yield from _options(source, file.options, "file", (8,), "options")
    yield from _extensions(source, len(file.extension), (7,), "")
    for index, message in enumerate(file.message_type):
        yield from _message(source, message, (4, index), message.name)
    for index, enum in enumerate(file.enum_type):
        yield from _enum(source, enum, (5, index), enum.name)


def _extensions(source: Source, count: int, steps: Steps, path: str) -> Iterator[Problem]:
    for index in range(count):
        yield source.problem(
            (*steps, index), path, "an extension is not supported", "write its field into the message itself"
        )


def _message(source: Source, message: DescriptorProto, steps: Steps, path: str) -> Iterator[Problem]:
    yield from _options(source, message.options, "message", (*steps, 7), path)
    yield from _extensions(source, len(message.extension), (*steps, 6), path)
    for index, field in enumerate(message.field):
        yield from _field(source, field, (*steps, 2, index), f"{path}.{field.name}")
    for index, oneof in enumerate(message.oneof_decl):
        yield from _options(source, oneof.options, "oneof", (*steps, 8, index), f"{path}.{oneof.name}")
    for index, inner in enumerate(message.nested_type):
        if not inner.options.map_entry:
            yield from _message(source, inner, (*steps, 3, index), f"{path}.{inner.name}")
    for index, enum in enumerate(message.enum_type):
        yield from _enum(source, enum, (*steps, 4, index), f"{path}.{enum.name}")


def _field(source: Source, field: FieldDescriptorProto, steps: Steps, path: str) -> Iterator[Problem]:
    yield from _options(source, field.options, "field", (*steps, 8), path)
    if isinstance(field.json_name, bytes):
        yield _not_text(source, (*steps, 10), path, "json_name")
    known = not field.type_name.startswith(".google.protobuf.") or field.type_name in _KNOWN_TYPES
    if not known:
        name = field.type_name.lstrip(".")
        supported = ", ".join(sorted(item.rpartition(".")[2] for item in _KNOWN_TYPES))
        remedy = f"use one of these types of protobuf's own: {supported}"
        yield source.problem((*steps, 6), path, f"{name} is not supported", remedy)


def _enum(source: Source, enum: EnumDescriptorProto, steps: Steps, path: str) -> Iterator[Problem]:
    yield from _options(source, enum.options, "enum", (*steps, 3), path)
    for index, value in enumerate(enum.value):
        yield from _options(source, value.options, "value", (*steps, 2, index, 3), f"{path}.{value.name}")


def _services(source: Source) -> Iterator[Problem]:
    services = source.descriptor.service
    if not services:
        yield Problem(1, 1, "", "the file has no service", "give the .proto that has the service with its messages")
        return
    for index, other in enumerate(services):
        if index:
            message = f"a second service beside {services[0].name}: a project serves one"
            yield source.problem((6, index), other.name, message, "put it into a .proto and a project of its own")
    service = services[0]
    yield from _options(source, service.options, "service", (6, 0, 3), service.name)
    if not service.method:
        yield source.problem((6, 0), service.name, "the service has no method", "give it one")
    for index, method in enumerate(service.method):
        steps: Steps = (6, 0, 2, index)
        path = f"{service.name}.{method.name}"
        yield from _options(source, method.options, "method", (*steps, 4), path)
        for number, name in ((2, method.input_type), (3, method.output_type)):
            if name.startswith(".google.protobuf.") and name.lstrip(".") not in well_known_types.FILES:
                remedy = "put it into a message of your own"
                yield source.problem((*steps, number), path, f"{name.lstrip('.')} as a message of a method", remedy)


def _options(source: Source, given: Message, level: str, steps: Steps, path: str) -> Iterator[Problem]:
    """Options that a schema cannot express, such as custom ones."""
    known = {*OPTIONS.get(level, ()), *_ELSEWHERE.get(level, ())}
    for descriptor, value in given.ListFields():
        place = (*steps, descriptor.number)
        if descriptor.name not in known:
            yield source.problem(place, path, f"the option {descriptor.name} is not supported", "remove it")
        elif isinstance(value, bytes):
            yield _not_text(source, place, path, descriptor.name)


def _not_text(source: Source, place: Steps, path: str, name: str) -> Problem:
    """A value that protoc takes for a text; Python has it as bytes, since they are not UTF-8."""
    return source.problem(place, path, f"the value of {name} is not UTF-8", "write it without escapes of bytes")
