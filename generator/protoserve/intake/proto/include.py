"""Where the imports of a .proto are looked for, and all the files that it leads to."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.emit.imported_stubs import LIBRARY_FILES
from protoserve.intake.proto.text_scan import Import, Scan, scan
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.load import read_text

# Names the folders of -I for the generator, which Copier runs in a process of its own; separated as in PATH.
VARIABLE = "PROTOSERVE_INCLUDE"
LIBRARY = "googleapis-common-protos"
MAX_FILES = 500
MAX_CHARACTERS = 2**24
PROTOBUF = "google/protobuf/"

_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
_GIVE_FOLDER = "give the folder that the path counts from: -I FOLDER, or PROTOSERVE_INCLUDE=FOLDER without the command"


@dataclass(frozen=True, slots=True)
class ImportedText:
    """A file that was found: where it lies, and what it holds."""

    path: Path
    scan: Scan


@dataclass(slots=True)
class Collected:
    """A .proto with all that it leads to.

    `imported` has the files by the path of their import. `missing` are the paths that were not found or cannot be used,
    each with its problem.
    """

    scan: Scan
    imported: dict[str, ImportedText] = field(default_factory=dict)
    missing: dict[str, Problem] = field(default_factory=dict)


def from_environment(folder: Path) -> list[Path]:
    """The folders that the environment names; a relative one counts from `folder`."""
    return [folder / part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def collect(path: Path, includes: Sequence[Path]) -> Collected:
    """Reads the .proto at `path` and what it imports, from `includes` or else the folders above it.

    Raises SchemaError if the file itself cannot be read, a folder does not exist, or there is too much to read.
    """
    text = read_text(path)
    for folder in includes:
        if not folder.is_dir():
            raise SchemaError(str(folder), [Problem(1, 1, "", "the folder does not exist", "correct -I")])
    collected = Collected(scan(text))
    folders = [*includes, *folders_above(path, text)]
    paths = {path.resolve(): path.name}
    waiting: list[tuple[Path, Import]] = [(path, item) for item in collected.scan.imports]
    characters = len(text)
    while waiting:
        importer, item = waiting.pop(0)
        known = item.path in collected.imported or item.path in collected.missing
        if known or item.path.startswith(PROTOBUF):
            continue
        place = Problem(item.line, item.column, f"import {item.path}", "", "", str(importer))
        found = _find(item.path, folders, place, paths)
        if isinstance(found, Problem):
            collected.missing[item.path] = found
            continue
        text = read_text(found)
        characters += len(text)
        if len(collected.imported) >= MAX_FILES or characters > MAX_CHARACTERS:
            message = f"it leads to more than {MAX_FILES} files, or to more than {MAX_CHARACTERS >> 20} MiB of text"
            remedy = "import the files that have the messages, not one that imports everything"
            raise SchemaError(str(path), [Problem(1, 1, "", message, remedy)])
        collected.imported[item.path] = ImportedText(found, scan(text))
        waiting += [(found, inner) for inner in collected.imported[item.path].scan.imports]
    return collected


def folders_above(path: Path, text: str) -> list[Path]:
    """The file's own folder and those above it: up to the git repository's, else as far as its package has parts."""
    folder = path.resolve().parent
    folders = [folder, *folder.parents]
    for count, above in enumerate(folders, 1):
        if (above / ".git").exists():
            return folders[:count]
    package = _PACKAGE.search(text)
    return folders[: 1 + (len(package[1].split(".")) if package else 0)]


def _find(name: str, folders: Sequence[Path], place: Problem, paths: dict[Path, str]) -> Path | Problem:
    """The file that an import names; a problem at `place` if there is none, or it must not be read.

    `paths` has the path under which each file was imported first, and is added to.
    """
    parts = name.split("/")
    if not name or "\\" in name or any(part in ("", ".", "..") for part in parts) or ":" in parts[0]:
        return _problem(place, "the path of an import is relative, with / and without . and ..", "write it so")
    outside = False
    for folder in folders:
        path = folder / name
        if not path.is_file():
            continue
        real = path.resolve()
        if not any(real.is_relative_to(other.resolve()) for other in folders):
            outside = True
            continue
        first = paths.setdefault(real, name)
        if first != name:
            message = f"this is {first}, which is read already: one file with two paths declares everything twice"
            return _problem(place, message, f"import it as {first} everywhere, or give the one folder with -I")
        return path
    if outside:
        return _problem(place, "a link leads out of the folders that are searched", _GIVE_FOLDER)
    return _of_library(name) or _problem(place, *_not_found(name, folders))


def _of_library(name: str) -> Path | None:
    """One of Google's common .proto files, where their Python package is installed."""
    if name not in LIBRARY_FILES:
        return None
    try:
        path = Path(str(importlib.metadata.distribution(LIBRARY).locate_file(name)))
    except importlib.metadata.PackageNotFoundError:
        return None
    return path if path.is_file() else None


def _not_found(name: str, folders: Sequence[Path]) -> tuple[str, str]:
    searched = ", ".join(_shown(folders))
    message = f"the file was not found in {searched}"
    if name in LIBRARY_FILES:
        return message, f"install {LIBRARY}, which has it, beside protoserve; or {_GIVE_FOLDER}"
    return message, _GIVE_FOLDER


def _shown(folders: Sequence[Path], most: int = 4) -> Iterator[str]:
    yield from (str(folder) for folder in folders[:most])
    if len(folders) > most:
        yield f"and {len(folders) - most} more above it"


def _problem(place: Problem, message: str, remedy: str) -> Problem:
    return Problem(place.line, place.column, place.path, message, remedy, place.file)
