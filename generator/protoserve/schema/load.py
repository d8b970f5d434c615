"""Reading a schema: from a file or a text to a `Contract`, or to everything that is wrong with it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from protoserve.platform.reading import NotAFileError, TooLargeError, UnreadableFileError, read_bytes
from protoserve.platform.yaml_tree import Mapping, YamlError, parse
from protoserve.schema import rules
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.mapping_reader import Problems, TooManyProblems
from protoserve.schema.model import Contract
from protoserve.schema.parse import build
from protoserve.schema.unchecked_contract import Draft

MAX_BYTES = 2**20
# Numbering a schema, comparing the result and reading it parse the same text, which takes most of their time.
_parsed = lru_cache(maxsize=2)(parse)
_BOM = "\ufeff"


def load(path: Path, *, default_package: str | None = None) -> Contract:
    """The contract in a file; `default_package` stands in for a missing `package`. Raises SchemaError."""
    return loads(read_text(path), str(path), default_package=default_package)


def loads(text: str, file: str = "schema.yaml", *, default_package: str | None = None) -> Contract:
    """The contract in a text; `file` is what errors call it. Raises SchemaError with all that is wrong."""
    return draft_of(text, file, default_package=default_package).finished(file)


def draft_of(text: str, file: str, *, default_package: str | None = None) -> Draft:
    """A draft that passed every check, and knows its places in `text`. Raises SchemaError."""
    draft, problems = _read(text, file, default_package)
    if problems.items:
        raise SchemaError(file, problems.items)
    return draft


def unchecked_draft_of(text: str, file: str, *, default_package: str | None = None) -> Draft:
    """A draft with whatever is wrong in it, as far as it could be read. Raises SchemaError unless it is a mapping."""
    return _read(text, file, default_package)[0]


def _read(text: str, file: str, default_package: str | None) -> tuple[Draft, Problems]:
    if len(text) > MAX_BYTES:
        raise _refused(file, "the file is larger than 1 MiB", "a schema is a few pages; is this the right file?")
    if text.startswith(_BOM):
        raise _refused(file, "the text begins with a byte-order mark", "save it as UTF-8 without one")
    try:
        root = _parsed(text)
    except YamlError as error:
        faults = (Problem(f.place.line, f.place.column, "", f.message, f.remedy) for f in error.faults)
        raise SchemaError(file, faults) from None
    problems = Problems()
    if not isinstance(root, Mapping):
        raise _refused(file, "a schema must be a mapping", "begin with `package: NAME.v1`", root.place.line)
    try:
        draft = build(root, problems, default_package)
        rules.check(draft)
    except TooManyProblems:
        raise SchemaError(file, problems.items) from None
    return draft, problems


def read_text(path: Path, project: Path | None = None) -> str:
    """The text of a schema file, line ends as they are, a byte-order mark dropped; it must lie in `project`, if given.

    Raises SchemaError.
    """
    file = str(path)
    try:
        data = read_bytes(path, project, MAX_BYTES)
    except NotAFileError as error:
        raise _refused(file, f"the path is {error.kind}, not a regular file", "give the path of a YAML file") from None
    except TooLargeError:
        raise _refused(
            file, "the file is larger than 1 MiB", "a schema is a few pages; is this the right file?"
        ) from None
    except UnreadableFileError as error:
        raise _refused(file, f"the path is {error.reason}", error.remedy) from None
    except FileNotFoundError:
        raise _refused(file, "the file does not exist", "check the path") from None
    except OSError as error:
        raise _refused(file, f"cannot be read: {error.strerror}", "check the path and its permissions") from None
    try:
        return data.decode("utf-8").removeprefix(_BOM)
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line, column = before.count(b"\n") + 1, len(before.rpartition(b"\n")[2].decode("utf-8")) + 1
        problem = Problem(
            line, column, "", f"the byte 0x{data[error.start]:02x} is not UTF-8", "save the file as UTF-8"
        )
        raise SchemaError(file, [problem]) from None


def _refused(file: str, message: str, remedy: str, line: int = 1) -> SchemaError:
    return SchemaError(file, [Problem(line, 1, "", message, remedy)])
