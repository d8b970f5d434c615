"""YAML as a tree in which every node knows its place; no meaning yet.

The tree is built from ruamel.yaml's events and scalars are resolved by YAML 1.2's core schema
(https://yaml.org/spec/1.2.2/#103-core-schema), so that `no` and `on` are texts. Anchors, tags and directives
are refused: a contract says what it says in one place.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
    StreamStartEvent,
)
from ruamel.yaml.reader import ReaderError

from protoserve.schema.errors import Problem, SchemaError

MAX_DEPTH = 32
# The most digits a number of a schema can sensibly have; longer ones stay text and are refused as such.
_MAX_DIGITS = 40
_MARKER = re.compile(r"^(<<<<<<<|>>>>>>>|\|\|\|\|\|\|\|)(?: .*)?\r?$", re.MULTILINE)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a node stands: offsets into the text (`end` is exclusive), and 1-based line and column of its start."""

    start: int
    end: int
    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """One value: its text without quotes, and what it means (None, a bool, an int, a float or the text)."""

    place: Place
    text: str
    value: bool | int | float | str | None
    quoted: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    place: Place
    items: tuple[Node, ...]
    flow: bool


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the text; a key can stand there twice (see `Section`)."""

    place: Place
    entries: tuple[tuple[Scalar, Node], ...]
    flow: bool


Node = Scalar | Sequence | Mapping


def parse(text: str, file: str) -> Node:
    """The one document in `text`. Raises SchemaError where there is none, or more than plain YAML."""
    markers = list(_MARKER.finditer(text))
    if markers:
        markers = [marker for marker in markers if marker[1] == "<<<<<<<"] or markers[:1]  # a line for each conflict
        lines = _Lines(text)
        raise SchemaError(file, [_conflict(lines.place(m.start(), m.end())) for m in markers])
    return _Builder(text, file).document()


def _conflict(place: Place) -> Problem:
    remedy = "settle the merge: keep one side (or both, with different numbers) and take the markers out"
    return Problem(place.line, place.column, "", "a merge-conflict marker", remedy)


class _Lines:
    """Offsets to lines and columns, as editors count them."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, start: int, end: int) -> Place:
        line = bisect_right(self._starts, start)
        return Place(start, end, line, start - self._starts[line - 1] + 1)


class _Builder:
    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._lines = _Lines(text)
        self._events: Iterator[Event] = iter(())

    def document(self) -> Node:
        try:
            self._events = iter(YAML(typ="safe", pure=True).parse(self._text))
            return self._document()
        except MarkedYAMLError as error:
            raise self._syntax(error) from None
        except ReaderError as error:
            place = self._lines.place(error.position, error.position + 1)
            message = f"the character U+{ord(self._text[error.position]):04X} is not allowed in YAML"
            raise self._fail(place, message, "take it out") from None
        except YAMLError as error:
            raise self._fail(self._lines.place(0, 0), f"no YAML: {str(error).splitlines()[0]}", "rewrite it") from None

    def _fail(self, place: Place, message: str, remedy: str) -> SchemaError:
        return SchemaError(self._file, [Problem(place.line, place.column, "", message, remedy)])

    def _place(self, event: Event) -> Place:
        return self._lines.place(event.start_mark.index, event.end_mark.index)

    def _document(self) -> Node:
        found: Node | None = None
        for event in self._events:
            if isinstance(event, (StreamStartEvent, StreamEndEvent)):
                continue
            if isinstance(event, DocumentStartEvent):
                if found is not None:
                    raise self._fail(self._place(event), "a second document", "keep one document in the file")
                if event.version is not None or event.tags:
                    raise self._fail(self._place(event), "a YAML directive", "take the line that starts with % out")
                found = self._node(next(self._events), 0)
        if found is None:
            remedy = "write a schema, beginning with `package:`"
            raise self._fail(self._lines.place(0, 0), "the file is empty", remedy)
        return found

    def _node(self, event: Event, depth: int) -> Node:
        place = self._place(event)
        if isinstance(event, AliasEvent):
            raise self._fail(place, f"an alias (*{event.anchor})", "write the value out")
        assert isinstance(event, (ScalarEvent, SequenceStartEvent, MappingStartEvent))  # nothing else begins a node
        if event.anchor is not None:
            raise self._fail(place, f"an anchor (&{event.anchor})", "take it out")
        if event.ctag is not None:
            raise self._fail(place, f"a tag ({event.ctag})", "take it out, or put the text in quotes")
        if depth > MAX_DEPTH:
            raise self._fail(place, f"nested deeper than {MAX_DEPTH} levels", "flatten it")
        if isinstance(event, ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(self._events), SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return Sequence(self._until(place, inner), tuple(items), bool(event.flow_style))
        return self._mapping(event, place, depth)

    def _mapping(self, event: MappingStartEvent, place: Place, depth: int) -> Mapping:
        entries: list[tuple[Scalar, Node]] = []
        while not isinstance(inner := next(self._events), MappingEndEvent):
            key = self._node(inner, depth + 1)
            if not isinstance(key, Scalar):
                raise self._fail(key.place, "a key that is no plain word", "put one word before the colon")
            entries.append((key, self._node(next(self._events), depth + 1)))
        return Mapping(self._until(place, inner), tuple(entries), bool(event.flow_style))

    def _until(self, place: Place, event: Event) -> Place:
        return Place(place.start, event.end_mark.index, place.line, place.column)

    def _scalar(self, event: ScalarEvent, place: Place) -> Scalar:
        text: str = event.value
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise self._fail(place, "half of a surrogate pair (\\ud800 to \\udfff)", "write the character itself")
        quoted = event.style is not None
        return Scalar(place, text, text if quoted else _resolve(text), quoted)

    def _syntax(self, error: MarkedYAMLError) -> SchemaError:
        """The parser's complaint in plain words, at the place where the author can mend it."""
        problem = str(error.problem or error.context or "no YAML")
        mark = error.problem_mark or error.context_mark
        index = 0 if mark is None else mark.index
        if "unexpected end of stream" in problem and error.context_mark is not None:
            return self._fail(self._at(error.context_mark.index), "a quoted text is not closed", "close the quotes")
        place = self._at(index)
        start = index - place.column + 1
        if "\t" in re.match(r"[ \t]*", self._text[start:] + " ").group():  # type: ignore[union-attr]  # always matches
            tab = self._at(start + self._text[start:].index("\t"))
            return self._fail(tab, "a tab in the indentation", "indent with spaces")
        if "mapping values are not allowed" in problem:
            remedy = "put a text that holds a colon in quotes, and check the indentation"
            return self._fail(place, "a colon where none can be", remedy)
        if "cannot start any token" in problem:
            shown = self._text[index : index + 1]
            return self._fail(place, f"{shown!r} cannot start a value", "put the text in quotes")
        if "<stream end>" in problem:
            return self._fail(place, "the file ends inside a bracket", "close every { and [")
        if "expected ',' or" in problem:
            bracket = "}" if "'}'" in problem else "]"
            return self._fail(place, f"a comma or {bracket!r} is missing", "close the bracket or put a comma")
        return self._fail(place, f"no YAML: {problem}", "check the indentation and the brackets here and above")

    def _at(self, index: int) -> Place:
        return self._lines.place(min(index, len(self._text)), min(index + 1, len(self._text)))


def _resolve(text: str) -> bool | int | float | str | None:
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE"):
        return True
    if text in ("false", "False", "FALSE"):
        return False
    if len(text) > _MAX_DIGITS:
        return text
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    infinite = _INFINITE.fullmatch(text)
    if infinite:
        return -math.inf if infinite.group(1) == "-" else math.inf
    # The one object, so that two readings of a text compare equal (NaN is not equal to itself).
    return math.nan if text in (".nan", ".NaN", ".NAN") else text
