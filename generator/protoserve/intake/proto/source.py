"""A .proto as protoc reads it: its descriptor, the place of each part in the text, and the files that it uses."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    SourceCodeInfo,
)

from protoserve.intake.proto import include, stand_ins
from protoserve.platform.plain_text import plain
from protoserve.schema.errors import Problem, SchemaError

# The path to a part of a descriptor, as in SourceCodeInfo: field numbers, and indices in repeated fields.
Steps = tuple[int, ...]

# What protoc calls the file itself, whose own path may be that of an import.
ROOT = "protoserve_root.proto"
_ERROR = re.compile(r"(?P<file>[^:\n]+\.proto):(?:(?P<line>\d+):(?P<column>\d+): )?(?!warning)(?P<message>.*)")
_DOC_MARKER = re.compile(r"/+<?|!<?|\*+(?=[ !]|$)!?<?")
_RULER = re.compile(r"[-=*/#~_+]{3,}")


_CONSEQUENCE = re.compile("was not found or had errors|is not defined|seems to be defined in")


@dataclass(frozen=True)
class Source:
    """One file. `file` is its name in errors, and `path` the path of its import, empty for the file itself.

    `descriptor` has no name, no source info and no custom options, which `options` names. `imports` are the other files
    that declare what it uses, with all that those use; an imported file has none here.
    """

    file: str
    descriptor: FileDescriptorProto
    _places: dict[Steps, SourceCodeInfo.Location] = field(repr=False)
    path: str = ""
    options: tuple[str, ...] = ()
    imports: tuple[Source, ...] = ()
    missing: tuple[Problem, ...] = ()
    """What is wrong with imports that are needed; `imports` has stand-ins for them, which declare messages alone."""
    has_services: bool = False
    """Whether an imported file has services, which `descriptor` lacks."""
    unneeded: tuple[str, ...] = ()
    """The paths of imports that were not found and are not needed."""

    def declared(self) -> Iterator[str]:
        """The full names of its messages and enums, with a dot before them as in references."""
        return _declared(self.descriptor)

    def line(self, steps: Steps) -> tuple[int, int]:
        """Line and column of a part, from 1; those of the part around it if protoc has none."""
        while steps and steps not in self._places:
            steps = steps[:-1]
        location = self._places.get(steps) if steps else None
        return (location.span[0] + 1, location.span[1] + 1) if location is not None else (1, 1)

    def comment(self, steps: Steps) -> str:
        """The comment above a part, else the one behind it, cleaned by `_clean`."""
        location = self._places.get(steps)
        if location is None:
            return ""
        comment = location.leading_comments if location.leading_comments.strip() else location.trailing_comments
        return _clean(comment)

    def problem(self, steps: Steps, path: str, message: str, remedy: str) -> Problem:
        return Problem(*self.line(steps), path, message, remedy, self.file)


def _clean(comment: str) -> str:
    """The words of a comment as plain text, without notes for linters, ruler lines and markers of doc comments.

    protoc removes `//`, `/*` and the asterisk that begins a line. Of `///`, `//!`, `/** */` and `///<` it leaves the
    rest, which begins a line without a space.
    """
    lines = []
    for line in plain(comment).replace("\t", " ").splitlines():
        marked = _DOC_MARKER.match(line)
        lines.append(line[marked.end() if marked else 0 :].strip())
    if lines and comment.startswith("*"):
        lines[-1] = lines[-1].removesuffix("*").rstrip()  # of `**/`
    return "\n".join(line for line in lines if not line.startswith("buf:lint:") and not _RULER.fullmatch(line)).strip()


def read(path: Path, includes: Sequence[Path] = ()) -> Source:
    """The .proto at `path`, and what it uses of the files that it imports, which are looked for in `includes` first.

    Raises SchemaError with protoc's errors and their places.
    """
    collected = include.collect(path, includes)
    texts = {name: file.text for name, file in collected.imported.items()} | {ROOT: collected.own.text}
    names = {name: str(file.path) for name, file in collected.imported.items()} | {ROOT: str(path)}
    files, undefined = _with_stand_ins(texts, names, missing=bool(collected.missing))
    own = _source(files[ROOT], str(path), "", collected.own.options)
    imports = []
    for name in _used(files):
        options = collected.imported[name].options if name in collected.imported else ()
        imports.append(_source(files[name], names.get(name, str(path)), name, options))
    missing = collected.missing
    return replace(
        own,
        imports=tuple(imports),
        missing=tuple(missing.values()) if undefined else (),
        unneeded=() if undefined else tuple(missing),
    )


def _with_stand_ins(
    texts: Mapping[str, str], names: Mapping[str, str], *, missing: bool
) -> tuple[dict[str, FileDescriptorProto], bool]:
    """The descriptors of files by path, and whether something is undefined that files which are `missing` may declare.

    What is undefined is declared in files made for it, so that everything else can be read.
    """
    undefined: set[str] = set()
    while True:
        try:
            return compiled(stand_ins.added(texts, undefined), names), bool(undefined)
        except ProtocError as error:
            more = set(stand_ins.undefined(error.stderr)) - undefined
            if not (missing and more):
                raise
            undefined |= more


class ProtocError(SchemaError):
    """What protoc printed when it refused files."""

    def __init__(self, file: str, problems: Iterable[Problem], stderr: str) -> None:
        super().__init__(file, problems)
        self.stderr = stderr


def compiled(texts: Mapping[str, str], names: Mapping[str, str]) -> dict[str, FileDescriptorProto]:
    """The descriptor, with source info, of each file, by its path; `texts` has the texts by path, ROOT among them.

    `names` are those of the files in errors. Raises ProtocError if protoc refuses one.
    """
    with tempfile.TemporaryDirectory(prefix="protoserve-") as temporary:
        root = Path(temporary)
        sources = root / "sources"
        for path, text in texts.items():
            target = sources / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        includes = (f"--proto_path={folder}" for folder in (".", Path(grpc_tools.__file__).parent / "_proto"))
        flags = ("--include_imports", "--include_source_info", f"--descriptor_set_out={root / 'set'}")
        command = [sys.executable, "-m", "grpc_tools.protoc", *includes, *flags, ROOT]
        done = subprocess.run(command, cwd=sources, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ProtocError(names[ROOT], _protoc_errors(done.stderr, names), done.stderr)
        files = FileDescriptorSet.FromString((root / "set").read_bytes()).file
        return {file.name: file for file in files}


def _protoc_errors(stderr: str, names: Mapping[str, str]) -> Iterator[Problem]:
    """The errors that protoc printed, without those that follow from others."""
    errors = [match for line in stderr.splitlines() if (match := _ERROR.match(line))]
    errors = [match for match in errors if not _CONSEQUENCE.search(match["message"])] or errors
    for match in errors:
        message = match["message"].strip().rstrip(".").replace(ROOT, "the file")
        place = int(match["line"] or 1), int(match["column"] or 1)
        file = names.get(match["file"], names[ROOT])
        yield Problem(*place, "", message, "correct it: protoc refuses the file", file)
    if not errors:
        message = stderr.strip() or "protoc failed"
        yield Problem(1, 1, "", message, "correct it: protoc refuses the file", names[ROOT])


def _source(descriptor: FileDescriptorProto, file: str, path: str, options: tuple[str, ...]) -> Source:
    # A part that is extended twice has one path twice; the first is where it begins.
    places = {tuple(location.path): location for location in reversed(descriptor.source_code_info.location)}
    bare = FileDescriptorProto()
    bare.CopyFrom(descriptor)
    extensions = tuple(_without_extensions(bare))
    # Imports follow from the types in use. What is served is the service of the file itself alone.
    for name in ("name", "source_code_info", "dependency", "public_dependency", "weak_dependency"):
        bare.ClearField(name)
    has_services = bool(path and bare.service)
    if path:
        bare.ClearField("service")
    return Source(file, bare, places, path, (*options, *extensions), has_services=has_services)


def _without_extensions(file: FileDescriptorProto) -> Iterator[str]:
    """Takes out the definitions of custom options, all that proto3 can extend; yields their names."""
    waiting: list[FileDescriptorProto | DescriptorProto] = [file]
    while waiting:
        scope = waiting.pop()
        yield from (item.name for item in scope.extension if item.extendee.startswith(".google.protobuf."))
        kept = [item for item in scope.extension if not item.extendee.startswith(".google.protobuf.")]
        del scope.extension[:]
        scope.extension.extend(kept)
        waiting += scope.message_type if isinstance(scope, FileDescriptorProto) else scope.nested_type


def _used(files: Mapping[str, FileDescriptorProto]) -> list[str]:
    """The paths of the files whose types the file itself uses, or another of these; sorted."""
    declaring = {name: path for path, file in files.items() for name in _declared(file)}
    used: set[str] = set()
    waiting = [ROOT]
    while waiting:
        for name in _type_names(files[waiting.pop()]):
            path = declaring.get(name, ROOT)
            if path != ROOT and path not in used and not path.startswith(include.PROTOBUF):
                used.add(path)
                waiting.append(path)
    return sorted(used)


def _declared(file: FileDescriptorProto) -> Iterator[str]:
    """The full names of messages and enums of a file, with a dot before them as in references."""
    scope = f".{file.package}" if file.package else ""
    yield from (f"{scope}.{enum.name}" for enum in file.enum_type)
    messages = [(f"{scope}.{message.name}", message) for message in file.message_type]
    while messages:
        name, message = messages.pop()
        yield name
        yield from (f"{name}.{enum.name}" for enum in message.enum_type)
        messages += [(f"{name}.{inner.name}", inner) for inner in message.nested_type]


def _type_names(file: FileDescriptorProto) -> Iterator[str]:
    """The full names of the types that fields, and methods of the file itself, refer to."""
    if file.name == ROOT:
        for service in file.service:
            for method in service.method:
                yield from (method.input_type, method.output_type)
    messages = list(file.message_type)
    while messages:
        message = messages.pop()
        yield from (item.type_name for item in message.field if item.type_name)
        messages += message.nested_type
