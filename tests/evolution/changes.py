"""Single changes of a schema, each labelled by hand: does it break for requests, does it break for responses?

What breaks on the wire or in JSON breaks for both. `Row.schemas` puts the change into a request, into a response, and
into a message that is used in both, through a list, a map and a stream.
"""

# A row of the table stays on its line.
# ruff: noqa: E501
from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

CONTEXTS = ("request", "response", "both")

OTHERS = """\
  Point: {fields: [{name: x, number: 1, type: float64}, {name: y, number: 2, type: float64}]}
  Spot: {fields: [{name: x, number: 1, type: float64}, {name: y, number: 2, type: float64}]}
  Line: {fields: [{name: x, number: 1, type: float64}, {name: z, number: 3, type: float64}]}
"""
ENUMS = """\
  Color: {values: [{name: red, number: 1}, {name: blue, number: 2}]}
  Shade: {values: [{name: red, number: 1}, {name: blue, number: 2}]}
"""


@dataclass(frozen=True)
class Row:
    """`before` and `after` are the fields of one message; `rest` and `rest_after` are what else the message says.

    With `enum` they are the values of one enum, and the rest is the enum's. `rule` is the change that must be reported.
    """

    name: str
    before: str
    after: str
    request: bool
    response: bool
    rule: str
    rest: str = ""
    rest_after: str | None = None
    enum: bool = False

    def breaking(self, context: str) -> bool:
        return {"request": self.request, "response": self.response, "both": self.request or self.response}[context]

    def schemas(self, context: str, package: str = "acme.v1") -> tuple[str, str]:
        """The schema before and after, with the change where the context says."""
        rest_after = self.rest if self.rest_after is None else self.rest_after
        if self.enum:
            field, sides = "{name: it, number: 1, type: Kind, required: false}", []
            for values, rest in ((self.before, self.rest), (self.after, rest_after)):
                sides.append(schema(package, context, field, "", f"[{values}]{rest}", used="Kind"))
            return sides[0], sides[1]
        used = self.before + self.after
        before = schema(package, context, self.before, self.rest, used=used)
        return before, schema(package, context, self.after, rest_after, used=used)


def schema(
    package: str,
    context: str,
    fields: str,
    rest: str,
    kinds: str = "[{name: one, number: 1}]",
    used: str = "Point Spot Line Color Shade Kind",
) -> str:
    """A stable contract with a message of these fields, and with the other messages and enums whose names are `used`."""
    message = f"{{fields: [{fields}]{rest}}}"
    bodies = {"request": "{fields: [{name: id, number: 1, type: string}]}", "response": "{fields: []}"}
    shared, streamed = "", ""
    if context == "both":
        shared = f"  Shared: {message}\n"
        bodies["request"] = "{fields: [{name: items, number: 1, type: Shared, repeated: true}]}"
        streamed = (
            "  Watch:\n    streaming: server\n    request: {fields: []}\n"
            "    response: {fields: [{name: by_name, number: 1, key: string, value: Shared}]}\n"
        )
    else:
        bodies[context] = message
    enums, others = (
        "".join(line for line in text.splitlines(True) if line.strip().partition(":")[0] in used)
        for text in (f"{ENUMS}  Kind: {{values: {kinds}}}\n", OTHERS)
    )
    return (
        f"package: {package}\nstatus: stable\nservice: AcmeService\nenums:\n{enums}messages:\n{others}{shared}"
        f"methods:\n  Predict:\n    request: {bodies['request']}\n    response: {bodies['response']}\n{streamed}"
    )


def a(keys: str, number: int = 1, name: str = "a") -> str:
    return f"{{name: {name}, number: {number}, {keys}}}"


def b(keys: str = "type: bool") -> str:
    return a(keys, 2, "b")


def _limits() -> Iterator[Row]:
    """Each limit narrowed, widened, given and taken away: the first breaks requests, the second replies."""
    for kind, key, low, high in (
        ("type: float64", "minimum", "0", "5"),
        ("type: int32", "minimum", "-3", "5"),
        ("type: string", "min_length", "1", "5"),
        ("type: bytes", "min_length", "1", "5"),
        ("type: string, repeated: true", "min_items", "1", "5"),
        ("key: string, value: bool", "min_items", "1", "5"),
        ("type: float32, shape: [n, 2]", "min_items", "2", "6"),
    ):
        what = f"{key} of {kind}"
        yield Row(f"{what} raised", a(f"{kind}, {key}: {low}"), a(f"{kind}, {key}: {high}"), True, False, NARROW)
        yield Row(f"{what} lowered", a(f"{kind}, {key}: {high}"), a(f"{kind}, {key}: {low}"), False, True, WIDE)
        yield Row(f"{what} given", a(kind), a(f"{kind}, {key}: {high}"), True, False, NARROW)
        yield Row(f"{what} taken away", a(f"{kind}, {key}: {high}"), a(kind), False, True, WIDE)
    for kind, key, low, high in (
        ("type: float64", "maximum", "5", "9"),
        ("type: uint8, shape: [2]", "maximum", "5", "9"),
        ("type: string", "max_length", "5", "9"),
        ("type: bytes, repeated: true", "max_length", "5", "9"),
        ("type: string, repeated: true", "max_items", "5", "9"),
        ("key: int32, value: Point", "max_items", "5", "9"),
        ("type: float32, shape: [n, 2]", "max_items", "4", "8"),
    ):
        what = f"{key} of {kind}"
        yield Row(f"{what} raised", a(f"{kind}, {key}: {low}"), a(f"{kind}, {key}: {high}"), False, True, WIDE)
        yield Row(f"{what} lowered", a(f"{kind}, {key}: {high}"), a(f"{kind}, {key}: {low}"), True, False, NARROW)
        yield Row(f"{what} given", a(kind), a(f"{kind}, {key}: {low}"), True, False, NARROW)
        yield Row(f"{what} taken away", a(f"{kind}, {key}: {high}"), a(kind), False, True, WIDE)


NARROW, WIDE, ADDED, REQUIRED = "limit-narrowed", "limit-widened", "field-added", "required-field-added"
GONE, TYPE, SHAPE, FORM = "field-removed", "type-changed", "shape-changed", "cardinality-changed"
RESERVED = ", reserved: {numbers: [2], names: [b]}"

FIELDS = [
    Row("optional field added", a("type: bool"), f"{a('type: bool')}, {b('type: bool, required: false')}", False, False, ADDED),
    Row("field with a default added", a("type: bool"), f"{a('type: bool')}, {b('type: int32, default: 3')}", False, False, ADDED),
    Row("list added", a("type: bool"), f"{a('type: bool')}, {b('type: Point, repeated: true')}", False, False, ADDED),
    Row("map added", a("type: bool"), f"{a('type: bool')}, {b('key: string, value: Color')}", False, False, ADDED),
    Row("optional message added", a("type: bool"), f"{a('type: bool')}, {b('type: Point, required: false')}", False, False, ADDED),
    Row("required field added", a("type: bool"), f"{a('type: bool')}, {b()}", True, False, REQUIRED),
    Row("required message added", a("type: bool"), f"{a('type: bool')}, {b('type: Point')}", True, False, REQUIRED),
    Row("required shape added", a("type: bool"), f"{a('type: bool')}, {b('type: int8, shape: [4]')}", True, False, REQUIRED),
    Row("list with at least one item added", a("type: bool"), f"{a('type: bool')}, {b('type: bool, repeated: true, min_items: 1')}", True, False, REQUIRED),
    Row("map with at least one entry added", a("type: bool"), f"{a('type: bool')}, {b('key: string, value: bool, min_items: 2')}", True, False, REQUIRED),
    Row("optional oneof added", a("type: bool"), f"{a('type: bool')}, {b('type: bool, oneof: o, required: false')}", False, False, "oneof-added"),
    Row("required oneof added", a("type: bool"), f"{a('type: bool')}, {b('type: bool, oneof: o')}", True, False, "required-oneof-added"),
    Row("field removed", f"{a('type: bool')}, {b()}", a("type: bool"), True, True, GONE),
    Row("field removed and reserved", f"{a('type: bool')}, {b()}", a("type: bool"), True, True, GONE, rest_after=RESERVED),
    Row("optional field removed and reserved", f"{a('type: bool')}, {b('type: bool, required: false')}", a("type: bool"), True, True, GONE, rest_after=RESERVED),
    Row("field renamed without a word", a("type: bool"), a("type: bool", name="c"), True, True, "number-reused"),
    Row("field renamed", a("type: bool"), a("type: bool, renamed_from: a", name="c"), True, True, "field-renamed"),
    Row("field renumbered", a("type: bool"), a("type: bool", 7), True, True, "field-renumbered"),
    Row("field renumbered, its old number reserved", a("type: bool"), a("type: bool", 7), True, True, "field-renumbered", rest_after=", reserved: {numbers: [1]}"),
    Row("two fields change numbers", f"{a('type: bool')}, {b()}", f"{a('type: bool', 2)}, {a('type: bool', 1, 'b')}", True, True, "field-renumbered"),
    Row("a new field takes the number of one that is gone", f"{a('type: bool')}, {b()}", f"{a('type: bool')}, {a('type: bool', 2, 'c')}", True, True, "number-reused"),
    Row("order of the fields", f"{a('type: bool')}, {b()}", f"{b()}, {a('type: bool')}", False, False, ""),
    Row("deprecated", a("type: bool"), a("type: bool, deprecated: true"), False, False, "deprecated"),
    Row("no longer deprecated", a("type: bool, deprecated: true"), a("type: bool"), False, False, "not-deprecated"),
    Row("doc", a("type: bool, doc: One."), a("type: bool, doc: Two."), False, False, "documentation-changed"),
    Row("example", a("type: int32, example: 1"), a("type: int32, example: 2"), False, False, "documentation-changed"),
    Row("source", a("type: int32"), a("type: int32, source: A (cm)"), False, False, "documentation-changed"),
    Row("newly required", a("type: bool, required: false"), a("type: bool"), True, False, "newly-required"),
    Row("no longer required", a("type: bool"), a("type: bool, required: false"), False, True, "no-longer-required"),
    Row("message newly required", a("type: Point, required: false"), a("type: Point"), True, False, "newly-required"),
    Row("message no longer required", a("type: Point"), a("type: Point, required: false"), False, True, "no-longer-required"),
    Row("required becomes a default", a("type: int32"), a("type: int32, default: 3"), False, True, "no-longer-required"),
    Row("a default becomes required", a("type: int32, default: 3"), a("type: int32"), True, False, "newly-required"),
    Row("default changed", a("type: int32, default: 3"), a("type: int32, default: 4"), True, True, "default-changed"),
    Row("default given", a("type: int32, required: false"), a("type: int32, default: 4"), True, False, "default-changed"),
    Row("default taken away", a("type: int32, default: 4"), a("type: int32, required: false"), True, True, "default-changed"),
    Row("default of an enum changed", a("type: Color, default: red"), a("type: Color, default: blue"), True, True, "default-changed"),
    Row("default written otherwise", a("type: float64, default: 1"), a("type: float64, default: 1.0"), False, False, ""),
    Row("default duration written otherwise", a("type: duration, default: 1.5s"), a("type: duration, default: 1.50s"), False, False, ""),
    Row("unit changed", a("type: float64, unit: cm"), a("type: float64, unit: mm"), True, True, "unit-changed"),
    Row("unit told", a("type: float64"), a("type: float64, unit: mm"), False, False, "unit-told"),
    Row("unit taken away", a("type: float64, unit: mm"), a("type: float64"), True, True, "unit-changed"),
    Row("media type changed", a("type: bytes, media_type: image/png"), a("type: bytes, media_type: image/webp"), True, True, "media-type-changed"),
    Row("media type told", a("type: bytes"), a("type: bytes, media_type: image/webp"), False, False, "media-type-told"),
    Row("pattern given", a("type: string"), a("type: string, pattern: '^a'"), True, False, NARROW),
    Row("pattern taken away", a("type: string, pattern: '^a'"), a("type: string"), False, True, WIDE),
    Row("pattern changed", a("type: string, pattern: '^a'"), a("type: string, pattern: '^b'"), True, True, "pattern-changed"),
    Row("NaN allowed", a("type: float32"), a("type: float32, allow_nan: true"), False, True, WIDE),
    Row("NaN no longer allowed", a("type: float32, allow_nan: true"), a("type: float32"), True, False, NARROW),
    Row("minimum as the type has it", a("type: uint32"), a("type: uint32, minimum: 0"), False, False, ""),
    Row("maximum as the type has it", a("type: int8"), a("type: int8, maximum: 127"), False, False, ""),
    Row("maximum as the type holds it", a("type: float32, maximum: 0.1"), a("type: float32, maximum: 0.10000000149011612"), False, False, ""),
    Row("minimum of an integer as a fraction", a("type: int32, minimum: 0.5"), a("type: int32, minimum: 1"), False, False, ""),
    Row("most entries as bool keys have them", a("key: bool, value: bool"), a("key: bool, value: bool, max_items: 2"), False, False, ""),
    Row("least items as an array has them", a("type: bool, shape: [n]"), a("type: bool, shape: [n], min_items: 1"), False, False, ""),
    Row("an array may be empty", a("type: bool, shape: [n]"), a("type: bool, shape: [n], min_items: 0"), False, True, WIDE),
]  # fmt: skip

TYPES = [
    Row("int8 to int16", a("type: int8"), a("type: int16"), False, True, WIDE),
    Row("int16 to int8", a("type: int16"), a("type: int8"), True, False, NARROW),
    Row("int8 to int16, limits kept", a("type: int8, minimum: -5, maximum: 5"), a("type: int16, minimum: -5, maximum: 5"), False, False, TYPE),
    Row("int32 to uint32", a("type: int32"), a("type: uint32"), True, True, NARROW),
    Row("int32 to uint32, limits kept", a("type: int32, minimum: 0, maximum: 9"), a("type: uint32, maximum: 9"), False, False, TYPE),
    Row("list of int8 to a list of int32", a("type: int8, repeated: true"), a("type: int32, repeated: true"), False, True, WIDE),
    Row("float16 to float32", a("type: float16"), a("type: float32"), False, True, WIDE),
    Row("int32 to int64", a("type: int32"), a("type: int64"), True, True, TYPE),
    Row("int32 to bool", a("type: int32"), a("type: bool"), True, True, TYPE),
    Row("int32 to float64", a("type: int32"), a("type: float64"), True, True, TYPE),
    Row("float32 to float64", a("type: float32"), a("type: float64"), True, True, TYPE),
    Row("string to bytes", a("type: string"), a("type: bytes"), True, True, TYPE),
    Row("string to json", a("type: string"), a("type: json"), True, True, TYPE),
    Row("timestamp to duration", a("type: timestamp"), a("type: duration"), True, True, TYPE),
    Row("int32 to an enum", a("type: int32"), a("type: Color"), True, True, TYPE),
    Row("an enum to string", a("type: Color"), a("type: string"), True, True, TYPE),
    Row("an enum to another of the same values", a("type: Color"), a("type: Shade"), True, True, TYPE),
    Row("a message to another of the same fields", a("type: Point"), a("type: Spot"), True, True, TYPE),
    Row("a message to another one", a("type: Point"), a("type: Line"), True, True, TYPE),
    Row("a message to string", a("type: Point"), a("type: string"), True, True, TYPE),
    Row("one to a list", a("type: string"), a("type: string, repeated: true"), True, True, FORM),
    Row("a list to one", a("type: Point, repeated: true"), a("type: Point"), True, True, FORM),
    Row("a list to a map", a("type: bool, repeated: true"), a("key: string, value: bool"), True, True, FORM),
    Row("keys int32 to string", a("key: int32, value: bool"), a("key: string, value: bool"), True, True, TYPE),
    Row("keys int32 to uint32", a("key: int32, value: bool"), a("key: uint32, value: bool"), True, True, TYPE),
    Row("values of a map float32 to float64", a("key: string, value: float32"), a("key: string, value: float64"), True, True, TYPE),
    Row("values of a map int8 to int16", a("key: string, value: int8"), a("key: string, value: int16"), False, True, WIDE),
    Row("into a oneof", f"{a('type: bool')}, {b()}", f"{a('type: bool, oneof: o')}, {b()}", True, True, "oneof-changed"),
    Row("out of a oneof", f"{a('type: bool, oneof: o')}, {b('type: bool, oneof: o')}", f"{a('type: bool, oneof: o')}, {b()}", True, True, "oneof-changed"),
    Row("into another oneof", f"{a('type: bool, oneof: o')}, {b('type: bool, oneof: o')}", f"{a('type: bool, oneof: o')}, {b('type: bool, oneof: p')}", True, True, "oneof-changed"),
    Row("a oneof renamed", f"{a('type: bool, oneof: o')}, {b('type: bool, oneof: o')}", f"{a('type: bool, oneof: p')}, {b('type: bool, oneof: p')}", True, True, "oneof-renamed"),
    Row("a member of a required oneof added", a("type: bool, oneof: o"), f"{a('type: bool, oneof: o')}, {b('type: bool, oneof: o')}", False, True, "oneof-member-added"),
    Row("a member of an optional oneof added", a("type: bool, oneof: o, required: false"), f"{a('type: bool, oneof: o, required: false')}, {b('type: bool, oneof: o, required: false')}", False, False, "oneof-member-added"),
    Row("a oneof newly required", a("type: bool, oneof: o, required: false"), a("type: bool, oneof: o"), True, False, "newly-required"),
    Row("a oneof no longer required", a("type: bool, oneof: o"), a("type: bool, oneof: o, required: false"), False, True, "no-longer-required"),
]  # fmt: skip

SHAPES = [
    Row("a size changed", a("type: float32, shape: [3]"), a("type: float32, shape: [4]"), True, True, SHAPE),
    Row("a size changed, as bytes", a("type: uint8, shape: [2, 3]"), a("type: uint8, shape: [3, 2]"), True, True, SHAPE),
    Row("one dimension more", a("type: float32, shape: [6]"), a("type: float32, shape: [2, 3]"), True, True, SHAPE),
    Row("a size becomes a name", a("type: float32, shape: [n, 3]"), a("type: float32, shape: [n, m]"), False, True, SHAPE),
    Row("a name becomes a size", a("type: float32, shape: [n, m]"), a("type: float32, shape: [n, 3]"), True, False, SHAPE),
    Row("a fixed shape gets a name", a("type: float32, shape: [2, 3]"), a("type: float32, shape: [n, 3]"), True, True, SHAPE),
    Row("a named shape becomes fixed", a("type: uint8, shape: [n, 3]"), a("type: uint8, shape: [2, 3]"), True, True, SHAPE),
    Row("a dimension renamed", a("type: float32, shape: [n, 3]"), a("type: float32, shape: [m, 3]"), False, False, "dimension-renamed"),
    Row("two dimensions tied", f"{a('type: bool, shape: [n]')}, {b('type: bool, shape: [m]')}", f"{a('type: bool, shape: [n]')}, {b('type: bool, shape: [n]')}", True, False, "dimensions-tied"),
    Row("two dimensions untied", f"{a('type: bool, shape: [n]')}, {b('type: bool, shape: [n]')}", f"{a('type: bool, shape: [n]')}, {b('type: bool, shape: [m]')}", False, True, "dimensions-untied"),
    Row("a square becomes a rectangle", a("type: bool, shape: [n, n]"), a("type: bool, shape: [n, m]"), False, True, "dimensions-untied"),
    Row("elements int8 to uint8", a("type: int8, shape: [4]"), a("type: uint8, shape: [4]"), True, True, "element-type-changed"),
    Row("elements float16 to int16", a("type: float16, shape: [4]"), a("type: int16, shape: [4]"), True, True, "element-type-changed"),
    Row("elements float16 to float32", a("type: float16, shape: [4]"), a("type: float32, shape: [4]"), True, True, "element-type-changed"),
    Row("elements float32 to float64", a("type: float32, shape: [4]"), a("type: float64, shape: [4]"), True, True, "element-type-changed"),
    Row("elements int32 to uint32", a("type: int32, shape: [4]"), a("type: uint32, shape: [4]"), True, True, "element-type-changed"),
    Row("elements under a named dimension", a("type: int16, shape: [n]"), a("type: float16, shape: [n]"), True, True, "element-type-changed"),
    Row("one value to a shape", a("type: uint8"), a("type: uint8, shape: [4]"), True, True, TYPE),
    Row("bytes to a shape", a("type: bytes"), a("type: uint8, shape: [4]"), True, True, TYPE),
    Row("a list to a shape", a("type: float32, repeated: true"), a("type: float32, shape: [4]"), True, True, TYPE),
]  # fmt: skip

MESSAGES = [
    Row("presence becomes implicit", a("type: int32"), a("type: int32"), True, True, "presence-changed", rest_after=", presence: implicit"),
    Row("presence becomes explicit", a("type: int32"), a("type: int32"), True, True, "presence-changed", ", presence: implicit", ""),
    Row("presence where it makes no difference", a("type: Point"), a("type: Point"), False, False, "", ", presence: implicit", ""),
    Row("a message said to be optional", a("type: Point"), a("type: Point, presence: explicit"), False, False, "presence-changed"),
    Row("implicit field added", a("type: int32"), f"{a('type: int32')}, {b('type: int32')}", False, False, ADDED, ", presence: implicit"),
    Row("implicit field added that takes no 0", a("type: int32"), f"{a('type: int32')}, {b('type: int32, minimum: 1')}", True, False, REQUIRED, ", presence: implicit"),
    Row("implicit enum added", a("type: int32"), f"{a('type: int32')}, {b('type: Color')}", True, False, REQUIRED, ", presence: implicit"),
    Row("implicit text added that must match", a("type: int32"), f"{a('type: int32')}, {b('type: string, pattern: a')}", True, False, REQUIRED, ", presence: implicit"),
    Row("implicit field newly required", a("type: int32, required: false"), a("type: int32"), False, False, "required-changed", ", presence: implicit"),
    Row("a number reserved", a("type: int32"), a("type: int32"), False, False, "reserved", "", RESERVED),
    Row("a reservation taken out", a("type: int32"), a("type: int32"), True, True, "reservation-removed", RESERVED, ""),
    Row("a reserved name taken out", a("type: int32"), a("type: int32"), True, True, "reservation-removed", RESERVED, ", reserved: {numbers: [2]}"),
    Row("reserved ranges written otherwise", a("type: int32"), a("type: int32"), False, False, "reserved", ', reserved: {numbers: ["2 to 4"]}', ", reserved: {numbers: [2, 3, 4]}"),
    Row("a reserved range cut", a("type: int32"), a("type: int32"), True, True, "reservation-removed", ', reserved: {numbers: ["2 to 9"]}', ", reserved: {numbers: [2, 9]}"),
    Row("doc of a message", a("type: int32"), a("type: int32"), False, False, "documentation-changed", ", doc: One.", ", doc: Two."),
]  # fmt: skip

ONE, TWO = "{name: one, number: 1}", "{name: two, number: 2}"
LEFT = ", reserved: {numbers: [2], names: [two]}"


def value(
    name: str,
    before: str,
    after: str,
    request: bool,
    response: bool,
    rule: str,
    rest: str = "",
    rest_after: str | None = None,
) -> Row:
    return Row(name, before, after, request, response, rule, rest, rest_after, enum=True)


VALUES = [
    value("value added", ONE, f"{ONE}, {TWO}", False, True, "value-added"),
    value("value removed", f"{ONE}, {TWO}", ONE, True, True, "value-removed"),
    value("value removed and reserved", f"{ONE}, {TWO}", ONE, True, False, "value-removed", rest_after=LEFT),
    value("value renumbered", ONE, "{name: one, number: 5}", True, True, "value-renumbered"),
    value("value renamed without a word", ONE, "{name: uno, number: 1}", True, True, "number-reused"),
    value("value renamed", ONE, "{name: uno, number: 1, renamed_from: one}", True, True, "value-renamed"),
    value("value in other letters", ONE, "{name: ONE, number: 1}", False, False, ""),
    value("order of the values", f"{ONE}, {TWO}", f"{TWO}, {ONE}", False, False, ""),
    value("doc of a value", ONE, "{name: one, number: 1, doc: The first.}", False, False, "documentation-changed"),
    value("doc of an enum", ONE, ONE, False, False, "documentation-changed", ", doc: A.", ", doc: B."),
    value("number of a value reserved", ONE, ONE, False, False, "reserved", "", LEFT),
    value("reservation of a value taken out", ONE, ONE, True, True, "reservation-removed", LEFT, ""),
]

# What a schema has for the sake of a foreign .proto.
FOREIGN = [
    Row("packed otherwise", a("type: int32, repeated: true"), a("type: int32, repeated: true, options: {packed: false}"), False, False, "option-changed"),
    Row("another type in JavaScript", a("type: int64"), a("type: int64, options: {jstype: JS_STRING}"), True, True, "option-changed"),
    Row("another name in JSON", a("type: int32"), a("type: int32, json_name: alpha"), True, True, "json-name-changed"),
    Row("the name in JSON taken away", a("type: int32, json_name: alpha"), a("type: int32"), True, True, "json-name-changed"),
    Row("presence of one field taken away", a("type: int32"), a("type: int32, presence: implicit"), True, True, "presence-changed"),
    Row("presence given to one field", a("type: int32, presence: implicit"), a("type: int32"), True, True, "presence-changed"),
    Row("an option of a message", a("type: int32"), a("type: int32"), False, False, "option-changed", "", ", options: {deprecated: true}"),
    Row("an option of an enum", ONE, ONE, False, False, "option-changed", "", ", options: {deprecated: true}", enum=True),
    Row("an option of a value", ONE, "{name: one, number: 1, options: {deprecated: true}}", False, False, "option-changed", enum=True),
    Row("a second name of a number", ONE, f"{ONE}, {{name: uno, number: 1}}", False, True, "value-added", "", ", options: {allow_alias: true}", enum=True),
]  # fmt: skip

ROWS = [*FIELDS, *TYPES, *SHAPES, *MESSAGES, *VALUES, *FOREIGN, *_limits()]


@dataclass(frozen=True)
class Whole:
    """A change of the schema as a whole: `old` in the text of `schema("acme.v1", "both", ...)` becomes `new`."""

    name: str
    old: str
    new: str
    breaking: bool
    rule: str


METHOD = "  Ping:\n    request: {fields: []}\n    response: {fields: []}\n"
EVERYTHING = schema("acme.v1", "both", a("type: Point"), "") + METHOD + "doc: All.\n"
WHOLE = [
    Whole("package", "acme.v1", "acme.v2", True, "package-changed"),
    Whole("service", "AcmeService", "OtherService", True, "service-renamed"),
    Whole("doc of the whole", "All.", "All of it.", False, "documentation-changed"),
    Whole("draft again", "status: stable", "status: draft", False, "stability-withdrawn"),
    Whole("method added", METHOD, f"{METHOD}{METHOD.replace('Ping', 'Pong')}", False, "method-added"),
    Whole("method removed", METHOD, "", True, "method-removed"),
    Whole("method renamed", "  Ping", "  Pong", True, "method-removed"),
    Whole("doc of a method", "  Ping:\n", "  Ping:\n    doc: It answers.\n", False, "documentation-changed"),
    Whole("streamed", "  Ping:\n", "  Ping:\n    streaming: server\n", True, "streaming-changed"),
    Whole("no longer served", "  Ping:\n", "  Ping:\n    served: false\n", True, "method-unserved"),
    Whole("requests streamed", "  Ping:\n", "  Ping:\n    served: false\n    streaming: client\n", True, "streaming-changed"),
    Whole("no longer streamed", "    streaming: server\n", "", True, "streaming-changed"),
    Whole("request renamed", "  Ping:\n    request: {", "  Ping:\n    request: {message: Asked, ", True, "message-renamed"),
    Whole("response renamed", "    response: {fields: []}\n  Watch", "    response: {message: Said, fields: []}\n  Watch", True, "message-renamed"),
    Whole("a message that nothing uses removed", OTHERS.splitlines(True)[2], "", True, "message-removed"),
    Whole("a message that nothing uses added", OTHERS, f"{OTHERS}  More: {{fields: []}}\n", False, "message-added"),
    Whole("an enum that nothing uses removed", ENUMS.splitlines(True)[1], "", True, "enum-removed"),
    Whole("an enum that nothing uses added", ENUMS, f"{ENUMS}  More: {{values: [{ONE}]}}\n", False, "enum-added"),
    Whole("a value of an enum that nothing uses added", "Shade: {values: [", "Shade: {values: [{name: grey, number: 9}, ", False, "value-added"),
    Whole("a field of a message that nothing uses required", "Spot: {fields: [", "Spot: {fields: [{name: z, number: 9, type: bool}, ", False, ADDED),
    Whole("a field of a message that nothing uses removed", "Spot: {fields: [{name: x, number: 1, type: float64}, ", "Spot: {fields: [", True, GONE),
    Whole("the package in Go", "doc: All.", "options: {go_package: x}\ndoc: All.", True, "option-changed"),
    Whole("a file that is deprecated", "doc: All.", "options: {deprecated: true}\ndoc: All.", False, "option-changed"),
    Whole("a service that is deprecated", "doc: All.", "service_options: {deprecated: true}\ndoc: All.", False, "option-changed"),
    Whole("an option of a method", "  Ping:\n", "  Ping:\n    options: {idempotency_level: IDEMPOTENT}\n", True, "option-changed"),
    Whole("braces behind a method", "  Ping:\n", "  Ping:\n    options: {}\n", False, "option-changed"),
    Whole("a limit two messages deep", "Point: {fields: [{name: x, number: 1, type: float64", "Point: {fields: [{name: x, number: 1, type: float64, maximum: 9", True, NARROW),
]  # fmt: skip


@dataclass(frozen=True)
class Texts:
    """A change that is in several places of a schema: two whole ones."""

    name: str
    old: str
    new: str
    breaking: bool
    rule: str


def foreign(kinds: str, messages: str = "", names: str = "exact", used: str = "Kind") -> str:
    """A stable contract with an enum, in a reply."""
    return (
        f"package: acme.v1\nstatus: stable\nnames: {names}\nenums:\n{kinds}messages:\n  Outer: {{fields: []}}\n{messages}"
        "methods:\n  Predict:\n    request: {fields: []}\n    response:\n      fields:\n"
        f"        - {{name: kind, number: 1, type: {used}, required: false}}\n"
    )


EXACT = "  Kind: {values: [{name: KIND_UNSPECIFIED, number: 0}, {name: KIND_ONE, number: 1}]}\n"
STANDARD = f"  Kind: {{values: [{ONE}]}}\n"
INNER = "  Outer.Inner: {fields: [], after: x}\n  Outer: {fields: [{name: x, number: 1, key: string, value: bool}]}\n"
SHARED = "  common/t.proto: {package: acme.common, messages: {Tensor: {fields: [{name: a, number: 1, type: int32}]}}}\n"


def importing(shared: str = SHARED, messages: str = "", used: str = "acme.common.Tensor") -> str:
    """A stable contract with a message of an imported file, in a request."""
    return (
        f"package: acme.v1\nstatus: stable\nimports:\n{shared}messages:\n  Own: {{fields: []}}\n{messages}"
        "methods:\n  Predict:\n    request:\n      fields:\n"
        f"        - {{name: it, number: 1, type: {used}, required: false}}\n    response: {{fields: []}}\n"
    )


TEXTS = [
    Texts("an option of an imported file", importing(), importing(SHARED.replace("common, ", "common, options: {go_package: x}, ")), True, "option-changed"),
    Texts("a field of an imported message removed", importing(), importing(SHARED.replace("{name: a, number: 1, type: int32}", "")), True, GONE),
    Texts("an imported message with another package", importing(), importing(SHARED.replace("acme.common", "acme.other"), used="acme.other.Tensor"), True, "type-moved"),
    Texts("an imported message in another file", importing(), importing(SHARED.replace("common/t.proto", "common/u.proto")), True, "type-moved"),
    Texts("an imported message written into the schema", importing(), importing(SHARED.replace("Tensor", "Rest"), "  Tensor: {fields: [{name: a, number: 1, type: int32}]}\n", used="Tensor"), True, "type-moved"),
    Texts("a message with the name of an imported one added", importing(), importing(messages="  Tensor: {fields: []}\n"), False, "message-added"),
    Texts("an imported file added", importing(), importing(f"{SHARED}{SHARED.replace('common/t', 'common/u').replace('Tensor', 'More')}"), False, "import-added"),
    Texts("an imported file removed", importing(f"{SHARED}{SHARED.replace('common/t', 'common/u').replace('Tensor', 'More')}"), importing(), True, "import-removed"),
    Texts("names exact, with the same .proto", foreign(STANDARD, names="standard"), foreign(EXACT), True, "zero-is-a-value"),
    Texts("names no longer exact", foreign(EXACT), foreign(STANDARD, names="standard"), False, "zero-is-no-value"),
    Texts("exact value in other letters", foreign(EXACT), foreign(EXACT.replace("KIND_ONE", "Kind_one")), True, "number-reused"),
    Texts("prefix lost with exact names", foreign(STANDARD, names="standard"), foreign(EXACT.replace("KIND_ONE", "ONE")), True, "number-reused"),
    Texts("enum moved into a message", foreign("  OuterKind: {values: [{name: A, number: 0}]}\n", used="OuterKind"), foreign("  Outer.Kind: {values: [{name: A, number: 0}]}\n", used="Outer.Kind"), True, "type-moved"),
    Texts("message moved out of a message", foreign(EXACT, "  Outer.Inner: {fields: []}\n", used="Outer.Inner"), foreign(EXACT, "  OuterInner: {fields: []}\n", used="OuterInner"), True, "type-moved"),
    Texts("message elsewhere in a message", foreign(EXACT, "", used="Outer.Inner").replace("  Outer: {fields: []}\n", INNER), foreign(EXACT, "", used="Outer.Inner").replace("  Outer: {fields: []}\n", INNER.replace(", after: x", "")), False, "documentation-changed"),
]  # fmt: skip
