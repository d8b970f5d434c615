"""Files in place of imports that were not found, so that protoc reads the rest, with every other problem in it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_UNDEFINED = re.compile(r': "([A-Za-z_.][\w.]*)" is not defined\.')
_FOLDER = "protoserve_stand_ins"


def undefined(stderr: str) -> Iterator[str]:
    """The names that protoc did not know, as they are written."""
    yield from (match[1].lstrip(".") for match in _UNDEFINED.finditer(stderr))


def names_a_file(message: str, missing: Iterable[str]) -> bool:
    """Whether an error of protoc is about one of these files."""
    return any(f'"{path}"' in message for path in missing)


def files(missing: Iterable[str], names: Iterable[str]) -> dict[str, str]:
    """A text for each path in `missing`; together they declare messages with these names."""
    outermost = sorted(name for name in set(names) if not _outer(name, names))
    declaring = {f"{_FOLDER}/{index}.proto": _file(name, names) for index, name in enumerate(outermost)}
    imports = "".join(f'import public "{path}";\n' for path in declaring)
    empty = dict.fromkeys(missing, f'syntax = "proto3";\n{imports}')
    return {**declaring, **empty} if empty else {}


def _outer(name: str, names: Iterable[str]) -> bool:
    return any(name.startswith(f"{other}.") for other in names)


def _file(name: str, names: Iterable[str]) -> str:
    package, _, _ = name.rpartition(".")
    head = f"package {package};\n" if package else ""
    return f'syntax = "proto3";\n{head}{_message(name, set(names))}'


def _message(name: str, names: set[str]) -> str:
    """A message with those inside it whose names are below its own."""
    below = {other.removeprefix(f"{name}.").partition(".")[0] for other in names if other.startswith(f"{name}.")}
    inner = "".join(_message(f"{name}.{part}", names) for part in sorted(below))
    return f"message {name.rpartition('.')[2]} {{ {inner}}}\n"
