"""Files in place of imports that were not found, so that protoc reads the rest, with every other problem in it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping

_UNDEFINED = re.compile(r'^([^:\n]+)(?::\d+:\d+)?: "([A-Za-z_.][\w.]*)" is not defined\.', re.MULTILINE)
_BROKEN_IMPORT = re.compile(r'^([^:\n]+)(?::\d+:\d+)?: Import "[^"]*" was not found or had errors\.', re.MULTILINE)
_FOLDER = "protoserve_stand_ins"


def undefined(stderr: str) -> Iterator[str]:
    """The names that protoc did not know, as they are written.

    In a file with a broken import most of them are not known for that reason: what it lacks itself shows once the
    other file is mended.
    """
    broken = {match[1] for match in _BROKEN_IMPORT.finditer(stderr)}
    yield from (match[2].lstrip(".") for match in _UNDEFINED.finditer(stderr) if match[1] not in broken)


def added(texts: Mapping[str, str], names: Collection[str]) -> dict[str, str]:
    """The texts of files by path, with files that declare messages of these names; all others import them."""
    outermost = sorted(name for name in set(names) if not any(name.startswith(f"{other}.") for other in names))
    declaring = {f"{_FOLDER}/{index}.proto": _file(name, names) for index, name in enumerate(outermost)}
    imports = "".join(f' import "{path}";' for path in declaring)
    return declaring | {path: f"{text}{imports}" for path, text in texts.items()}


def _file(name: str, names: Collection[str]) -> str:
    package, _, _ = name.rpartition(".")
    head = f"package {package};\n" if package else ""
    return f'syntax = "proto3";\n{head}{_message(name, names)}'


def _message(name: str, names: Collection[str]) -> str:
    """A message with those inside it whose names are below its own."""
    below = {other.removeprefix(f"{name}.").partition(".")[0] for other in names if other.startswith(f"{name}.")}
    inner = "".join(_message(f"{name}.{part}", names) for part in sorted(below))
    return f"message {name.rpartition('.')[2]} {{ {inner}}}\n"
