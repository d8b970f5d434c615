"""The one-line form of a contract, for a prompt or a command line, to the text of a schema file.

    sepal_length: float64, image?: uint8[height, width, 3] -> species: Species(setosa|versicolor), p: float32[3]

`?` makes a field optional, `[]` a list, `Name(a|b)` defines an enum where it is first used, `map<string, float64>`
is a map, and `-> stream` makes the reply a stream of responses.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

from protoserve.schema import reserved_names
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.load import loads
from protoserve.schema.rules import type_name
from protoserve.schema.types import LISTS, SCALARS

FILE = "signature"
_TOKEN = re.compile(r"\s*(->|[A-Za-z_][A-Za-z0-9_]*|[0-9]+|\S)")
_SYMBOLS = frozenset(("->", *":?,|()[]<>"))
_OPENING, _CLOSING = frozenset("([<"), frozenset(")]>")
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


@dataclass(frozen=True, slots=True)
class _Token:
    """`at` is the 0-based column; the last token has the empty text."""

    text: str
    at: int

    @property
    def word(self) -> bool:
        return bool(_WORD.fullmatch(self.text))

    @property
    def known(self) -> bool:
        """Whether it can stand anywhere in a signature."""
        return self.text in _SYMBOLS or self.word or self.text.isdecimal() or not self.text


@dataclass(slots=True)
class _Type:
    name: str
    at: int
    key: str | None = None


@dataclass(slots=True)
class _Field:
    name: str
    at: int
    optional: bool
    type: _Type
    shape: list[str] | None
    shape_at: int

    def yaml(self, number: int) -> str:
        parts = [f"name: {self.name}", f"number: {number}"]
        if self.type.key is None:
            parts.append(f"type: {self.type.name}")
        else:
            parts.append(f"key: {self.type.key}, value: {self.type.name}")
        if self.shape == []:
            parts.append("repeated: true")
        elif self.shape is not None:
            parts.append(f"shape: [{', '.join(self.shape)}]")
        if self.optional:
            parts.append("required: false")
        return f"{{{', '.join(parts)}}}"


@dataclass(slots=True)
class _Enum:
    at: int
    values: list[tuple[str, int]] = field(default_factory=list)

    def names(self) -> list[str]:
        return [name for name, _ in self.values]


def signature_to_yaml(line: str, package: str) -> str:
    """The schema that `line` stands for, in the proto package `package`, with all its numbers.

    Raises SchemaError whose columns point into `line`.
    """
    return _Parser(line.rstrip("\n")).schema(package)


class _Parser:
    def __init__(self, line: str) -> None:
        self._line = line
        self._tokens = self._split()
        self._next = 0
        self._enums: dict[str, _Enum] = {}
        self._streaming = False
        self._problems: list[Problem] = []

    def schema(self, package: str) -> str:
        try:
            text, request, response = self._schema(package)
        except SchemaError as error:
            raise SchemaError(FILE, [*self._problems, *error.problems], source=self._line) from None
        if self._problems:
            raise SchemaError(FILE, self._problems, source=self._line)
        self._check(text, request, response)
        return text

    def _schema(self, package: str) -> tuple[str, list[_Field], list[_Field]]:
        request = self._fields("->")
        arrow = self._take()
        self._streaming = self._peek().text == "stream" and self._peek(1).word
        if self._streaming:
            self._take()
        response = self._fields("")
        if not response:
            raise self._error(arrow.at, "response", "the response has no field", "write one after the arrow")
        return self._yaml(package, request, response), request, response

    def _split(self) -> list[_Token]:
        tokens: list[_Token] = []
        at, end = 0, len(self._line.rstrip())
        while at < end:
            match = _TOKEN.match(self._line, at)
            assert match is not None  # a pattern that takes any character
            tokens.append(_Token(match[1], match.start(1)))
            at = match.end()
        return [*tokens, _Token("", end)]

    def _report(self, at: int, path: str, message: str, remedy: str) -> None:
        """Keeps what is wrong with a name or a size, after which the rest of the line can still be read."""
        self._problems.append(Problem(1, at + 1, path, message, remedy))

    def _error(self, at: int, path: str, message: str, remedy: str) -> SchemaError:
        return SchemaError(FILE, [Problem(1, at + 1, path, message, remedy)], source=self._line)

    def _peek(self, ahead: int = 0) -> _Token:
        return self._tokens[min(self._next + ahead, len(self._tokens) - 1)]

    def _take(self) -> _Token:
        token = self._peek()
        self._next += 1
        return token

    def _expect(self, wanted: str, path: str, remedy: str) -> _Token:
        token = self._peek()
        if token.text != wanted:
            raise self._missing(repr(wanted), path, remedy)
        return self._take()

    def _missing(self, what: str, path: str, remedy: str) -> SchemaError:
        """The error that something else stands where `what` must be."""
        token = self._peek()
        if not token.known:
            return self._error(token.at, "", f"{token.text!r} has no meaning here", "take it out")
        return self._error(token.at, path, f"{what} is missing before {_token_text(token)}", remedy)

    def _word(self, what: str, path: str) -> _Token:
        if not self._peek().word:
            raise self._missing(what, path, f"write {what}")
        return self._take()

    def _up_to(self, *ends: str) -> tuple[int, str]:
        """How many tokens stand before the first of these outside of brackets, and that token."""
        ahead, depth = 0, 0
        while (token := self._peek(ahead)).text and (depth or token.text not in ends):
            depth += (token.text in _OPENING) - (token.text in _CLOSING)
            ahead += 1
        return ahead, token.text

    def _take_name(self, count: int, what: str, path: str, usable: Callable[[str], str], remedy: str) -> _Token:
        """The next `count` tokens as a name; one that is not a word is reported, and read as what it could be."""
        first = self._peek()
        written = self._line[first.at : self._peek(count).at].rstrip()
        self._next += count
        if _WORD.fullmatch(written):
            return first
        original = written.strip("\"'`") or written
        message = f"{written!r} is not the name of a {what}, which has letters a-z, digits and underscores only"
        name = usable(original)
        self._report(first.at, path, message, remedy.format(name=name, original=original))
        return _Token(name, first.at)

    def _field_name(self, path: str) -> _Token:
        """The name of a field, which a table's own name for a column often cannot be."""
        count, end = self._up_to(":", ",", "->")
        if end != ":":
            return self._word("the name of a field", path)
        if count and self._peek(count - 1).text == "?":
            count -= 1
        if not count:
            return self._word("the name of a field", path)
        remedy = "write `{name}` (and, if the model calls it so, `source: {original}` in schema.yaml later)"
        return self._take_name(count, "field", path, reserved_names.usable_field, remedy)

    def _value_name(self, path: str) -> _Token:
        """The name of an enum's value, which a label often cannot be."""
        count, end = self._up_to("|", ")", ",", "->")
        if count and end == ",":
            comma = self._peek(count).at
            raise self._error(comma, path, "a comma stands between values", "write `Name(first|second)`")
        if not count or end not in ("|", ")"):
            return self._word("the name of a value", path)
        remedy = "write `{name}`, and where the model wants the label itself, map the value to it in model.py"
        return self._take_name(count, "value", path, reserved_names.as_snake, remedy)

    def _fields(self, end: str) -> list[_Field]:
        path = "request" if end else "response"
        fields: list[_Field] = []
        while self._peek().text not in (end, ""):
            if fields:
                remedy = "write fields as `a: float64, b: string` and one arrow between request and response"
                self._expect(",", path, remedy)
            fields.append(self._field(path))
        if self._peek().text != end:
            remedy = "write `REQUEST FIELDS -> RESPONSE FIELDS`"
            raise self._error(self._peek().at, "", "the arrow '->' is missing", remedy)
        return fields

    def _field(self, path: str) -> _Field:
        count, end = self._up_to(":", ",", "->")
        if count and end != ":":
            return self._untyped_field(count, path)
        name = self._field_name(path)
        path = f"{path}.{name.text}"
        optional = self._peek().text == "?"
        if optional:
            self._take()
        self._expect(":", path, "write `name: type`")
        kind = self._type(path)
        shape_at = self._peek().at
        shape = self._shape(kind, path) if self._peek().text == "[" else None
        if kind.name.lower() in LISTS and kind.name not in self._enums:
            item = type_name(shape[0]) if shape else "float64"
            raise self._error(kind.at, path, "a list is written as the type of its items and []", f"write `{item}[]`")
        if optional and (shape == [] or kind.key is not None):
            what = "a map" if kind.key is not None else "a list"
            raise self._error(name.at, path, f"{what} is never required: it can be empty", "take the '?' out")
        return _Field(name.text, name.at, optional, kind, shape, shape_at)

    def _untyped_field(self, count: int, path: str) -> _Field:
        """The next `count` tokens, which have no colon: reported, and read as a field."""
        first = self._peek()
        written = self._line[first.at : self._peek(count).at].rstrip()
        self._next += count
        words, _, last = written.rpartition(" ")
        known = type_name(last) in SCALARS and words
        name, kind = (words, last) if known else (written, "float64")
        name = reserved_names.usable_field(name)
        more = "" if known else ", or with another type"
        self._report(first.at, path, f"{written!r} has no colon before its type", f"write `{name}: {kind}`{more}")
        return _Field(name, first.at, False, _Type(type_name(kind), first.at), None, first.at)

    def _type(self, path: str) -> _Type:
        word = self._word("a type", path)
        if word.text == "map" and self._peek().text == "<":
            self._take()
            key = self._word("the type of the keys", path)
            self._expect(",", path, "write `map<string, float64>`")
            value = self._type(path)
            if value.key is not None:
                raise self._error(value.at, path, "a map of maps", "put the inner map into a message, in a schema file")
            self._expect(">", path, "write `map<string, float64>`")
            return _Type(value.name, word.at, key.text)
        if self._peek().text == "(":
            self._values(word, path)
        return _Type(word.text, word.at)

    def _values(self, name: _Token, path: str) -> None:
        """The values of an enum; one that is written twice must have the same ones."""
        enum = _Enum(name.at)
        while not enum.values or self._peek().text == "|":
            self._take()
            value = self._value_name(path)
            enum.values.append((value.text, value.at))
        self._expect(")", path, "write `Name(first|second)`")
        known = self._enums.setdefault(name.text, enum)
        if known.names() != enum.names():
            message = f"{name.text} has other values in column {known.at + 1}"
            raise self._error(name.at, path, message, f"write the values once, and {name.text!r} alone after that")

    def _shape(self, kind: _Type, path: str) -> list[str]:
        self._take()
        if self._has_unknown_sizes(kind, path):
            return []
        sizes: list[str] = []
        while self._peek().text != "]":
            if sizes:
                self._expect(",", path, "write `[height, width, 3]`")
            size = self._peek()
            if not size.word and not size.text.isdecimal():
                raise self._missing(
                    "a dimension", path, "write integers and names, `[height, width, 3]`, or nothing for a list"
                )
            sizes.append(self._take().text)
        self._take()
        return sizes

    def _has_unknown_sizes(self, kind: _Type, path: str) -> bool:
        """Whether a size is what frameworks write for "any size"; the first is then reported, and the shape skipped."""
        count, end = self._up_to("]")
        start = at = self._peek().at
        sizes = self._line[start : self._peek(count).at].split(",")
        names = [size.strip() for size in sizes]
        unknown = next((index for index, name in enumerate(names) if name in reserved_names.ANY_SIZE), None)
        if unknown is None or end != "]":
            return False
        at += sum(len(size) + 1 for size in sizes[:unknown]) + len(sizes[unknown]) - len(sizes[unknown].lstrip())
        self._report(at, path, *reserved_names.any_size(names[unknown], kind.name, names))
        self._next += count + 1
        return True

    def _yaml(self, package: str, request: list[_Field], response: list[_Field]) -> str:
        lines = [f"package: {package}", "status: draft", "service: PredictionService"]
        if self._enums:
            lines.append("enums:")
        for name, enum in self._enums.items():
            lines += (f"  {name}:", "    values:")
            lines += (
                f"      - {{name: {_quoted(value)}, number: {index}}}" for index, value in enumerate(enum.names(), 1)
            )
        lines += ("methods:", "  Predict:", "    doc: Predict one row.")
        if self._streaming:
            lines.append("    streaming: server")
        for kind, fields in (("request", request), ("response", response)):
            lines += (f"    {kind}:", "      fields:" if fields else "      fields: []")
            lines += (f"        - {item.yaml(number)}" for number, item in enumerate(fields, 1))
        return "\n".join(lines) + "\n"

    def _check(self, text: str, request: list[_Field], response: list[_Field]) -> None:
        """What the rules of a schema say of it, at the columns of the line."""
        try:
            loads(text)
        except SchemaError as error:
            columns = self._columns(request, response)
            raise SchemaError(FILE, (_moved(item, columns) for item in error.problems), source=self._line) from None

    def _columns(self, request: list[_Field], response: list[_Field]) -> dict[str, int]:
        """Where the line writes what stands at a path of the schema."""
        columns: dict[str, int] = {}
        for kind, fields in (("request", request), ("response", response)):
            for item in fields:
                path = f"methods.Predict.{kind}.fields.{item.name}"
                # Of two fields of one name the second is the one that is reported.
                columns[path] = item.at
                columns[f"{path}.type"] = columns[f"{path}.value"] = columns[f"{path}.key"] = item.type.at
                columns[f"{path}.shape"] = columns[f"{path}.repeated"] = item.shape_at
        for name, enum in self._enums.items():
            columns[f"enums.{name}"] = enum.at
            columns |= {f"enums.{name}.values.{value}": at for value, at in enum.values}
        return columns


def _moved(problem: Problem, columns: dict[str, int]) -> Problem:
    path = problem.path
    while path and path not in columns:
        path = path.rpartition(".")[0]
    shown = problem.path.removeprefix("methods.Predict.").replace(".fields.", ".")
    message = re.sub(r" \((first )?on line \d+\)| \(line \d+\)", "", problem.message)
    return Problem(1, columns.get(path, 0) + 1, shown, message, problem.remedy)


def _token_text(token: _Token) -> str:
    return repr(token.text) if token.text else "the end"


def _quoted(value: str) -> str:
    return f'"{value}"' if value.lower() in ("true", "false", "null") else value
