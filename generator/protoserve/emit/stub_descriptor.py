"""What protoc's plugins for Python make stubs of, where Python could not read what they make of the .proto itself.

They write a name that is a keyword as it stands, and a comment as a docstring without escaping anything. So the stubs
are made of a descriptor in which an underscore follows such a name and comments are harmless, and the module of
messages, which is made of the .proto, gets a second name for each. What goes over the wire keeps its name. Fields need
nothing: protoc leaves them out of the stubs.
"""

from __future__ import annotations

import keyword
from collections.abc import Iterator
from dataclasses import dataclass, field

from google.protobuf.descriptor_pb2 import DescriptorProto, EnumDescriptorProto, FileDescriptorProto, FileDescriptorSet

from protoserve.schema import reserved_names

# The plugins write no comments of these, which are most of a file's.
_NOT_WRITTEN = (FileDescriptorProto.MESSAGE_TYPE_FIELD_NUMBER, FileDescriptorProto.ENUM_TYPE_FIELD_NUMBER)


@dataclass
class StubDescriptor:
    """A descriptor set without such names and comments. `types` maps full names of messages and enums that changed.

    `aliases` are lines of Python for the module of messages, and `literals` pairs of a literal in the module of gRPC
    stubs and the one that has the name on the wire; both by the name of the .proto.
    """

    files: FileDescriptorSet
    types: dict[str, str] = field(default_factory=dict)
    aliases: dict[str, list[str]] = field(default_factory=dict)
    literals: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def readable(files: FileDescriptorSet) -> StubDescriptor | None:
    """The descriptor set with names and comments that Python can read; None where it has no others."""
    made = StubDescriptor(FileDescriptorSet.FromString(files.SerializeToString()))
    escaped = False
    for file in made.files.file:
        escaped |= _escape_comments(file)
        made.aliases[file.name] = list(_rename_types(made, file))
        made.literals[file.name] = list(_rename_services(file))
    if not any([escaped, *made.aliases.values(), *made.literals.values()]):
        return None
    for file in made.files.file:
        for message in file.message_type:
            _rename_references(made, message)
        for service in file.service:
            for method in service.method:
                method.input_type = made.types.get(method.input_type, method.input_type)
                method.output_type = made.types.get(method.output_type, method.output_type)
    return made


def _escape_comments(file: FileDescriptorProto) -> bool:
    """Escapes the comments that become docstrings; whether one needed it."""
    before = file.source_code_info.SerializeToString()
    for location in file.source_code_info.location:
        if location.path and location.path[0] in _NOT_WRITTEN:
            continue
        location.leading_comments = _in_docstring(location.leading_comments)
        location.trailing_comments = _in_docstring(location.trailing_comments)
        location.leading_detached_comments[:] = map(_in_docstring, location.leading_detached_comments)
    return file.source_code_info.SerializeToString() != before


def _in_docstring(comment: str) -> str:
    """The comment without what ends a docstring, or is an escape in it."""
    return comment.replace("\\", "\\\\").replace('"', "'")


def _rename_types(made: StubDescriptor, file: FileDescriptorProto) -> Iterator[str]:
    """Renames the messages, enums and values of a file; yields the lines that give the module their second names."""
    root = f".{file.package}" if file.package else ""
    for message in file.message_type:
        yield from _rename_message(made, message, root, root, "")
    for enum in file.enum_type:
        yield from _rename_enum(made, enum, root, root, "")


def _rename_message(made: StubDescriptor, message: DescriptorProto, old: str, new: str, owner: str) -> Iterator[str]:
    """`old` and `new` are the full names of what the message is in; `owner` is the expression for it in Python."""
    name, old = message.name, f"{old}.{message.name}"
    message.name = reserved_names.stub(name)
    new = f"{new}.{message.name}"
    if message.name != name:
        yield _alias(owner, name)
    made.types[old] = new
    inner = f"{owner}.{message.name}" if owner else f"_globals['{message.name}']"
    for nested in message.nested_type:
        yield from _rename_message(made, nested, old, new, inner)
    for enum in message.enum_type:
        yield from _rename_enum(made, enum, old, new, inner)


def _rename_enum(made: StubDescriptor, enum: EnumDescriptorProto, old: str, new: str, owner: str) -> Iterator[str]:
    name, old = enum.name, f"{old}.{enum.name}"
    enum.name = reserved_names.stub(name)
    if enum.name != name:
        yield _alias(owner, name)
    made.types[old] = f"{new}.{enum.name}"
    inner = f"{owner}.{enum.name}" if owner else f"_globals['{enum.name}']"
    for value in enum.value:
        if keyword.iskeyword(value.name):
            yield _alias(owner, value.name)
            yield _alias(inner, value.name)
            value.name = reserved_names.stub(value.name)


def _alias(owner: str, name: str) -> str:
    if owner:
        return f"setattr({owner}, '{reserved_names.stub(name)}', getattr({owner}, '{name}'))"
    return f"_globals['{reserved_names.stub(name)}'] = _globals['{name}']"


def _rename_services(file: FileDescriptorProto) -> Iterator[tuple[str, str]]:
    """Renames the services and methods of a file; yields the literals that hold their names on the wire."""
    for service in file.service:
        old = f"{file.package}.{service.name}".lstrip(".")
        if keyword.iskeyword(service.name):
            yield f"'{old}_'", f"'{old}'"
            yield f"'/{old}_/", f"'/{old}/"
            service.name = reserved_names.stub(service.name)
        for method in service.method:
            if keyword.iskeyword(method.name):
                yield f"'/{old}/{method.name}_'", f"'/{old}/{method.name}'"
                yield f"'{method.name}_': grpc.", f"'{method.name}': grpc."
                method.name = reserved_names.stub(method.name)


def _rename_references(made: StubDescriptor, message: DescriptorProto) -> None:
    for item in message.field:
        if item.type_name:
            item.type_name = made.types.get(item.type_name, item.type_name)
    for nested in message.nested_type:
        _rename_references(made, nested)
