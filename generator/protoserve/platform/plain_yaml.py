"""YAML of others as plain data, within bounds: how deep it is nested, and how much its aliases stand for.

Needs nothing but the standard library of Python 3.10 and PyYAML, which Copier brings.
"""

from __future__ import annotations

from typing import Any

import yaml

_MAX_DEPTH = 50
_MAX_NODES = 100_000

_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def load(text: str) -> Any:
    """The content of a document. Raises yaml.YAMLError, also for what is nested too deeply or stands for too much."""
    _check_size(text)
    return yaml.load(text, _Loader)  # a SafeLoader


def _check_size(text: str) -> None:
    """Counts nodes without making any; an alias counts as often as what it stands for."""
    sizes: dict[str, int] = {}
    open_nodes: list[tuple[str | None, int]] = []  # the anchor of each collection, and the nodes before it
    nodes = 0
    for event in yaml.parse(text, _Loader):
        anchor = getattr(event, "anchor", None)
        if isinstance(event, yaml.CollectionStartEvent):
            open_nodes.append((anchor, nodes))
            nodes += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            anchor, before = open_nodes.pop()
            if anchor is not None:
                sizes[anchor] = nodes - before
        elif isinstance(event, yaml.AliasEvent):
            nodes += sizes.get(str(event.anchor), 1)
        elif isinstance(event, yaml.ScalarEvent):
            nodes += 1
        if len(open_nodes) > _MAX_DEPTH:
            raise yaml.YAMLError(f"more than {_MAX_DEPTH} collections in one another")
        if nodes > _MAX_NODES:
            raise yaml.YAMLError(f"more than {_MAX_NODES} values, aliases counted as what they stand for")
