"""YAML as a tree in which every node knows its place in the text.

`parse` reads a schema: one document, without anchors, tags and directives, since a contract says what it says in one
place. `parse_all` reads what other programs read too, and takes all of these.

The tree is built from the events of PyYAML's parser in Python, never of the one in C: the two accept different texts
(`[a?]`), the one in C counts other offsets after a byte-order mark and for empty values, and it is not installed
everywhere. The one in Python ends a plain text in brackets at a question mark, which YAML 1.2 does not; `_guarded`
makes up for that. Both are stricter than YAML 1.2 about tabs, which `_in_plain_words` explains to whoever wrote one.
"""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
)
from yaml.reader import ReaderError

from protoserve.platform.errors import ProtoserveError

MAX_DEPTH = 32
# The most digits a number of a schema can sensibly have; longer ones stay text and are refused as such.
_MAX_DIGITS = 40
_CONFLICT_MARKER = re.compile(r"^(<<<<<<<|>>>>>>>|\|\|\|\|\|\|\|)(?: .*)?\r?$", re.MULTILINE)
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"([-+]?)\.(inf|Inf|INF)")
# Line ends in YAML 1.1, ordinary characters in YAML 1.2 and in editors.
_OTHER_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
# A question mark inside a plain text: not at its beginning, where it is the indicator of a key.
_QUESTION_MARK = re.compile(r"(?<=[^\s\[\]{},:\ufeff-])( *)\?")
_SURROGATE = re.compile("[\ud800-\udfff]")
# Tags of plain values; a value with any other tag is a text.
_PLAIN_TAGS = frozenset(f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float"))

Value = bool | int | float | str | None


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
    value: Value
    quoted: bool


@dataclass(frozen=True, slots=True)
class Sequence:
    place: Place
    items: tuple[Node, ...]
    flow: bool


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys and values in the order of the text; a key can stand there twice."""

    place: Place
    entries: tuple[tuple[Scalar, Node], ...]
    flow: bool


Node = Scalar | Sequence | Mapping


@dataclass(frozen=True, slots=True)
class Fault:
    """Why a text cannot be read, and what to do about it."""

    place: Place
    message: str
    remedy: str


class YamlError(ProtoserveError):
    """A text that is not the YAML that was asked for; it has at least one fault."""

    def __init__(self, *faults: Fault) -> None:
        self.faults = faults
        super().__init__("\n".join(f"{f.place.line}:{f.place.column}: {f.message}; {f.remedy}" for f in faults))


def parse(text: str) -> Node:
    """The only document of a schema, with scalars by YAML 1.2. Raises YamlError."""
    markers = list(_CONFLICT_MARKER.finditer(text))
    if markers:
        one_per_conflict = [marker for marker in markers if marker[1] == "<<<<<<<"] or markers[:1]
        remedy = "settle the merge: keep one side (or both, with different numbers) and take the markers out"
        lines = _Lines(text)
        raise YamlError(*(Fault(lines.place(*m.span()), "a merge-conflict marker", remedy) for m in one_per_conflict))
    separator = _OTHER_LINE_ENDS.search(text)
    if separator:
        message = f"the character U+{ord(separator[0]):04X} is not allowed in a schema"
        raise YamlError(Fault(_Lines(text).place(*separator.span()), message, "take it out"))
    documents = _Builder(text, resolve, strict=True).documents()
    if not documents:
        raise YamlError(Fault(Place(0, 0, 1, 1), "the file is empty", "write a schema, beginning with `package:`"))
    return documents[0]


def parse_all(text: str, resolve: Callable[[str], Value], max_depth: int) -> list[Node]:
    """All documents; `resolve` gives the meaning of a plain scalar. Raises YamlError.

    An alias is the very node that its anchor names, so a tree that is small here can be large to walk.
    """
    return _Builder(text, resolve, max_depth).documents()


def _guarded(text: str) -> tuple[str, str]:
    """The text with each question mark inside a plain text replaced by one other character, and that character."""
    guard = next(chr(code) for code in range(0xE000, 0xF900) if chr(code) not in text)  # for private use
    return _QUESTION_MARK.sub(rf"\1{guard}", text), guard


class _Lines:
    """Offsets to lines and columns, as editors count them."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(match.end() for match in re.finditer("\n", text))]

    def place(self, start: int, end: int) -> Place:
        line = bisect_right(self._starts, start)
        return Place(start, end, line, start - self._starts[line - 1] + 1)


class _Builder:
    def __init__(
        self, text: str, resolve: Callable[[str], Value], max_depth: int = MAX_DEPTH, *, strict: bool = False
    ) -> None:
        self._text = text
        self._guarded, self._guard = _guarded(text)
        self._resolve = resolve
        self._max_depth = max_depth
        self._strict = strict
        self._lines = _Lines(text)
        self._events: Iterator[Event] = iter(())
        self._anchors: dict[str, Node] = {}

    def documents(self) -> list[Node]:
        try:
            self._events = yaml.parse(self._guarded, Loader=yaml.SafeLoader)
            return list(self._documents())
        except yaml.MarkedYAMLError as error:
            raise YamlError(self._syntax_fault(error)) from None
        except ReaderError as error:
            message = f"the character U+{ord(self._text[error.position]):04X} is not allowed in YAML"
            raise self._error(self._character(error.position), message, "take it out") from None

    def _documents(self) -> Iterator[Node]:
        seen = 0
        for event in self._events:
            if not isinstance(event, DocumentStartEvent):
                continue
            if self._strict and seen:
                raise self._error(self._place(event), "a second document", "keep one document in the file")
            if self._strict and (event.version is not None or event.tags):
                raise self._error(self._place(event), "a YAML directive", "take the line that starts with % out")
            seen += 1
            self._anchors.clear()
            yield self._node(next(self._events), 0)

    def _node(self, event: Event, depth: int) -> Node:
        place = self._place(event)
        if isinstance(event, AliasEvent):
            if self._strict:
                raise self._error(place, f"an alias (*{event.anchor})", "write the value out")
            if event.anchor not in self._anchors:
                raise self._error(place, f"the alias *{event.anchor} has no anchor above it", "write the value out")
            return self._anchors[event.anchor]
        assert isinstance(event, (ScalarEvent, SequenceStartEvent, MappingStartEvent))  # nothing else begins a node
        if self._strict and event.anchor is not None:
            raise self._error(place, f"an anchor (&{event.anchor})", "take it out")
        if self._strict and event.tag is not None:
            raise self._error(place, f"a tag ({event.tag})", "take it out, or put the text in quotes")
        if depth > self._max_depth:
            raise self._error(place, f"nested deeper than {self._max_depth} levels", "flatten it")
        node = self._scalar(event, place) if isinstance(event, ScalarEvent) else self._collection(event, place, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _collection(self, event: SequenceStartEvent | MappingStartEvent, place: Place, depth: int) -> Node:
        flow = bool(event.flow_style)
        if isinstance(event, SequenceStartEvent):
            items: list[Node] = []
            while not isinstance(inner := next(self._events), SequenceEndEvent):
                items.append(self._node(inner, depth + 1))
            return Sequence(self._extended(place, inner), tuple(items), flow)
        entries: list[tuple[Scalar, Node]] = []
        while not isinstance(inner := next(self._events), MappingEndEvent):
            key = self._node(inner, depth + 1)
            if not isinstance(key, Scalar):
                raise self._error(key.place, "a key must be one word", "put one word before the colon")
            entries.append((key, self._node(next(self._events), depth + 1)))
        return Mapping(self._extended(place, inner), tuple(entries), flow)

    def _scalar(self, event: ScalarEvent, place: Place) -> Scalar:
        text: str = event.value.replace(self._guard, "?")
        if _SURROGATE.search(text):
            raise self._error(place, "half of a surrogate pair (\\ud800 to \\udfff)", "write the character itself")
        quoted = event.style is not None
        plain = not quoted and (event.tag is None or event.tag in _PLAIN_TAGS)
        return Scalar(place, text, self._resolve(text) if plain else text, quoted)

    def _place(self, event: Event) -> Place:
        return self._lines.place(_offset(event.start_mark), _offset(event.end_mark))

    def _extended(self, place: Place, last: Event) -> Place:
        """The place of a collection, from its beginning to the end of its last event."""
        return Place(place.start, _offset(last.end_mark), place.line, place.column)

    def _character(self, index: int) -> Place:
        return self._lines.place(min(index, len(self._text)), min(index + 1, len(self._text)))

    def _error(self, place: Place, message: str, remedy: str) -> YamlError:
        return YamlError(Fault(place, message, remedy))

    def _syntax_fault(self, error: yaml.MarkedYAMLError) -> Fault:
        """The parser's complaint in plain words, at the place where the author can mend it."""
        problem = str(error.problem or error.context).replace(repr(self._guard), "'?'")
        place = self._character(_offset(error.problem_mark or error.context_mark))
        if "unexpected end of stream" in problem and error.context_mark is not None:
            start = self._character(_offset(error.context_mark))
            return Fault(start, "a quoted text is not closed", "close the quotes")
        line_start = place.start - place.column + 1
        indent = self._text[line_start:].removesuffix(self._text[line_start:].lstrip(" \t"))
        if "\t" in indent:
            tab = self._character(line_start + indent.index("\t"))
            return Fault(tab, "a tab in the indentation", "indent with spaces")
        return Fault(place, *_in_plain_words(problem, self._text[place.start : place.end]))


def _offset(mark: Any) -> int:
    """Where a mark of PyYAML is; the types of its stubs allow for marks without a place."""
    offset: int = mark.index
    return offset


def _in_plain_words(problem: str, character: str) -> tuple[str, str]:
    """What PyYAML calls a `problem`, at a character of the text: what is wrong, and what to do about it."""
    in_quotes = "put the text in quotes"
    if "mapping values are not allowed" in problem:
        return "a colon where none can be", "put a text that holds a colon in quotes, and check the indentation"
    if character == "\t":
        return "a tab between values", f"write spaces in its place, or {in_quotes}"
    if character == "?":
        return "a question mark where none can be", in_quotes
    if "cannot start any token" in problem:
        return f"{character!r} cannot start a value", in_quotes
    if "<stream end>" in problem:
        return "the file ends inside a bracket", "close every { and ["
    if "expected ',' or" in problem:
        bracket = "}" if "'}'" in problem else "]"
        return f"a comma or {bracket!r} is missing", "close the bracket or put a comma"
    return f"this is not YAML: {problem}", "check the indentation and the brackets here and above"


def resolve(text: str) -> Value:
    """What a plain scalar means by YAML 1.2's core schema (https://yaml.org/spec/1.2.2/#103-core-schema).

    `no` and `on` are texts in it.
    """
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
