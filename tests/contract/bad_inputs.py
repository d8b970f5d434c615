"""Schemas that must be refused: each with the place, the path and words of the message."""

# ruff: noqa: E501
from __future__ import annotations

from dataclasses import dataclass

RESPONSE = "    response: {fields: [{name: z, number: 1, type: bool}]}\n"


@dataclass(frozen=True)
class Case:
    """`structural` marks what the JSON Schema sees too; `alone` is false where one slip rightly gives several lines."""

    name: str
    text: str
    line: int
    path: str
    words: str
    structural: bool = False
    alone: bool = True


def schema(*fields: str, request: str = "", top: str = "", messages: str = "", method: str = "Predict") -> str:
    """A schema whose request has these fields, the first of them on line 6 where `top` is empty."""
    lines = "".join(f"        - {field}\n" for field in fields)
    head = f"package: iris.v1\n{top}methods:\n  {method}:\n    request:\n      fields:\n"
    return f"{head}{lines}{request}{RESPONSE}{messages}"


def one(field: str) -> str:
    """A schema with one field `a`, on line 6, with these keys."""
    return schema(f"{{name: a, number: 1, {field}}}")


def field(name: str, keys: str, part: str, words: str, structural: bool = False, alone: bool = True) -> Case:
    path = "methods.Predict.request.fields.a" + (f".{part}" if part else "")
    return Case(name, one(keys), 6, path, words, structural, alone)


def named(name: str, words: str, structural: bool = True) -> Case:
    text = schema(f"{{name: {name}, number: 1, type: bool}}")
    return Case(f"field named {name}", text, 6, f"methods.Predict.request.fields.{name}.name", words, structural)


def package(name: str, words: str, structural: bool = False) -> Case:
    return Case(f"package {name}", schema().replace("iris.v1", name), 1, "package", words, structural)


def enum(values: str, line: int, path: str, words: str, structural: bool = False, name: str = "Color") -> Case:
    text = schema(top=f"enums:\n  {name}: {{values: {values}}}\n")
    return Case(f"enum {name} {values}", text, line, path, words, structural)


A = "{name: a, number: 1, type: bool}"
FIELDS = "methods.Predict.request.fields"

FILES = [
    Case("empty", "", 1, "", "empty"),
    Case("comments only", "# nothing\n", 1, "", "empty"),
    Case("a list", "- a\n- b\n", 1, "", "must be a mapping"),
    Case("a text", "hello\n", 1, "", "must be a mapping"),
    Case(
        "merge conflict",
        "package: iris.v1\n<<<<<<< HEAD\na: 1\n=======\nb: 2\n>>>>>>> main\n",
        2,
        "",
        "conflict",
        alone=False,
    ),
    Case("tab", "package: iris.v1\nmethods:\n\tPredict: {}\n", 3, "", "tab"),
    Case("tab behind a value", "package: iris.v1\t# the first\n", 1, "", "a tab between values"),
    Case("question mark alone", schema("{name: a, number: 1, type: bool, doc: ?}"), 6, "", "a question mark"),
    Case("another line end", "package: iris.v1 # a\u2028b\n", 1, "", "U+2028"),
    Case("open bracket", "package: iris.v1\nmethods: {Predict: {\n", 3, "", "inside a bracket"),
    Case("missing comma", "package: iris.v1\ndoc: {a: 1\nb: 2}\n", 3, "", "missing"),
    Case("open quotes", 'package: "iris.v1\nmethods: {}\n', 1, "", "not closed"),
    Case("colon in a text", "package: iris.v1\ndoc: a: b\n", 2, "", "colon"),
    Case("at sign", "package: @iris\n", 1, "", "cannot start"),
    Case("broken indentation", "package: iris.v1\n methods: {}\n", 2, "", "colon"),
    Case("anchor", "package: &p iris.v1\n", 1, "", "anchor"),
    Case("alias", "package: iris.v1\ndoc: *p\n", 2, "", "alias"),
    Case("tag", "package: !!str iris.v1\n", 1, "", "tag"),
    Case("directive", "%YAML 1.1\n---\npackage: iris.v1\n", 1, "", "directive"),
    Case("two documents", "package: iris.v1\n---\npackage: iris.v2\n", 2, "", "second document"),
    Case("control character", "package: iris.v1\ndoc: a\x00b\n", 2, "", "U+0000"),
    Case("escaped control character", schema(top='doc: "a\\0b"\n'), 2, "doc", "U+0000"),
    Case("half a surrogate pair", 'doc: "\\ud83d"\n', 1, "", "surrogate"),
    Case("deep", "a: " + "[" * 40 + "]" * 40 + "\n", 1, "", "nested"),
    Case("list as a key", "? [a]\n: b\n", 1, "", "key"),
    Case("long", "#" * (2**20 + 1), 1, "", "1 MiB"),
]

ROOT = [
    Case("no package", schema().partition("\n")[2], 1, "", "`package` is missing"),
    Case("unknown key", schema(top="servce: A\n"), 2, "servce", "unknown key", True),
    Case("key twice", schema(top="package: iris.v2\n"), 2, "package", "twice"),
    Case("status", schema(top="status: final\n"), 2, "status", "draft or stable", True),
    Case("no methods", "package: iris.v1\n", 1, "", "`methods` is missing", True),
    Case("empty methods", "package: iris.v1\nmethods: {}\n", 2, "methods", "at least one method", True),
    Case("methods as a list", "package: iris.v1\nmethods: [Predict]\n", 2, "methods", "mapping", True),
    Case("service in snake case", schema(top="service: my_service\n"), 2, "service", "PascalCase", True),
    Case("doc as a number", schema(top="doc: 5\n"), 2, "doc", "text", True),
    package("iris", "version", True),
    package("v1", "version only", True),
    package("Iris.v1", "lower_snake_case", True),
    package("iris.v0", "version", True),
    package("iris..v1", "lower_snake_case", True),
    package("acme.import.v1", "keyword"),
    package("typing.v1", "standard library"),
    package("test.v1", "standard library"),
    package("grpc.v1", "hides"),
    package("acme.google.v1", "hides"),
    package("numpy.v1", "library"),
    package("predict.v1", "script of the project"),
    package("acme.nul.v1", "Windows"),
]

METHODS = [
    Case("method in snake case", schema(method="predict"), 3, "methods.predict", "PascalCase", True),
    Case("method named None", schema(method="None"), 3, "methods.None", "keyword"),
    Case("method named Import", schema(method="Import"), 3, "methods.Import", "keyword"),
    Case("method named Nul", schema(method="Nul"), 3, "methods.Nul", "Windows"),
    Case(
        "unknown method key",
        schema().replace("    request:", "    retries: 3\n    request:"),
        4,
        "methods.Predict.retries",
        "unknown key",
        True,
    ),
    Case(
        "a stream of requests",
        schema().replace("    request:", "    streaming: both\n    request:"),
        4,
        "methods.Predict.streaming",
        "a stream of requests cannot be served",
    ),
    Case(
        "nothing served",
        schema().replace("    request:", "    served: false\n    request:"),
        3,
        "methods",
        "no method is served",
    ),
    Case(
        "streaming true",
        schema().replace("    request:", "    streaming: true\n    request:"),
        4,
        "methods.Predict.streaming",
        "none or server",
        True,
    ),
    Case("no response", schema().replace(RESPONSE, ""), 3, "methods.Predict", "`response` is missing", True),
    Case(
        "no fields",
        schema().replace(RESPONSE, "    response: {doc: Hi}\n"),
        6,
        "methods.Predict.response",
        "`fields` is missing",
        True,
    ),
    Case(
        "two methods in other letters",
        schema() + "  PREDICT:\n    request: {fields: []}\n" + RESPONSE,
        7,
        "methods.PREDICT",
        "one name",
        alone=False,
    ),
    Case(
        "request name taken",
        schema(messages="messages:\n  PredictRequest: {}\n"),
        5,
        "methods.Predict.request",
        "has the name",
    ),
    Case(
        "unknown shared message",
        schema().replace("request:\n      fields:\n", "request: {message: Shard}\n", 1) + "messages:\n  Shared: {}\n",
        4,
        "methods.Predict.request.message",
        "does not exist",
        alone=False,
    ),
    Case(
        "reference with more",
        schema().replace("request:\n      fields:\n", "request: {message: Shared, doc: Hi}\n", 1)
        + "messages:\n  Shared: {}\n",
        4,
        "methods.Predict.request.doc",
        "belongs to",
    ),
]

MESSAGES = [
    Case(
        "message named like a method",
        schema().replace("response: {", "response: {message: Predict, "),
        6,
        "methods.Predict.response.message",
        "is a method too",
    ),
    Case(
        "message in snake case",
        schema(messages="messages:\n  my_point: {}\n"),
        8,
        "messages.my_point",
        "PascalCase",
        True,
    ),
    Case(
        "message named like a built-in",
        schema(messages="messages:\n  ValueError: {}\n"),
        8,
        "messages.ValueError",
        "Python's",
    ),
    Case("message named True", schema(messages="messages:\n  True: {}\n"), 8, "messages.True", "keyword"),
    Case(
        "message named like generated code",
        schema(messages="messages:\n  ModelInterface: {}\n"),
        8,
        "messages.ModelInterface",
        "generated code",
    ),
    Case(
        "message and enum",
        schema(top="enums: {Point: {values: [x]}}\n", messages="messages:\n  Point: {}\n"),
        9,
        "messages.Point",
        "has the name",
    ),
    Case(
        "messages equal in Python",
        schema(messages="messages:\n  ABTest: {}\n  AbTest: {}\n"),
        9,
        "messages.AbTest",
        "one name in Python",
    ),
    Case(
        "message named like the service",
        schema(top="service: Point\n", messages="messages:\n  Point: {}\n"),
        9,
        "messages.Point",
        "service",
    ),
    Case(
        "message named like a tensor",
        schema("{name: a, number: 1, type: float32, shape: [n]}", messages="messages:\n  Float32Tensor: {}\n"),
        9,
        "messages.Float32Tensor",
        "named dimensions",
    ),
    Case(
        "message key",
        schema(messages="messages:\n  Point: {feilds: []}\n"),
        8,
        "messages.Point.feilds",
        "unknown key",
        True,
    ),
    Case(
        "message that needs itself",
        schema(messages="messages:\n  Node: {fields: [{name: next, number: 1, type: Node}]}\n"),
        8,
        "messages.Node.fields.next.type",
        "never ends",
    ),
    Case(
        "oneof that needs itself",
        schema(messages="messages:\n  Node: {fields: [{name: next, number: 1, type: Node, oneof: o}]}\n"),
        8,
        "messages.Node.fields.next.type",
        "never ends",
    ),
    Case(
        "list that needs itself",
        schema(
            messages="messages:\n  Node: {fields: [{name: it, number: 1, type: Node, repeated: true, min_items: 1}]}\n"
        ),
        8,
        "messages.Node.fields.it.type",
        "never ends",
    ),
    Case(
        "map entry of the same name",
        schema(
            "{name: foo, number: 1, key: string, value: bool}",
            "{name: b, number: 2, type: FooEntry}",
            messages="messages:\n  FooEntry: {}\n",
        ),
        7,
        f"{FIELDS}.b.type",
        "entry of the map",
    ),
    Case(
        "presence",
        schema(messages="messages:\n  Point: {presence: maybe}\n"),
        8,
        "messages.Point.presence",
        "explicit or implicit",
        True,
    ),
]

ENUMS = [
    enum("[]", 3, "enums.Color.values", "no value", True),
    enum("[red, red]", 3, "enums.Color.values.red", "twice"),
    enum("[red, RED]", 3, "enums.Color.values.RED", "other letters"),
    enum("[unspecified]", 3, "enums.Color.values.unspecified", "value 0"),
    enum("[true]", 3, "enums.Color.values[0]", "must be a name", True),
    enum("[1]", 3, "enums.Color.values[0]", "must be a name", True),
    enum("[light-red]", 3, "enums.Color.values.light-red", "not the name of a value, which has letters", True),
    enum("[3d]", 3, "enums.Color.values.3d", "not the name of a value, which has letters", True),
    enum("[{name: red, number: 0}]", 3, "enums.Color.values.red.number", "must be from 1", True),
    enum("[{name: red, number: 2147483648}]", 3, "enums.Color.values.red.number", "must be from 1", True),
    enum(
        "[{name: red, number: 1}, {name: blue, number: 1}]",
        3,
        "enums.Color.values.blue.number",
        "'blue' has the number 1, and so has 'red'",
    ),
    enum("[{name: red, number: 1}], reserved: {numbers: [1]}", 3, "enums.Color.values.red.number", "reserved"),
    enum("[{name: red, number: 1}], reserved: {names: [RED]}", 3, "enums.Color.values.red", "reserved"),
    enum("[{name: red, number: 1, renamed_from: RED}]", 3, "enums.Color.values.red.renamed_from", "that still exists"),
    enum(
        "[{name: red, number: 1, renamed_from: pink}, {name: blue, number: 2, renamed_from: pink}]",
        3,
        "enums.Color.values.blue.renamed_from",
        "'red' was 'pink' already",
    ),
    enum("[{name: red, nubmer: 1}]", 3, "enums.Color.values.red.nubmer", "unknown key", True),
    enum("[red]", 3, "enums.color", "PascalCase", True, name="color"),
    enum("[red]", 3, "enums.IntEnum", "generated code", name="IntEnum"),
    Case("enum as a list", schema(top="enums:\n  Color: [red]\n"), 3, "enums.Color", "mapping", True),
    Case(
        "enum values of one name in the .proto",
        schema(top="enums:\n  Foo: {values: [bar_baz]}\n  FooBar: {values: [baz]}\n"),
        4,
        "enums.FooBar.values.baz",
        "FOO_BAR_BAZ",
    ),
]

NAMES = [
    named("sepalLength", "lower_snake_case"),
    named("_a", "lower_snake_case"),
    named("a__b", "lower_snake_case"),
    named("'sepal length (cm)'", "lower_snake_case"),
    named("class", "keyword", False),
    named("from", "keyword", False),
    named("SerializeToString", "attribute"),
    named("DESCRIPTOR", "attribute"),
    named("__init__", "attribute"),
    named("float", "generated code", False),
    named("datetime", "generated code", False),
    Case("field without a name", schema("{number: 1, type: bool}"), 6, f"{FIELDS}[0]", "`name` is missing", True),
    Case("field as a text", schema("sepal_length"), 6, f"{FIELDS}[0]", "must be a mapping", True),
    Case(
        "field name that is a bool", schema("{name: true, number: 1, type: bool}"), 6, f"{FIELDS}[0].name", "text", True
    ),
    Case("field twice", schema(A, A.replace("1", "2")), 7, f"{FIELDS}.a.name", "twice"),
    Case(
        "fields equal in JSON",
        schema("{name: a_1, number: 1, type: bool}", "{name: a1, number: 2, type: bool}"),
        7,
        f"{FIELDS}.a1.name",
        "JSON",
    ),
    Case(
        "oneof named like a field",
        schema("{name: a, number: 1, type: bool, oneof: b}", "{name: b, number: 2, type: bool}"),
        6,
        f"{FIELDS}.a.oneof",
        "has the name of the field",
    ),
    Case(
        "oneof in capitals",
        schema("{name: a, number: 1, type: bool, oneof: Kind}"),
        6,
        f"{FIELDS}.a.oneof",
        "lower_snake_case",
        True,
    ),
]
for index, case in enumerate(NAMES):  # a quoted name stands in its path without the quotes
    if "'" in case.path:
        NAMES[index] = Case(case.name, case.text, case.line, case.path.replace("'", ""), case.words, case.structural)

NUMBERS = [
    Case(
        "number twice",
        schema(A, "{name: b, number: 1, type: bool}"),
        7,
        f"{FIELDS}.b.number",
        "'b' has the number 1, and so has 'a' (line 6)",
    ),
    Case("number 0", schema(A.replace("1", "0")), 6, f"{FIELDS}.a.number", "must be from 1", True),
    Case("number too large", schema(A.replace("1", "536870912")), 6, f"{FIELDS}.a.number", "must be from 1", True),
    Case("number 19000", schema(A.replace("1", "19000")), 6, f"{FIELDS}.a.number", "19000 to 19999", True),
    Case("number as a text", schema(A.replace("1", "'1'")), 6, f"{FIELDS}.a.number", "integer", True),
    Case("reserved number", schema(A, request="      reserved: {numbers: [1]}\n"), 6, f"{FIELDS}.a.number", "reserved"),
    Case(
        "number in a reserved range",
        schema(A.replace("1", "7"), request='      reserved: {numbers: ["5 to 9"]}\n'),
        6,
        f"{FIELDS}.a.number",
        "reserved",
    ),
    Case("reserved name", schema(A, request="      reserved: {names: [a]}\n"), 6, f"{FIELDS}.a", "reserved"),
    Case(
        "reserved range backwards",
        schema(A, request='      reserved: {numbers: ["9 to 5"]}\n'),
        7,
        "methods.Predict.request.reserved.numbers",
        "not a number to reserve",
    ),
    Case(
        "reserved word as a number",
        schema(A, request="      reserved: {numbers: [five]}\n"),
        7,
        "methods.Predict.request.reserved.numbers",
        "not a number to reserve",
        True,
    ),
    Case(
        "reserved twice",
        schema(A, request='      reserved: {numbers: [6, "5 to 9"]}\n'),
        7,
        "methods.Predict.request.reserved.numbers",
        "already",
    ),
]

TYPES = [
    field("no type", "doc: Hi", "", "`type` is missing", True),
    field("unknown type", "type: flaot32", "type", "unknown type 'flaot32'", True),
    field("type of another language", "type: str", "type", "unknown type 'str'", True),
    field("type with brackets", "type: 'float32[3]'", "type", "unknown type", True),
    field("map as a type", "type: 'map<string, bool>'", "type", "`key: string` and `value: bool`", True),
    field("dict as a type", "type: 'dict[str, int]'", "type", "`key: string` and `value: int64`", True),
    field("list as a type", "type: 'list[int64]'", "type", "write `type: int64` and `repeated: true`", True),
    field("repeated as a type", "type: repeated str", "type", "write `type: string` and `repeated: true`", True),
    field("list of lists", "type: 'List[list[float]]'", "type", "`shape: [rows, columns]`", True),
    field("list alone", "type: list", "type", "the items' type, and `repeated: true`", True),
    field("optional as a type", "type: 'str | None'", "type", "`type: string` and `required: false`", True),
    field("unknown message", "type: Point", "type", "unknown type"),
    field("unknown key", "type: bool, requird: false", "requird", "unknown key", True),
    field("key of another language", "type: bool, description: Hi", "description", "unknown key", True),
    field("key without a value", "key: string", "", "a map needs `value`", True),
    field("map with a type", "type: bool, key: string, value: bool", "type", "no `type`", True),
    field("map key of floats", "key: float64, value: bool", "key", "cannot be the key", True),
    field("required as a text", "type: bool, required: no", "required", "true or false", True),
    field("empty unit", "type: float64, unit: ", "unit", "empty", True),
    field("shape on a string", "type: string, shape: [3]", "shape", "takes no shape"),
    field("shape on a timestamp", "type: timestamp, shape: [3]", "shape", "takes no shape"),
    field("shape on a message", "type: PredictResponse, shape: [3]", "shape", "takes no shape"),
    field("shape as a number", "type: float32, shape: 3", "shape", "must be a list", True),
    field("empty shape", "type: float32, shape: []", "shape", "no dimension", True),
    field("shape of 0", "type: float32, shape: [0]", "shape", "less than 1", True),
    field(
        "shape of any size",
        "type: float32, shape: [-1, 224]",
        "shape",
        "write `[batch, 224]`; or, if a request is one row, `[224]`",
        True,
    ),
    field("shape of None", "type: float32, shape: [3, None]", "shape", "write `[3, size_2]`"),
    field("shape of halves", "type: float32, shape: [1.5]", "shape", "dimension", True),
    field("shape with a sum", "type: float32, shape: [n+1]", "shape", "cannot name a dimension", True),
    field("shape too large", "type: float32, shape: [65536, 65536]", "shape", "elements"),
    field("shape and repeated", "type: float32, shape: [3], repeated: true", "repeated", "cannot be repeated"),
    field("map and repeated", "key: string, value: bool, repeated: true", "repeated", "cannot be repeated"),
    field("map and shape", "key: string, value: float32, shape: [3]", "shape", "cannot have a shape"),
    field("list in a oneof", "type: bool, repeated: true, oneof: o", "oneof", "cannot be in a oneof"),
    field("map in a oneof", "key: string, value: bool, oneof: o", "oneof", "cannot be in a oneof"),
    field("packed shape in a oneof", "type: float32, shape: [3], oneof: o", "oneof", "cannot be in a oneof"),
    field("required list", "type: bool, repeated: true, required: true", "required", "never required"),
    field("required with a default", "type: bool, default: true, required: true", "required", "not required"),
    Case(
        "mixed oneof",
        schema(
            "{name: a, number: 1, type: bool, oneof: o}",
            "{name: b, number: 2, type: bool, oneof: o}",
            "{name: c, number: 3, type: bool, oneof: o, required: false}",
        ),
        8,
        f"{FIELDS}.c.required",
        "and others do not",
    ),
]

LIMITS = [
    field("minimum on a string", "type: string, minimum: 0", "minimum", "is for numbers"),
    field("minimum on a duration", "type: duration, maximum: 5", "maximum", "is for numbers"),
    field("minimum above maximum", "type: float64, minimum: 2, maximum: 1", "minimum", "above the maximum"),
    field("no integer between", "type: int32, minimum: 0.2, maximum: 0.8", "minimum", "no integer"),
    field("minimum out of the type", "type: uint8, minimum: -1", "minimum", "outside the range of uint8"),
    field("maximum out of the type", "type: float16, maximum: 70000", "maximum", "outside the range of float16"),
    field("infinite limit", "type: float64, maximum: .inf", "maximum", "not finite"),
    field("limit as a text", "type: float64, maximum: high", "maximum", "must be a number", True),
    field("length on a number", "type: int32, max_length: 3", "max_length", "is for string and bytes"),
    field("negative length", "type: string, min_length: -1", "min_length", "must be from 0", True),
    field("lengths crossed", "type: string, min_length: 3, max_length: 2", "min_length", "above max_length"),
    field("items on one value", "type: string, min_items: 1", "min_items", "is for repeated"),
    field("items on a static shape", "type: float32, shape: [3], max_items: 3", "max_items", "named dimensions"),
    field("items crossed", "type: bool, repeated: true, min_items: 3, max_items: 2", "min_items", "above max_items"),
    field(
        "items that no size gives", "type: float32, shape: [n, 3], min_items: 4, max_items: 5", "min_items", "no sizes"
    ),
    field(
        "items that no square gives",
        "type: float32, shape: [n, n], min_items: 5, max_items: 8",
        "min_items",
        "no sizes",
    ),
    field("three bools as keys", "key: bool, value: bool, min_items: 3", "min_items", "at most 2"),
    field("pattern on a number", "type: int32, pattern: a", "pattern", "is for string"),
    field("broken pattern", "type: string, pattern: '('", "pattern", "not an RE2 pattern"),
    field("look-ahead", "type: string, pattern: '(?=a)'", "pattern", "not an RE2 pattern"),
    field("allow_nan on an integer", "type: int32, allow_nan: true", "allow_nan", "is for floats"),
    field("media type on a number", "type: int32, media_type: image/png", "media_type", "is for string"),
    field("no media type", "type: bytes, media_type: png", "media_type", "not a media type"),
]

VALUES = [
    field("renamed from itself", "type: bool, renamed_from: a", "renamed_from", "name of a field that still exists"),
    field("renamed from a number", "type: bool, renamed_from: 3", "renamed_from", "must be a text", True),
    field("default out of its limits", "type: float64, maximum: 1, default: 2", "default", "must be at most 1, not 2"),
    field("default out of its type", "type: int8, default: 200", "default", "must be from -128 to 127, not 200"),
    field("default of another type", "type: int32, default: 1.5", "default", "must be an integer, not 1.5"),
    field("number as the default of a string", "type: string, default: 5", "default", "must be a text, not 5"),
    field("default too long", "type: string, max_length: 2, default: abc", "default", "length 3"),
    field("default that does not match", "type: string, pattern: '^a', default: b", "default", "does not match"),
    field("default on a list", "type: bool, repeated: true, default: true", "default", "a list cannot have a default"),
    field("default on a map", "key: string, value: bool, default: true", "default", "a map cannot have a default"),
    field("default on a shape", "type: float32, shape: [3], default: 0", "default", "a shape cannot have a default"),
    field("default on a message", "type: PredictResponse, default: {}", "default", "a message cannot have a default"),
    field("default in a oneof", "type: bool, oneof: o, default: true", "default", "oneof cannot have a default"),
    field("empty default", "type: string, default: ", "default", "empty"),
    field("NaN as a default", "type: float64, default: .nan", "default", "must be finite"),
    field("example that does not match", "type: string, pattern: '^a', example: b", "example", "does not match"),
    field("example that is not base64", "type: bytes, example: '???'", "example", "must be base64"),
    field("example that is not a time", "type: timestamp, example: yesterday", "example", "must be a time"),
    field("example that is not a duration", "type: duration, example: 5 minutes", "example", "must be a duration"),
    field(
        "example on a message",
        "type: PredictResponse, example: {z: true}",
        "example",
        "a message cannot have an example",
    ),
    Case(
        "default that is not a value of the enum",
        schema("{name: a, number: 1, type: Color, default: rde}", top="enums:\n  Color: {values: [red]}\n"),
        8,
        f"{FIELDS}.a.default",
        "must be a value of Color",
    ),
    Case(
        "default without presence",
        schema("{name: a, number: 1, type: bool, default: true}", request="      presence: implicit\n"),
        6,
        f"{FIELDS}.a.default",
        "without presence",
    ),
]


def exact(values: str, keys: str = "") -> str:
    """A schema with exact names, whose enum on line 4 has these values."""
    enums = f"enums:\n  Kind: {{values: [{values}]{keys}}}\n"
    return schema("{name: a, number: 1, type: Kind}", top=f"names: exact\n{enums}")


# What a schema has for the sake of a foreign .proto.
FOREIGN = [
    Case("exact value without a number", exact("{name: A}"), 4, "enums.Kind.values.A", "has no number"),
    Case("exact values without a number", exact("{name: A, number: 0}, {name: B}"), 4, "enums.Kind.values.B", "`{name: B, number: N}`"),
    Case("exact values with a wrong number", exact("{name: A, number: 0}, {name: B, number: x}"), 4, "enums.Kind.values.B.number", "must be an integer", True),
    Case("exact value, short", exact("A"), 4, "enums.Kind.values.A", "has no number"),
    Case("exact enum without 0", exact("{name: A, number: 1}"), 4, "enums.Kind.values.A.number", "first value is not 0"),
    Case("exact number twice", exact("{name: A, number: 0}, {name: B, number: 0}"), 4, "enums.Kind.values.B.number", "and so has"),
    Case("alias of nothing", exact("{name: A, number: 0}", ", options: {allow_alias: true}"), 4, "enums.Kind.options", "no two values"),
    Case("value of Python's", exact("{name: _, number: 0}"), 4, "enums.Kind.values._", "Python cannot use for a value"),
    Case("exact field of Python's", schema("{name: __a__, number: 1, type: bool}", top="names: exact\n"), 7, "methods.Predict.request.fields.__a__.name", "protobuf's own Python needs"),
    Case("names of no kind", schema("{name: a, number: 1, type: bool}", top="names: mine\n"), 2, "names", "standard or exact", True),
    Case("inner without outer", schema("{name: a, number: 1, type: bool}", messages="messages: {Outer.Inner: {}}\n"), 8, "messages.Outer.Inner", "needs a message 'Outer'"),
    Case("after nothing", schema("{name: a, number: 1, type: bool}", messages="messages: {Outer: {}, Outer.Inner: {after: b}}\n"), 8, "messages.Outer.Inner.after", "not a field of the message"),
    Case("an option that is none", schema("{name: a, number: 1, type: bool}", top="options: {go_pakage: x}\n"), 2, "options.go_pakage", "unknown key"),
    Case("an option of another kind", schema("{name: a, number: 1, type: bool}", top="options: {go_package: true}\n"), 2, "options.go_package", "must be a text"),
    Case("an option of other values", schema("{name: a, number: 1, type: bool}", top="options: {optimize_for: SIZE}\n"), 2, "options.optimize_for", "must be SPEED or CODE_SIZE"),
    Case("a map whose entries begin with a digit", schema("{name: _1, number: 1, key: string, value: bool}", top="names: exact\n"), 7, "methods.Predict.request.fields._1.name", "a message '1Entry'"),
    field("packed text", "type: string, repeated: true, options: {packed: true}", "options", "`packed` is for lists"),
    Case("two names in JSON", schema("{name: a, number: 1, type: bool, json_name: b}", "{name: b, number: 2, type: bool}"), 7, "methods.Predict.request.fields.b.name", "one name in JSON"),
    field("a name of an extension in JSON", "type: bool, json_name: '[a]'", "json_name", "must not be in brackets"),
    field("protobuf's timestamp by its name", "type: google.protobuf.Timestamp", "type", "unknown type"),
    field("a type of protobuf's that is none here", "type: google.protobuf.Api", "type", "unknown type"),
]  # fmt: skip


def imports(files: str, kind: str = "bool") -> str:
    """A schema whose imports begin on line 3, each in braces on a line."""
    lines = "".join(f"  {line}\n" for line in files.splitlines())
    return schema(
        f"{{name: a, number: 1, type: {kind}, required: false}}",
        top=f"imports:\n{lines}",
        messages="messages: {Own: {}}\n",
    )


B = "b.proto: {package: b, messages: {B: {fields: [{name: c, number: 1, type: c.C, repeated: true}]}}}"
C = "c.proto: {package: c, messages: {C: {fields: [{name: c, number: 1, type: b.B, repeated: true}]}}}"
IMPORTS = [
    Case("an import without a package", imports("x.proto: {messages: {X: {}}}"), 3, "imports.x.proto", "`package` is missing", True),
    Case("an unknown key of an import", imports("x.proto: {package: a, services: {}}"), 3, "imports.x.proto.services", "unknown key", True),
    Case("an import above its folder", imports("../x.proto: {package: a}"), 3, "imports.../x.proto", "not the path of a .proto"),
    Case("an import of no .proto", imports("x.yaml: {package: a}"), 3, "imports.x.yaml", "not the path of a .proto", True),
    Case("an import that Windows cannot have", imports("common/aux.proto: {package: a}"), 3, "imports.common/aux.proto", "device on Windows"),
    Case("an import of protobuf's own", imports("google/protobuf/any.proto: {package: a}"), 3, "imports.google/protobuf/any.proto", "protobuf's own"),
    Case("two imports of one module", imports("a-b.proto: {package: a}\na_b.proto: {package: b}"), 4, "imports.a_b.proto", "one module in Python"),
    Case("a package that is none", imports('x.proto: {package: "a b"}'), 3, "imports.x.proto.package", "is not a package", True),
    Case("an imported enum in the short form", imports("x.proto: {package: a, enums: {E: {values: [A]}}}"), 3, "imports.x.proto.enums.E.values.A", "has no number"),
    Case("an imported message by its short name", imports("x.proto: {package: a, messages: {X: {}}}", "X"), 8, "methods.Predict.request.fields.a.type", "did you mean 'a.X'?"),
    Case("an imported message that uses the schema's own", imports("x.proto: {package: a, messages: {X: {fields: [{name: o, number: 1, type: Own, required: false}]}}}"), 3, "imports.x.proto.messages.X.fields.o.type", "in this schema's own file"),
    Case("imports of each other", imports(f"{B}\n{C}"), 4, "imports.c.proto.messages.C.fields.c.type", "files import each other: b.proto -> c.proto -> b.proto"),
    Case("a named dimension in an imported message", imports("x.proto: {package: a, messages: {X: {fields: [{name: o, number: 1, type: float32, shape: [n]}]}}}"), 3, "imports.x.proto.messages.X.fields.o.shape", "cannot have a named dimension"),
    Case("a value twice in one package", imports("x.proto: {package: a, enums: {E: {values: [{name: A, number: 0}]}}}\ny.proto: {package: a, enums: {F: {values: [{name: A, number: 0}]}}}"), 4, "imports.y.proto.enums.F.values.A", "are both A in the .proto"),
    Case("an imported message inside of nothing", imports("x.proto: {package: a, messages: {X.Y: {}}}"), 3, "imports.x.proto.messages.X.Y", "needs a message 'a.X'"),
    Case("two imported messages of one full name", imports("x.proto: {package: a, messages: {X: {}}}\ny.proto: {package: a, messages: {X: {}}}"), 4, "imports.y.proto.messages.X", "has the name of the message on line 3"),
]  # fmt: skip

CASES = [*IMPORTS, *FILES, *ROOT, *METHODS, *MESSAGES, *ENUMS, *NAMES, *NUMBERS, *TYPES, *LIMITS, *VALUES, *FOREIGN]
