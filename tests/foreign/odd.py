"""Odd .proto files that are valid nevertheless, each the same for the same seed.

What they have is what real files have and generated code trips over: names that are keywords, built-ins or longer than
a line, deep packages, comments that could end what they stand in, and every construct that a schema carries.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

from protoserve.schema.types import MAP_KEYS

_KEYWORDS = "class from lambda None True is not and or if import global def del pass async await with yield try".split()
_PYTHON = (
    "self cls bool int float str bytes list dict set type object property print id field fields name value values key"
    " datetime timedelta np Json Any Iterator math re2 dataclass message prefix bad sizes index data request requests"
    " reply replies batch Model Method METHODS SERVICE model contract server served l O I match case _ __x _a a_ mro"
).split()
_VALUES = [name for name in _PYTHON if name != "_"]
_PROTOBUF = (
    "Clear CopyFrom HasField SerializeToString ParseFromString MergeFromString WhichOneof ByteSize FromString"
    " Extensions IsInitialized optional repeated message enum oneof map service rpc returns stream syntax package"
    " reserved option double string uint32 Empty Struct Timestamp timestamp"
).split()
_SCALARS = "double float int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64 bool string bytes"
_WELL_KNOWN = {
    "google.protobuf.Timestamp": "timestamp",
    "google.protobuf.Duration": "duration",
    "google.protobuf.Struct": "struct",
    "google.protobuf.Value": "struct",
    "google.protobuf.Any": "any",
    "google.protobuf.Empty": "empty",
    "google.protobuf.StringValue": "wrappers",
    "google.protobuf.FieldMask": "field_mask",
}
_COMMENTS = (
    '// It says """ and \\n and {braces} and %s and {{ jinja }}.',
    "/// A doc comment.",
    "/** Java's,\n * with a \\ at the end\\\n **/",
    "// https://example.com/" + "a-path-without-any-break/" * 8,
    "// " + "A long line of words that goes on. " * 6,
    '// Ünïcödé: 长度, \U0001f600, and a quote at the end"',
    "// -----------------------------\n// Section\n// -----------------------------",
    "/* */",
    "// buf:lint:ignore ENUM_ZERO_VALUE_SUFFIX",
    "// # type: ignore, noqa, pragma: no cover, fmt: off",
)
_PACKAGES = (
    "",
    "odd.v1",
    "Odd.Names_Here",
    "import.class.v1",
    "com.example.platform.inference.predictions.v1beta1",
    "tensorflow.serving",
    ".".join(f"level_{number}_of_a_deep_package" for number in range(12)) + ".v2",
    "a" * 150 + ".v1",
)
# Paths that hide a library, a folder that git ignores in many projects, and a module that cannot be imported.
_INNER, _OUTER = "tensorflow/build/types.proto", "class/import-2.proto"
_TYPES = ("Thing", "Part", "HTTPStatus", "value", "Config", "outer_thing", "X", "Model", "ValueError", "Inner2D")


class _Scope:
    """The names of one scope of a .proto, of which no two are the same in JSON, in Python or in capitals."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._taken: set[str] = set()

    def name(self, *pools: list[str] | tuple[str, ...], within: _Scope | None = None) -> str:
        """A name out of one of the pools, some of them much longer, with a number where it is taken.

        `within` is another scope that must not have it.
        """
        taken = self._taken if within is None else self._taken | within._taken
        while True:
            name = self._rng.choice(self._rng.choice(pools))
            if self._rng.random() < 0.1:
                name = "_".join([name.strip("_") or "x", *["and_so_on"] * self._rng.randrange(5, 18)])
            if self._rng.random() < 0.3 or self._key(name) in taken:
                name = f"{name}{self._rng.randrange(1000)}"
            if self._key(name) not in taken:
                for scope in (self, within or self):
                    scope._taken.add(self._key(name))
                return name

    @staticmethod
    def _key(name: str) -> str:
        return name.replace("_", "").lower()


class _File:
    """One file; `others` are those whose types it uses, by their paths."""

    def __init__(self, rng: random.Random, package: str, others: dict[str, _File]) -> None:
        self._rng = rng
        self._package = package
        self._others = others
        self._types = _Scope(self._rng)
        self._top = _Scope(self._rng)
        self._messages: list[str] = []
        self._enums: list[str] = []
        self._imports: set[str] = set()

    def text(self) -> str:
        body = [line for _ in range(self._rng.randrange(4, 7)) for line in self._message("", self._top, 0)]
        body += [line for _ in range(2) for line in self._enum("", self._top)]
        return self._with_head([*body, *self._service()])

    def imported_text(self) -> str:
        """A file without a service."""
        body = [line for _ in range(3) for line in self._message("", self._top, 1)]
        return self._with_head([*body, *self._enum("", self._top)])

    def _with_head(self, body: list[str]) -> str:
        options = ["py_generic_services", "cc_generic_services", "java_generic_services", "deprecated"]
        head = ['syntax = "proto3";', *([f"package {self._package};"] if self._package else [])]
        paths = [f"google/protobuf/{file}.proto" for file in sorted(self._imports)]
        head += [f'import "{path}";' for path in (*paths, *self._others)]
        head += [f"option {name} = true;" for name in self._rng.sample(options, 2)]
        return "\n".join([*head, *body]) + "\n"

    def _comment(self) -> Iterator[str]:
        if self._rng.random() < 0.3:
            yield self._rng.choice(_COMMENTS)

    def _message(self, outer: str, around: _Scope, depth: int) -> Iterator[str]:
        name = self._types.name(_TYPES, _KEYWORDS, within=around)
        full = f"{outer}.{name}".lstrip(".")
        scope = _Scope(self._rng)
        yield from self._comment()
        yield f"message {name} {{"
        if depth < 3 and self._rng.random() < 0.5:
            yield from self._message(full, scope, depth + 1)
        if self._rng.random() < 0.4:
            yield from self._enum(full, scope)
        self._messages.append(full)
        numbers = iter(self._rng.sample(range(1, 200), 20))
        for _ in range(self._rng.randrange(7)):
            yield from self._field(scope, next(numbers))
        if self._rng.random() < 0.4:
            yield f"oneof {scope.name(_PYTHON, _KEYWORDS)} {{"
            for _ in range(2):
                yield f"{self._type()} {scope.name(_PYTHON, _KEYWORDS, _PROTOBUF)} = {next(numbers)};"
            yield "}"
        if self._rng.random() < 0.3:
            yield f'reserved 200 to 210, 300 to max; reserved "{scope.name(_PYTHON)}";'
        yield "}"

    def _field(self, scope: _Scope, number: int) -> Iterator[str]:
        label = self._rng.choice(["", "", "optional ", "repeated "])
        kind = self._type()
        if self._rng.random() < 0.15:
            label, kind = "", f"map<{self._rng.choice(MAP_KEYS)}, {kind}>"
        yield from self._comment()
        options = self._rng.choice(["", "", " [deprecated = true]", f' [json_name = "odd {number}"]'])
        name = scope.name(_PYTHON, _KEYWORDS, _PROTOBUF)
        while kind.startswith("map") and not name.strip("_")[:1].isalpha():  # protobuf's Python loads no such map
            name = scope.name(_PYTHON, _KEYWORDS, _PROTOBUF)
        yield f"{label}{kind} {name} = {number}{options};"

    def _type(self) -> str:
        kind = self._rng.random()
        if self._others and self._rng.random() < 0.2:
            other = self._rng.choice(list(self._others.values()))
            return other._reference(self._rng.choice([*other._messages, *other._enums]))
        if kind < 0.35 and self._messages:
            return self._reference(self._rng.choice(self._messages))
        if kind < 0.5 and self._enums:
            return self._reference(self._rng.choice(self._enums))
        if kind < 0.65:
            name = self._rng.choice(list(_WELL_KNOWN))
            self._imports.add(_WELL_KNOWN[name])
            return f".{name}"
        return self._rng.choice(_SCALARS.split())

    def _reference(self, name: str) -> str:
        return f".{self._package}.{name}" if self._package else f".{name}"

    def _enum(self, outer: str, scope: _Scope) -> Iterator[str]:
        name = self._types.name(_TYPES, _KEYWORDS, within=scope)
        self._enums.append(f"{outer}.{name}".lstrip("."))
        yield from self._comment()
        yield f"enum {name} {{"
        for number in (0, 1, self._rng.choice([-7, 5, 2**31 - 1])):
            yield from self._comment()
            yield f"{scope.name(_VALUES, _KEYWORDS)} = {number};"
        yield "}"

    def _service(self) -> Iterator[str]:
        scope = _Scope(self._rng)
        yield from self._comment()
        yield f"service {self._types.name(['Predictor', 'class', 'inference_service'], within=self._top)} {{"
        for streams in (
            ("", ""),
            self._rng.choice([("stream ", ""), ("stream ", "stream ")]),
            ("", "stream "),
            ("", ""),
        ):
            takes, gives = (self._reference(self._rng.choice(self._messages)) for _ in range(2))
            yield from self._comment()
            method = scope.name(["Predict", "Info", "import", "Class", "GetHTTPStatus", "x", "L"])
            yield f"rpc {method}({streams[0]}{takes}) returns ({streams[1]}{gives});"
        yield "}"


def odd_files(seed: int) -> dict[str, str]:
    """Texts of .proto files by path.

    The first has one service, of which at least one method can be served, and uses types of the others.
    """
    rng = random.Random(seed)
    inner = _File(rng, "shared", {})
    texts = {_INNER: inner.imported_text()}
    outer = _File(rng, "apart.class", {_INNER: inner})
    texts[_OUTER] = outer.imported_text()
    root = _File(rng, _PACKAGES[seed % len(_PACKAGES)], {_INNER: inner, _OUTER: outer})
    return {f"odd{seed}.proto": root.text(), **texts}
