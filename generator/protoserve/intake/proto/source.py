"""A .proto as protoc reads it: its descriptor, and where each part of it stands in the text."""

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

# The way to a part of a descriptor, as in SourceCodeInfo: numbers of fields, and indices in repeated ones.
Steps = tuple[int, ...]

_FILE = "foreign.proto"
_COMPLAINT = re.compile(rf"{re.escape(_FILE)}:(?:(\d+):(\d+): )?(?!warning)(.*)")
_IMPORT = re.compile(r'Import "(.*)" (?:was not found|had errors)|(.*): File not found')


@dataclass(frozen=True)
class Source:
    """`file` is what errors call it. The descriptor's own name and source info are taken out of `descriptor`."""

    file: str
    descriptor: FileDescriptorProto
    _places: dict[Steps, SourceCodeInfo.Location] = field(repr=False)

    def line(self, steps: Steps) -> tuple[int, int]:
        """Line and column, from 1, of a part; of what is around it where protoc noted none."""
        while steps and steps not in self._places:
            steps = steps[:-1]
        found = self._places.get(steps) if steps else None
        return (found.span[0] + 1, found.span[1] + 1) if found is not None else (1, 1)

    def comment(self, steps: Steps) -> str:
        """The words above a part, else those behind it; without marks, control characters and notes for linters."""
        found = self._places.get(steps)
        if found is None:
            return ""
        lines = ((found.leading_comments.strip() and found.leading_comments) or found.trailing_comments).splitlines()
        cleaned = ("".join(c for c in line.replace("\t", " ") if c.isprintable()).strip() for line in lines)
        return "\n".join(line for line in cleaned if not line.startswith("buf:lint:")).strip()

    def problem(self, steps: Steps, path: str, message: str, remedy: str) -> Problem:
        return Problem(*self.line(steps), path, message, remedy)


def read(path: Path) -> Source:
    """The .proto at `path`. Raises SchemaError with protoc's words, each with its place."""
    text = read_text(path)
    made = compiled(text, str(path))
    places = {tuple(item.path): item for item in made.source_code_info.location}
    # A part that is extended twice has one path twice; the first is where it begins.
    for item in reversed(made.source_code_info.location):
        places[tuple(item.path)] = item
    bare = FileDescriptorProto()
    bare.CopyFrom(made)
    bare.ClearField("name")
    bare.ClearField("source_code_info")
    return Source(str(path), bare, places)


def compiled(text: str, file: str) -> FileDescriptorProto:
    """The descriptor of a .proto, with source info. Raises SchemaError for one that protoc refuses."""
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
            raise SchemaError(file, list(_complaints(done.stderr)))
        return FileDescriptorSet.FromString((root / "set").read_bytes()).file[0]


def _complaints(stderr: str) -> Iterator[Problem]:
    """What protoc said; of a file that imports others only that, since the rest follows from it."""
    found = [match for line in stderr.splitlines() if (match := _COMPLAINT.match(line))]
    imports = [(match, name) for match in found if (name := _IMPORT.match(match[3]))]
    for match, name in imports:
        place = int(match[1] or 1), int(match[2] or 1)
        yield Problem(*place, f"import {name[1] or name[2]}", *SEVERAL_FILES)
    if imports:
        return
    for match in found:
        message = match[3].strip().rstrip(".").replace(_FILE, "the file")
        yield Problem(int(match[1] or 1), int(match[2] or 1), "", message, "mend it: protoc refuses the file")
    if not found:
        yield Problem(1, 1, "", stderr.strip() or "protoc failed", "mend it: protoc refuses the file")


SEVERAL_FILES = (
    "a schema is one file, and of other files only protobuf's own types can be used",
    "write the messages that you need into this file, and take the import out",
)
