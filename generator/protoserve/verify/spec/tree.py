"""A YAML or JSON file as nodes that know their place.

Scalars mean what they mean in YAML 1.1, since that is what kubectl, PyYAML and kfp read: there `yes` is a bool.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode

from protoserve.verify.address import UsageError

MAX_DEPTH = 64
MAX_NODES = 100_000  # a file of aliases of aliases is a bomb, not a specification
_TAG = "tag:yaml.org,2002:"
_BOOLS = {"y": True, "yes": True, "true": True, "on": True, "n": False, "no": False, "false": False, "off": False}


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One value. `value` is all of it as plain Python; `line` and `column` (from 1) are those of its key, or of the
    item itself in a list; `path` is like `spec.containers[0].env`; `text` is how a scalar is written, `quoted` or not.
    """

    value: Any
    line: int
    column: int
    path: str = ""
    text: str = ""
    quoted: bool = False
    keys: dict[str, Node] = field(default_factory=dict)
    items: tuple[Node, ...] = ()
    twice: tuple[Node, ...] = ()  # keys that stand in this mapping once more; the last one counts

    @property
    def is_mapping(self) -> bool:
        return isinstance(self.value, dict)

    @property
    def is_list(self) -> bool:
        return isinstance(self.value, list)

    @property
    def is_text(self) -> bool:
        return isinstance(self.value, str)

    @property
    def number(self) -> int | None:
        """The whole number that it is, None for anything else. What went through a Struct is a float: 8080.0."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            return None
        return int(self.value) if self.value == self.value // 1 else None

    def get(self, *keys: str) -> Node | None:
        """What is below these keys, None where there is nothing or null."""
        found: Node | None = self
        for key in keys:
            found = None if found is None else found.keys.get(key)
        return None if found is None or found.value is None else found

    def listed(self, *keys: str) -> tuple[Node, ...]:
        """The mappings in the list below these keys; none where it is no list."""
        found = self.get(*keys)
        return () if found is None else tuple(item for item in found.items if item.is_mapping)

    def at(self, path: Iterator[str | int]) -> Node:
        """The node at the path, or the last one on the way that is there."""
        found = self
        for part in path:
            if isinstance(part, int):
                inner = found.items[part] if part < len(found.items) else None
            else:
                inner = found.keys.get(part)
            if inner is None:
                return found
            found = inner
        return found

    def all(self) -> Iterator[Node]:
        """It, and all that is below it."""
        yield self
        for inner in (*self.keys.values(), *self.items):
            yield from inner.all()

    def shown(self, most: int = 60) -> str:
        """The value in a message, as it would stand in JSON."""
        text = json.dumps(self.value, ensure_ascii=False, default=str)
        return text if len(text) <= most else f"{text[:most]}..."


def parse(text: str, file: str) -> list[Node]:
    """The documents of the file that are not empty. Raises UsageError, with the place, for neither YAML nor JSON."""
    if text.lstrip()[:1] in ("{", "["):
        text = text.replace("\t", " ")  # JSON may be indented with tabs, YAML may not
    yaml = YAML(typ="safe", pure=True)
    yaml.version = (1, 1)
    yaml.allow_duplicate_keys = True
    try:
        documents = [_Tree(file).node(found) for found in yaml.compose_all(text) if found is not None]
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else file
        said = " ".join(str(error.problem or error.context).split())
        raise UsageError(f"{place}: neither YAML nor JSON: {said}") from None
    except YAMLError as error:
        said = str(error).strip().splitlines()[0]
        raise UsageError(f"{file}:1:1: neither YAML nor JSON: {said}") from None
    except RecursionError:
        raise UsageError(f"{file}:1:1: nested deeper than {MAX_DEPTH} levels") from None
    return [document for document in documents if document.value is not None]


class _Tree:
    """Turns ruamel's nodes into ours."""

    def __init__(self, file: str) -> None:
        self._file, self._made = file, 0

    def node(self, found: Any, mark: Any = None, path: str = "", depth: int = 0) -> Node:
        mark = mark or found.start_mark
        place = (mark.line + 1, mark.column + 1)
        self._made += 1
        if depth > MAX_DEPTH or self._made > MAX_NODES:
            where = f"{self._file}:{place[0]}:{place[1]}"
            raise UsageError(f"{where}: no specification is nested so deep, or so large")
        if isinstance(found, MappingNode):
            return self._mapping(found, place, path, depth)
        if isinstance(found, SequenceNode):
            items = tuple(self.node(item, None, f"{path}[{n}]", depth + 1) for n, item in enumerate(found.value))
            return Node([item.value for item in items], *place, path, items=items)
        assert isinstance(found, ScalarNode)
        quoted = found.style is not None and found.style != ""
        return Node(_scalar(found, quoted), *place, path, found.value, quoted)

    def _mapping(self, found: MappingNode, place: tuple[int, int], path: str, depth: int) -> Node:
        keys: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        twice = []
        for key, value in found.value:
            if not isinstance(key, ScalarNode):
                line, column = key.start_mark.line + 1, key.start_mark.column + 1
                raise UsageError(f"{self._file}:{line}:{column}: a key must be one word")
            if key.tag == f"{_TAG}merge":
                for other in value.value if isinstance(value, SequenceNode) else [value]:
                    inner = self.node(other, None, path, depth + 1)
                    merged = {**inner.keys, **merged}
                continue
            inner = self.node(value, key.start_mark, f"{path}.{key.value}" if path else key.value, depth + 1)
            if key.value in keys:
                twice.append(inner)
            keys[key.value] = inner
        keys = {**merged, **keys}
        return Node({key: inner.value for key, inner in keys.items()}, *place, path, keys=keys, twice=tuple(twice))


def _scalar(found: ScalarNode, quoted: bool) -> Any:
    """Its meaning in YAML 1.1; a text where it is of no plain type (a date, say)."""
    text: str = found.value
    kind = str(found.tag).removeprefix(_TAG)
    if quoted or kind == "str":
        return text
    if kind == "null":
        return None
    if kind == "bool":
        return _BOOLS.get(text.lower(), text)
    try:
        if kind == "int":
            return _int(text)
        if kind == "float":
            return float(re.sub(r"^([-+]?)\.(inf|nan)$", r"\1\2", text.lower()).replace("_", ""))
    except ValueError:
        return text
    return text


def _int(text: str) -> int:
    digits = text.replace("_", "")
    if ":" in digits:  # base 60, as in 12:30
        sign = -1 if digits.startswith("-") else 1
        total = 0
        for part in digits.lstrip("+-").split(":"):
            total = total * 60 + int(part)
        return sign * total
    if re.fullmatch(r"[-+]?0[0-7]+", digits):
        return int(digits, 8)
    return int(digits, 0)
