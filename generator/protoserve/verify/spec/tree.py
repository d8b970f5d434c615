"""A YAML or JSON file as nodes that know their place and their path.

Scalars mean what they mean in YAML 1.1, since that is what kubectl, PyYAML and kfp read: there `yes` is a bool.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from protoserve.platform import yaml_tree
from protoserve.platform.yaml_tree import Place, Scalar, Value, YamlError, parse_all
from protoserve.verify.address import UsageError

MAX_DEPTH = 64
MAX_NODES = 100_000  # a file of aliases of aliases is a bomb, not a specification
_YAML_1_1 = yaml.SafeLoader("")
_DATE = "tag:yaml.org,2002:timestamp"


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
    def is_text(self) -> bool:
        return isinstance(self.value, str)

    @property
    def number(self) -> int | None:
        """The whole number that it is, None for anything else. What went through a Struct is a float: 8080.0."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            return None
        return int(self.value) if self.value == self.value // 1 else None

    def get(self, *keys: str) -> Node | None:
        """The node below these keys, None if it is missing or null."""
        node: Node | None = self
        for key in keys:
            node = None if node is None else node.keys.get(key)
        return None if node is None or node.value is None else node

    def listed(self, *keys: str) -> tuple[Node, ...]:
        """The mappings in the list below these keys; empty if it is not a list."""
        node = self.get(*keys)
        return () if node is None else tuple(item for item in node.items if item.is_mapping)

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
    try:
        documents = [_Tree(file).node(root) for root in parse_all(text, _resolve, MAX_DEPTH)]
    except YamlError as error:
        fault = error.faults[0]
        place = f"{file}:{fault.place.line}:{fault.place.column}"
        raise UsageError(f"{place}: neither YAML nor JSON: {fault.message}; {fault.remedy}") from None
    return [document for document in documents if document.value is not None]


class _Tree:
    """Gives the nodes of a file their paths, and merges what `<<` names into its mapping."""

    def __init__(self, file: str) -> None:
        self._file, self._size = file, 0

    def node(self, source: yaml_tree.Node, key: Place | None = None, path: str = "", depth: int = 0) -> Node:
        place = key or source.place
        self._size += 1
        if depth > MAX_DEPTH or self._size > MAX_NODES:
            where = f"{self._file}:{place.line}:{place.column}"
            raise UsageError(f"{where}: nested too deep, or too large, for a specification")
        if isinstance(source, Scalar):
            return Node(source.value, place.line, place.column, path, source.text, source.quoted)
        if isinstance(source, yaml_tree.Mapping):
            return self._mapping(source, place, path, depth)
        items = tuple(self.node(item, None, f"{path}[{n}]", depth + 1) for n, item in enumerate(source.items))
        return Node([item.value for item in items], place.line, place.column, path, items=items)

    def _mapping(self, source: yaml_tree.Mapping, place: Place, path: str, depth: int) -> Node:
        keys: dict[str, Node] = {}
        merged: dict[str, Node] = {}
        twice = []
        for key, value in source.entries:
            if key.text == "<<" and not key.quoted:
                for other in value.items if isinstance(value, yaml_tree.Sequence) else [value]:
                    merged = {**self.node(other, None, path, depth + 1).keys, **merged}
                continue
            inner = self.node(value, key.place, f"{path}.{key.text}" if path else key.text, depth + 1)
            if key.text in keys:
                twice.append(inner)
            keys[key.text] = inner
        keys = {**merged, **keys}
        values = {key: inner.value for key, inner in keys.items()}
        return Node(values, place.line, place.column, path, keys=keys, twice=tuple(twice))


def _resolve(text: str) -> Value:
    """The meaning of a plain scalar in YAML 1.1; dates stay texts, as they are in JSON."""
    tag = _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False))  # type: ignore[no-untyped-call]
    if tag == _DATE:
        return text
    try:
        value: Value = _YAML_1_1.construct_object(yaml.ScalarNode(tag, text))
    except (yaml.YAMLError, ValueError):  # `=`, `0_9`, or more digits than Python converts
        return text
    return value
