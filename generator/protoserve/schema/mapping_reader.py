"""One mapping of a schema: its values by key, of the type that is asked for, and what is wrong with them."""

from __future__ import annotations

import difflib
import math
import unicodedata
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as Table
from typing import Any

from protoserve.platform.yaml_tree import Mapping, Node, Place, Scalar, Sequence
from protoserve.schema.errors import MAX_PROBLEMS, Problem
from protoserve.schema.model import Where

_LONGEST_PATH = 300


class TooManyProblems(Exception):
    """There are MAX_PROBLEMS problems, and perhaps more."""


class Problems:
    """What is wrong with a schema, in no order."""

    def __init__(self) -> None:
        self.items: list[Problem] = []

    def add(self, place: Place, path: str, message: str, remedy: str) -> None:
        """Raises TooManyProblems once there are MAX_PROBLEMS."""
        if len(path) > _LONGEST_PATH:
            path = f"{path[: _LONGEST_PATH // 2]}...{path[-_LONGEST_PATH // 2 :]}"
        self.items.append(Problem(place.line, place.column, path, message, remedy))
        if len(self.items) >= MAX_PROBLEMS:
            raise TooManyProblems


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was probably meant."""
    spelled = {item.lower(): item for item in known}
    close = difflib.get_close_matches(word.lower(), spelled, 1)
    return spelled[close[0]] if close else None


def shown(text: str) -> str:
    """A text of the schema inside a message: on one line and not too long."""
    return repr(text if len(text) <= 60 else f"{text[:57]}...")


def described(node: Node) -> str:
    """What stands there, for `must be ..., not ...`."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    if node.value is None:
        return "nothing"
    kind = {bool: "", int: "the number ", float: "the number "}.get(type(node.value), "the text ")
    return f"{kind}{shown(node.text) if isinstance(node.value, str) else node.text}"


class Section:
    """A mapping with its path. The getters give None for a key that is absent, or wrong and then reported."""

    def __init__(self, node: Mapping, path: str, problems: Problems, where: Place | None = None) -> None:
        self.node = node
        self.path = path
        self.problems = problems
        self.place = where or node.place
        self._values: dict[str, Node] = {}
        first: dict[str, Scalar] = {}
        for key, value in node.entries:
            if key.text in first:
                line = first[key.text].place.line
                self._report_at(
                    key.place, key.text, f"the key appears twice (first on line {line})", "keep one of the two"
                )
            else:
                first[key.text] = key
                self._values[key.text] = value
        self.keys = first

    @property
    def where(self) -> Where:
        return Where(self.place.line, self.place.column, self.path)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def at(self, key: str | None) -> Place:
        """The place of a key's value; of the section where the key is missing."""
        return self._values[key].place if key in self._values else self.place

    def report(self, key: str | None, message: str, remedy: str) -> None:
        self._report_at(self.at(key), key if key in self._values else None, message, remedy)

    def _report_at(self, place: Place, key: str | None, message: str, remedy: str) -> None:
        path = ".".join(part for part in (self.path, key) if part)
        self.problems.add(place, path, message, remedy)

    def allow(self, known: Iterable[str], meant: Table[str, str] | None = None) -> None:
        """Reports unknown keys; `meant` says what to write for keys that people try."""
        known = tuple(known)
        for name, key in self.keys.items():
            if name in known:
                continue
            remedy = (meant or {}).get(name)
            guess = nearest(name, known)
            if remedy is None:
                remedy = f"did you mean {guess!r}?" if guess else f"known here: {', '.join(known)}"
            self._report_at(key.place, name, f"unknown key {shown(name)}", remedy)

    def node_of(self, key: str) -> Node | None:
        return self._values.get(key)

    def _expected(self, key: str, node: Node, wanted: str, remedy: str) -> None:
        if isinstance(node, Scalar) and node.value is None:
            self.report(key, f"{key!r} is empty", f"{remedy}, or take the key out")
        else:
            self.report(key, f"{key!r} must be {wanted}, not {described(node)}", remedy)

    def text(self, key: str, *, lines: bool = False, exact: bool = False) -> str | None:
        """A text, stripped unless it is `exact`; of several lines only where `lines` says so."""
        node = self._values.get(key)
        if node is None:
            return None
        if not isinstance(node, Scalar) or not isinstance(node.value, str):
            quoted = isinstance(node, Scalar) and node.value is not None
            remedy = f'write it in quotes: {key}: "{node.text}"' if quoted else "write a text"  # type: ignore[union-attr]
            self._expected(key, node, "a text", remedy)
            return None
        text = node.text if exact else node.text.strip()
        control = next((c for c in text if unicodedata.category(c) in ("Cc", "Zl", "Zp") and c not in "\n\t"), None)
        if control is not None:
            self.report(key, f"{key!r} contains the control character U+{ord(control):04X}", "take it out")
            return None
        if not lines and "\n" in text:
            self.report(key, f"{key!r} has several lines", "write it on one line")
            return None
        return text

    def flag(self, key: str) -> bool | None:
        node = self._values.get(key)
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return node.value
        self._expected(key, node, "true or false", "write true or false")
        return None

    def integer(self, key: str, low: int, high: int, remedy: str | None = None) -> int | None:
        """An integer from `low` to `high`."""
        node = self._values.get(key)
        if node is None:
            return None
        remedy = remedy or f"write an integer from {low} to {high}"
        if not isinstance(node, Scalar) or not isinstance(node.value, int) or isinstance(node.value, bool):
            self._expected(key, node, "an integer", remedy)
            return None
        if not low <= node.value <= high:
            self.report(key, f"{key!r} must be from {low} to {high}, not {node.text}", remedy)
            return None
        return node.value

    def number(self, key: str) -> int | float | None:
        """A finite number."""
        node = self._values.get(key)
        if node is None:
            return None
        if isinstance(node, Scalar) and isinstance(node.value, (int, float)) and not isinstance(node.value, bool):
            if math.isfinite(node.value):
                return node.value
            self.report(key, f"{key!r} is not finite", "take the key out: without it the value is unlimited")
            return None
        self._expected(key, node, "a number", "write a number")
        return None

    def choice(self, key: str, options: tuple[str, ...], default: str) -> str:
        if key not in self._values:
            return default
        node = self._values[key]
        if isinstance(node, Scalar) and node.text in options:
            return node.text
        self._expected(key, node, " or ".join(options), f"write {' or '.join(options)}")
        return default

    def items(self, key: str, what: str) -> tuple[Node, ...] | None:
        """The items of a list; an empty value is an empty list."""
        node = self._values.get(key)
        if node is None or isinstance(node, Sequence):
            return None if node is None else node.items
        if isinstance(node, Scalar) and node.value is None:
            return ()
        self.report(key, f"{key!r} must be a list, not {described(node)}", f"write a list of {what}")
        return None

    def section(self, key: str) -> Section | None:
        """The mapping below `key`; an empty value is an empty mapping."""
        node = self._values.get(key)
        if node is None:
            return None
        path = ".".join(part for part in (self.path, key) if part)
        if isinstance(node, Mapping):
            return Section(node, path, self.problems)
        if isinstance(node, Scalar) and node.value is None:
            return Section(Mapping(node.place, (), True), path, self.problems, self.keys[key].place)
        self.report(key, f"{key!r} must be a mapping, not {described(node)}", "write `key: value` pairs below it")
        return None

    def sections(self) -> Iterator[tuple[str, Section]]:
        """Each key with the mapping below it (`enums`, `messages`, `methods`), standing where its key stands."""
        for name, key in self.keys.items():
            inner = self.section(name)
            if inner is not None:
                inner.place = key.place
                yield name, inner


def plain(node: Node) -> Any:
    """A node as JSON-like data. Keys are texts."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key.text: plain(value) for key, value in node.entries}
