"""Where the imports of a .proto are looked for, and all the files that it leads to."""

from __future__ import annotations

import importlib.metadata
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from protoserve.emit.imported_stubs import LIBRARY_FILES
from protoserve.intake.proto.text_scan import Import, blanked, scan
from protoserve.platform.files import is_file
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.load import read_text

# Names the folders of -I for the generator, which Copier runs in a process of its own; separated as in PATH.
VARIABLE = "PROTOSERVE_INCLUDE"
LIBRARY = "googleapis-common-protos"
MAX_FILES = 500
MAX_DEPTH = 100
MAX_CHARACTERS = 2**24
PROTOBUF = "google/protobuf/"

_PACKAGE = re.compile(r"^\s*package\s+([\w.]+)\s*;", re.MULTILINE)
_GIVE_FOLDER = "give the folder that the path counts from: -I FOLDER, or PROTOSERVE_INCLUDE=FOLDER without the command"


@dataclass(slots=True)
class ProtoText:
    """A .proto that was read: where it lies, and its text without custom options, whose names are `options`.

    `imports` are what its import statements name, as far as that was found.
    """

    path: Path
    text: str
    options: tuple[str, ...]
    imports: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Collected:
    """A .proto with all that it leads to, which `imported` has by the path of the import.

    `missing` are the paths that were not found or cannot be used, each with its problem; no text imports them.
    """

    own: ProtoText
    imported: dict[str, ProtoText] = field(default_factory=dict)
    missing: dict[str, Problem] = field(default_factory=dict)


def from_environment(folder: Path) -> list[Path]:
    """The folders that the environment names; a relative one counts from `folder`."""
    return [folder / part for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]


def collect(path: Path, includes: Sequence[Path]) -> Collected:
    """Reads the .proto at `path` and what it imports, from `includes` or else the folders above it.

    Raises SchemaError if the file itself cannot be read, a folder does not exist, files import each other, or there is
    too much to read.
    """
    for folder in includes:
        if not folder.is_dir():
            raise SchemaError(
                str(folder), [Problem(1, 1, "", "the folder does not exist", f"correct -I, or {VARIABLE}")]
            )
    return _Collector(path, includes).collected


class _Collector:
    """Follows the imports of one file. `_paths` has the path under which each file was imported first."""

    def __init__(self, path: Path, includes: Sequence[Path]) -> None:
        text = read_text(path)
        self._root = path
        self._folders = [*includes, *folders_above(path, text)]
        self._paths: dict[Path, str] = {}
        self._characters = 0
        self._above: list[Path] = []
        self.collected = Collected(ProtoText(path, "", ()))
        self._read(self.collected.own, text)

    def _read(self, file: ProtoText, text: str) -> None:
        """Reads what a text imports, and what that imports. Raises SchemaError."""
        self._characters += len(text)
        self._above.append(file.path.resolve())
        scanned = scan(text)
        file.options = scanned.options
        spans, added = [], []
        for item in scanned.imports:
            name = self._follow(file, item)
            if name is not None:
                file.imports.append(name)
            if name != item.path:
                spans.append(item.span)
                added += [f' import {"public " if item.public else ""}"{name}";'] if name is not None else []
        file.text = blanked(scanned.text, spans) + "".join(added)
        self._above.pop()

    def _follow(self, importer: ProtoText, item: Import) -> str | None:
        """The path under which the imported file is known; None if there is no such file."""
        if item.path.startswith(PROTOBUF):
            return item.path
        if item.path in self.collected.missing:
            return None
        place = Problem(item.line, item.column, f"import {_printable(item.path)}", "", "", str(importer.path))
        there = self.collected.imported.get(item.path)
        found = self._find(item.path, place) if there is None else there.path
        if isinstance(found, Problem):
            self.collected.missing[item.path] = found
            return None
        real = found.resolve()
        if real in self._above:
            chain = " -> ".join(path.name for path in (*self._above[self._above.index(real) :], real))
            problem = _problem(place, f"the file imports itself: {chain}", "take one of these imports out")
            raise SchemaError(str(self._root), [problem])
        known = self._paths.setdefault(real, item.path)
        if known == item.path and there is None:
            try:
                text = read_text(found)
            except SchemaError as error:
                self.collected.missing[item.path] = replace(error.problems[0], file=str(found))
                return None
            self._add(item.path, found, text)
        return known

    def _add(self, name: str, path: Path, text: str) -> None:
        many = len(self.collected.imported) >= MAX_FILES
        if many or len(self._above) > MAX_DEPTH or self._characters + len(text) > MAX_CHARACTERS:
            message = (
                f"it leads to more than {MAX_FILES} files, to more than {MAX_DEPTH} that import one another, "
                f"or to more than {MAX_CHARACTERS >> 20} MiB of text"
            )
            remedy = "import the files that have the messages, not one that imports everything"
            raise SchemaError(str(self._root), [Problem(1, 1, "", message, remedy)])
        self.collected.imported[name] = ProtoText(path, "", ())
        self._read(self.collected.imported[name], text)

    def _find(self, name: str, place: Problem) -> Path | Problem:
        """The file that an import names; a problem at `place` if there is none, or it must not be read."""
        parts = name.split("/")
        if not name or "\\" in name or any(part in ("", ".", "..") for part in parts) or ":" in parts[0]:
            return _problem(place, "the path of an import is relative, with / and without . and ..", "write it so")
        outside = False
        for folder in self._folders:
            path = folder / name
            if is_file(path):
                real = path.resolve()
                if any(real.is_relative_to(other.resolve()) for other in self._folders):
                    return path
                outside = True
        if outside:
            return _problem(place, "a link leads out of the folders that are searched", _GIVE_FOLDER)
        return _of_library(name) or _problem(place, *_not_found(name, self._folders))


def folders_above(path: Path, text: str) -> list[Path]:
    """The file's own folder and those above it: up to the git repository's, else as far as its package has parts."""
    folder = path.resolve().parent
    folders = [folder, *folder.parents]
    for count, above in enumerate(folders, 1):
        if (above / ".git").exists():
            return folders[:count]
    package = _PACKAGE.search(text)
    return folders[: 1 + (len(package[1].split(".")) if package else 0)]


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
        return message, f"install {LIBRARY}, which has it, where the generator runs; or {_GIVE_FOLDER}"
    return message, _GIVE_FOLDER


def _shown(folders: Sequence[Path], most: int = 4) -> Iterator[str]:
    yield from (str(folder) for folder in folders[:most])
    if len(folders) > most:
        yield f"and {len(folders) - most} more above it"


def _printable(name: str) -> str:
    """A name from a file as a terminal can show it."""
    return name if name.isprintable() and len(name) <= 200 else f"{ascii(name[:200])[1:-1]}..."


def _problem(place: Problem, message: str, remedy: str) -> Problem:
    return Problem(place.line, place.column, place.path, message, remedy, place.file)
