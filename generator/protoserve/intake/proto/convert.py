"""Converts a foreign .proto into the text of a schema with the same descriptor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.text_format import MessageToString

from protoserve.emit import proto
from protoserve.intake.proto import unsupported
from protoserve.intake.proto.schema_text import Writer
from protoserve.intake.proto.source import compiled, read
from protoserve.schema import reserved_names
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.json_schema import MODELINE
from protoserve.schema.load import loads


def from_proto(path: Path, package: str) -> str:
    """The schema of the .proto at `path`, for a project whose Python package is `package`.

    The .proto generated from the schema has the original's descriptor: names, numbers, types, presence, enums and
    options, in their order. Comments become `doc`; the file's path and the order of imports are not kept. Raises
    SchemaError, with places in the .proto, for what a schema cannot express.
    """
    source = read(path)
    problems = unsupported.refusals(source)
    if source.descriptor.syntax != "proto3" or not source.descriptor.service:
        raise SchemaError(source.file, problems)
    writer = Writer(source)
    text = f"{MODELINE}\n{writer.text(path.name)}"
    known = {problem.path for problem in problems}
    try:
        contract = loads(text)
    except SchemaError as error:
        problems += [problem for problem in _translated(writer, error) if problem.path not in known]
        raise SchemaError(source.file, problems) from None
    clash = reserved_names.clash(contract.module, package)
    if clash is not None:
        problems.append(source.problem((2,), "package", *clash))
    if problems:
        raise SchemaError(source.file, problems)
    difference = differs(source.descriptor, compiled(proto.render(contract), path.name))
    if difference is not None:
        message = f"the .proto generated from its schema would differ: {difference}"
        raise SchemaError(source.file, [Problem(1, 1, "", message, "please report this file as a bug of protoserve")])
    return text


def differs(one: FileDescriptorProto, other: FileDescriptorProto) -> str | None:
    """The first line in which two descriptors differ; None if they are equal."""
    first, second = (MessageToString(_bare(item, (one, other))).splitlines() for item in (one, other))
    for left, right in zip([*first, "nothing"], [*second, "nothing"], strict=False):
        if left != right:
            return f"{left.strip()!r} against {right.strip()!r}"
    return None


def _bare(file: FileDescriptorProto, both: tuple[FileDescriptorProto, FileDescriptorProto]) -> FileDescriptorProto:
    """A descriptor without its path, comments, unused imports, and the order of its imports."""
    bare = FileDescriptorProto()
    bare.CopyFrom(file)
    for name in ("name", "source_code_info", "dependency"):
        bare.ClearField(name)
    bare.dependency.extend(sorted(set.intersection(*(set(item.dependency) for item in both))))
    return bare


def _translated(writer: Writer, error: SchemaError) -> Iterator[Problem]:
    """Problems of the schema, at their places in the .proto."""
    for problem in error.problems:
        path = problem.path
        while path and path not in writer.parts:
            path = path.rpartition(".")[0]
        steps, name = writer.parts.get(path, ((), ""))
        yield writer.source.problem(steps, name, problem.message, problem.remedy)
