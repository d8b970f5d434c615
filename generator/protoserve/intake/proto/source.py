"""A .proto as protoc reads it: its descriptor, and the place of each part in the text."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc_tools
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet, SourceCodeInfo

from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.load import read_text

# The path to a part of a descriptor, as in SourceCodeInfo: field numbers, and indices in repeated fields.
Steps = tuple[int, ...]

_FILE = "foreign.proto"
_ERROR = re.compile(rf"{re.escape(_FILE)}:(?:(\d+):(\d+): )?(?!warning)(.*)")
_DOC_MARKER = re.compile(r"/+<?|!<?|\*+(?=[ !]|$)!?<?")
_RULER = re.compile(r"[-=*/#~_+]{3,}")
_IMPORT = re.compile(r'Import "(.*)" (?:was not found|had errors)|(.*): File not found')


@dataclass(frozen=True)
class Source:
    """`file` is its name in errors. `descriptor` has no name and no source info."""

    file: str
    descriptor: FileDescriptorProto
    _places: dict[Steps, SourceCodeInfo.Location] = field(repr=False)

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
        return Problem(*self.line(steps), path, message, remedy)


def _clean(comment: str) -> str:
    """The words of a comment, without control characters, notes for linters, ruler lines and markers of doc comments.

    protoc removes `//`, `/*` and the asterisk that begins a line. Of `///`, `//!`, `/** */` and `///<` it leaves the
    rest, which begins a line without a space.
    """
    lines = []
    for line in comment.replace("\t", " ").splitlines():
        marked = _DOC_MARKER.match(line)
        words = "".join(character for character in line[marked.end() if marked else 0 :] if character.isprintable())
        lines.append(words.strip())
    if lines and comment.startswith("*"):
        lines[-1] = lines[-1].removesuffix("*").rstrip()  # of `**/`
    return "\n".join(line for line in lines if not line.startswith("buf:lint:") and not _RULER.fullmatch(line)).strip()


def read(path: Path) -> Source:
    """The .proto at `path`. Raises SchemaError with protoc's errors and their places."""
    text = read_text(path)
    descriptor = compiled(text, str(path))
    # A part that is extended twice has one path twice; the first is where it begins.
    places = {tuple(location.path): location for location in reversed(descriptor.source_code_info.location)}
    bare = FileDescriptorProto()
    bare.CopyFrom(descriptor)
    bare.ClearField("name")
    bare.ClearField("source_code_info")
    return Source(str(path), bare, places)


def compiled(text: str, file: str) -> FileDescriptorProto:
    """The descriptor of a .proto, with source info. Raises SchemaError if protoc refuses it."""
    with tempfile.TemporaryDirectory(prefix="protoserve-") as temporary:
        root = Path(temporary)
        (root / _FILE).write_text(text, encoding="utf-8")
        command = [
            *(sys.executable, "-m", "grpc_tools.protoc", "--proto_path=."),
            f"--proto_path={Path(grpc_tools.__file__).parent / '_proto'}",
            *("--include_source_info", "--descriptor_set_out=set", _FILE),
        ]
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SchemaError(file, list(_protoc_errors(done.stderr)))
        return FileDescriptorSet.FromString((root / "set").read_bytes()).file[0]


def _protoc_errors(stderr: str) -> Iterator[Problem]:
    """The errors that protoc printed; if an import failed only that, since the others follow from it."""
    errors = [match for line in stderr.splitlines() if (match := _ERROR.match(line))]
    imports = [(match, name) for match in errors if (name := _IMPORT.match(match[3]))]
    for match, name in imports:
        place = int(match[1] or 1), int(match[2] or 1)
        yield Problem(*place, f"import {name[1] or name[2]}", *SEVERAL_FILES)
    if imports:
        return
    for match in errors:
        message = match[3].strip().rstrip(".").replace(_FILE, "the file")
        yield Problem(int(match[1] or 1), int(match[2] or 1), "", message, "correct it: protoc refuses the file")
    if not errors:
        yield Problem(1, 1, "", stderr.strip() or "protoc failed", "correct it: protoc refuses the file")


SEVERAL_FILES = (
    "a schema is one file, and can use only protobuf's own types from other files",
    "write the messages that you need into this file, and remove the import",
)
