"""What must be known of a .proto before protoc reads it: its imports, and its custom options, which are left out.

Custom options change nothing on the wire, and their definitions are often in files that nobody has at hand, or that are
written in proto2. Without the options, those files are not needed.
"""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<comment>//[^\n]*|/\*.*?(?:\*/|\Z))"
    r"|(?P<text>\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*')"
    r"|(?P<word>[A-Za-z_][A-Za-z0-9_.]*)"
    r"|(?P<symbol>\S)",
    re.DOTALL,
)
_OPTION_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,199}")
_OPENING = {"(": ")", "[": "]", "{": "}"}
_CLOSING = frozenset(_OPENING.values())


@dataclass(frozen=True, slots=True)
class Import:
    """One import statement: the path that it names, its line and column from 1, and where it is in the text."""

    path: str
    line: int
    column: int
    public: bool
    span: tuple[int, int]


@dataclass(frozen=True, slots=True)
class Scan:
    """`text` has spaces in place of custom options, so that every other part keeps its place. `options` names them."""

    text: str
    imports: tuple[Import, ...]
    options: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    end: int


def scan(text: str) -> Scan:
    """The imports of a .proto and its text without custom options; of a text that is not valid, as much as is clear."""
    scanner = _Scanner(text)
    spans = sorted(scanner.custom_options())
    return Scan(blanked(text, spans), tuple(scanner.imports()), tuple(dict.fromkeys(scanner.names)))


class _Scanner:
    """The tokens of a text. `names` are those of the custom options that `custom_options` has come to."""

    def __init__(self, text: str) -> None:
        matches = (match for match in _TOKEN.finditer(text) if match.lastgroup != "comment")
        self.tokens = [_Token(match[0], match.start(), match.end()) for match in matches]
        self.names: list[str] = []
        self._closing = _closing_brackets(self.tokens)
        self._newlines = [index for index, character in enumerate(text) if character == "\n"]

    def imports(self) -> Iterator[Import]:
        for index, token in enumerate(self.tokens):
            if token.text != "import" or not self._begins_statement(index):
                continue
            words = [item.text for item in self.tokens[index + 1 : index + 4]]
            at = 1 if words[:1] in (["public"], ["weak"]) else 0
            if len(words) > at + 1 and words[at][0] in "\"'" and words[at + 1] == ";":
                line = bisect.bisect(self._newlines, token.start)
                line_start = self._newlines[line - 1] + 1 if line else 0
                span = token.start, self.tokens[index + at + 2].end
                yield Import(words[at][1:-1], line + 1, token.start - line_start + 1, words[0] == "public", span)

    def custom_options(self) -> Iterator[tuple[int, int]]:
        """The beginning and the end of each custom option."""
        index = 0
        while index < len(self.tokens):
            text = self.tokens[index].text
            if text == "option" and self._begins_statement(index):
                end = self._statement_end(index)
                if end is not None and self.tokens[index + 1].text == "(":
                    self.names.append(self._name(index + 1))
                    yield self.tokens[index].start, self.tokens[end].end
                    index = end
            elif text == "[" and index in self._closing:
                yield from self._among_field_options(index)
                index = self._closing[index]
            index += 1

    def _begins_statement(self, index: int) -> bool:
        return index == 0 or self.tokens[index - 1].text in (";", "{", "}")

    def _statement_end(self, start: int) -> int | None:
        """The index of the semicolon that ends the statement at `start`; None without one."""
        index = start
        while index < len(self.tokens):
            text = self.tokens[index].text
            if text == ";":
                return index
            if text in _CLOSING or (text in _OPENING and index not in self._closing):
                return None
            index = self._closing.get(index, index) + 1
        return None

    def _name(self, opening: int) -> str:
        """The name of a custom option, between parentheses."""
        inside = self.tokens[opening + 1 : self._closing.get(opening, opening)]
        name = "".join(token.text for token in inside).lstrip(".")
        return name if _OPTION_NAME.fullmatch(name) else "one without a name"

    def _among_field_options(self, opening: int) -> Iterator[tuple[int, int]]:
        """The custom ones among options in brackets, each with a comma that is left over without it."""
        entries = list(self._entries(opening + 1, self._closing[opening]))
        custom = [entry for entry in entries if self.tokens[entry[0]].text == "("]
        self.names += [self._name(first) for first, _ in custom]
        kept = [entry for entry in entries if self.tokens[entry[0]].text != "("]
        if custom and not kept:
            yield self.tokens[opening].start, self.tokens[self._closing[opening]].end
            return
        for first, last in custom:
            if first > kept[0][0]:
                yield self.tokens[first - 1].start, self.tokens[last].end
            else:
                yield self.tokens[first].start, self.tokens[last + 1].end

    def _entries(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The first and the last index of each item between commas."""
        first = index = start
        while index < end:
            if self.tokens[index].text == "," and first < index:
                yield first, index - 1
                first = index + 1
            index = self._closing.get(index, index) + 1
        if first < end:
            yield first, end - 1


def _closing_brackets(tokens: Sequence[_Token]) -> dict[int, int]:
    """The index of the bracket that closes the one at each index."""
    closing: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.text in _OPENING:
            opened.append(index)
        elif token.text in _CLOSING and opened and _OPENING[tokens[opened[-1]].text] == token.text:
            closing[opened.pop()] = index
    return closing


def blanked(text: str, spans: Sequence[tuple[int, int]]) -> str:
    """The text with spaces in these places, which are sorted."""
    parts, done = [], 0
    for start, end in spans:
        parts += [text[done:start], re.sub(r"[^\n]", " ", text[start:end])]
        done = end
    return "".join([*parts, text[done:]])
