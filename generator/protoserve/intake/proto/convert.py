"""Converts a foreign .proto into the text of a schema with the same descriptor."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.text_format import MessageToString

from protoserve.emit import proto
from protoserve.intake.proto import served_methods, unsupported
from protoserve.intake.proto.schema_text import Writer
from protoserve.intake.proto.source import ROOT, Source, compiled, read
from protoserve.schema import reserved_names
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.json_schema import MODELINE
from protoserve.schema.load import loads
from protoserve.schema.model import Contract


def from_proto(
    path: Path,
    package: str,
    includes: Sequence[Path] = (),
    note: Callable[[str], None] = lambda text: None,
    serve: str | None = None,
) -> str:
    """The schema of the .proto at `path`, for a project whose Python package is `package`.

    `serve` is the answer to the question which methods are served; None is for all that can be.

    The .proto generated from the schema has the original's descriptor: names, numbers, types, presence, enums and
    options, in their order; so has each file that is generated for one that the original uses. Imports are looked for
    in `includes`, then in the folders above the file. Comments become `doc`; the file's path, imports that are not
    used, and custom options are not kept; `note` gets a line about what was left out. Raises SchemaError, with places
    in the files, for what a schema cannot express.
    """
    source = read(path, includes)
    problems = [*unsupported.refusals(source), *served_methods.problems(source, serve)]
    syntaxes = {item.descriptor.syntax for item in (source, *source.imports)}
    if syntaxes != {"proto3"} or not source.descriptor.service:
        raise SchemaError(source.file, problems)
    writer = Writer(source, served_methods.names(source, serve))
    text = f"{MODELINE}\n{writer.text(path.name)}"
    known = {(problem.file, problem.path) for problem in problems}
    try:
        contract = loads(text)
    except SchemaError as error:
        problems += [item for item in _translated(writer, error) if (item.file, item.path) not in known]
        raise SchemaError(source.file, problems) from None
    clash = reserved_names.clash(contract.module, package)
    if clash is not None:
        problems.append(source.problem((2,), "package", *clash))
    if problems:
        raise SchemaError(source.file, problems)
    _check_equal(source, contract)
    for line in (*_left_out(source), served_methods.note(source, serve)):
        if line:
            note(line)
    return text


_MOST_NAMES = 20  # in a note


def _left_out(source: Source) -> Iterator[str]:
    """What the schema does not have of the .proto and of what it uses."""
    options = sorted({name for item in (source, *source.imports) for name in item.options})
    if options:
        yield f"{source.file}: custom options are left out, they change nothing on the wire: {', '.join(options)}"
    if source.unneeded:
        reason = "imports that were not found are left out, as no type of theirs is used"
        rest = len(source.unneeded) - _MOST_NAMES
        more = f", and {rest} more" if rest > 0 else ""
        yield f"{source.file}: {reason}: {', '.join(source.unneeded[:_MOST_NAMES])}{more}"
    served = [item.path for item in source.imports if item.has_services]
    if served:
        yield f"{source.file}: services of imported files are not served: {', '.join(served)}"


def _check_equal(source: Source, contract: Contract) -> None:
    """Raises SchemaError if what is generated from the schema would not be what was read."""
    texts = {item.path: proto.render_import(contract, item) for item in contract.imports}
    made = compiled({**texts, ROOT: proto.render(contract)}, {ROOT: source.file})
    for item in (source, *source.imports):
        difference = differs(item.descriptor, made[item.path or ROOT])
        if difference is None:
            continue
        message = f"the .proto generated from its schema would differ: {difference}"
        raise SchemaError(item.file, [Problem(1, 1, "", message, "please report this file as a bug of protoserve")])


def differs(one: FileDescriptorProto, other: FileDescriptorProto) -> str | None:
    """The first line in which two descriptors differ; None if they are equal."""
    first, second = (MessageToString(_bare(item)).splitlines() for item in (one, other))
    for left, right in zip([*first, "nothing"], [*second, "nothing"], strict=False):
        if left != right:
            return f"{left.strip()!r} against {right.strip()!r}"
    return None


def _bare(file: FileDescriptorProto) -> FileDescriptorProto:
    """A descriptor without its path, its comments, and its imports, which follow from the types in use."""
    bare = FileDescriptorProto()
    bare.CopyFrom(file)
    for name in ("name", "source_code_info", "dependency"):
        bare.ClearField(name)
    return bare


def _translated(writer: Writer, error: SchemaError) -> Iterator[Problem]:
    """Problems of the schema, at their places in the .proto."""
    for problem in error.problems:
        path = problem.path
        while path and path not in writer.parts:
            path = path.rpartition(".")[0]
        source, steps, name = writer.parts.get(path, (writer.source, (), ""))
        yield source.problem(steps, name, problem.message, problem.remedy)
