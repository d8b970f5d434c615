"""The keys of a field, one row each.

The loader, the JSON Schema, the table in docs/schema.md and the comparison of contracts all follow from the rows. A new
key is a row here, an attribute of `model.Field`, a rule in `compat/rules` unless a change of it breaks nobody, and what
the code generators make of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from protoserve.platform.yaml_tree import Node, Scalar
from protoserve.schema import protobuf_options, reserved_names
from protoserve.schema.mapping_reader import Section, described, plain
from protoserve.schema.model import MAX_FIELD_NUMBER, Dimension, Options
from protoserve.schema.types import MAP_KEYS, Kind

# What `FieldKey.breaks` says of a key that callers never notice.
NOBODY = "nobody"
_DIMENSION = "write an integer of at least 1 or a word such as height"
_MAX_COUNT = 2**31 - 1
_MAX_MINIMUM_COUNT = 2**27
Json = dict[str, Any]
Reader = Callable[[Section, str], Any]


@dataclass(frozen=True, slots=True)
class FieldKey:
    """One key of a field.

    `json` is its JSON Schema without the description. `read` gives its value from a field's section, and is None for a
    key that the parser reads together with others. `attribute` is its place in `model.Field`. `used_for` says which
    fields may have it; where the scalar type alone decides that, `kinds` are the kinds of type. `breaks` says whom a
    change of it breaks.
    """

    name: str
    json: Json
    read: Reader | None
    used_for: str
    description: str
    breaks: str
    attribute: str = ""
    kinds: tuple[Kind, ...] = ()


def _line(section: Section, key: str) -> str | None:
    return section.text(key) or None


def _exact_line(section: Section, key: str) -> str | None:
    return section.text(key, exact=True) or None


def _doc(section: Section, key: str) -> str:
    return section.text(key, lines=True) or ""


def _flag(section: Section, key: str) -> bool:
    return section.flag(key) or False


def _field_number(section: Section, key: str) -> int:
    """0 where the text has no number yet."""
    return section.integer(key, 1, MAX_FIELD_NUMBER) or 0


def _implicit(section: Section, key: str) -> bool:
    return section.choice(key, ("explicit", "implicit"), "explicit") == "implicit"


def _options(section: Section, key: str) -> Options:
    return protobuf_options.read(section, "field", key)


def _json_value(section: Section, key: str) -> object:
    node = section.node_of(key)
    value = None if node is None else plain(node)
    if node is not None and value is None:
        section.report(key, f"{key!r} is empty", "give a value, or take the key out")
    return value


def _shape(section: Section, key: str) -> tuple[Dimension, ...] | None:
    items = section.items(key, "dimensions, such as [3] or [height, width, 3]")
    if items is None:
        return None
    if not items:
        section.report(key, "the shape has no dimension", "take `shape` out, or write the sizes: [3]")
        return None
    sizes: list[Dimension] = []
    written = [item.text if isinstance(item, Scalar) else "..." for item in items]
    for item in items:
        complaint = _dimension_complaint(item, written)
        if complaint is not None:
            section.problems.add(item.place, f"{section.path}.{key}", *complaint)
            return None
        assert isinstance(item, Scalar)
        assert isinstance(item.value, (int, str))  # anything else has a complaint
        sizes.append(item.value)
    return tuple(sizes)


def _dimension_complaint(node: Node, sizes: list[str]) -> reserved_names.Complaint | None:
    if isinstance(node, Scalar) and node.text in reserved_names.ANY_SIZE:
        return reserved_names.any_size(node.text, "", sizes)
    if not isinstance(node, Scalar) or isinstance(node.value, (bool, float)) or node.value is None:
        return f"a dimension must be an integer or a name, not {described(node)}", _DIMENSION
    if isinstance(node.value, int):
        return None if node.value >= 1 else (f"the dimension {node.value} is less than 1", _DIMENSION)
    return reserved_names.dimension(node.value)


_FLAG_JSON: Json = {"type": "boolean", "default": False}
_LINE_JSON: Json = {"type": "string", "pattern": "^[^\\n]*$"}
_COUNT_JSON: Json = {"type": "integer", "minimum": 0}
_FIELD_NAME_JSON: Json = {"$ref": "#/$defs/fieldName"}
_TYPE_JSON: Json = {"$ref": "#/$defs/type"}
_NUMBER_JSON: Json = {
    "type": "integer",
    "minimum": 1,
    "maximum": MAX_FIELD_NUMBER,
    "not": {"minimum": 19000, "maximum": 19999},
}
_SHAPE_JSON: Json = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]*$"}]},
}
_EXACT_TEXT = partial(Section.text, exact=True)
_LEAST = partial(Section.integer, low=0, high=_MAX_MINIMUM_COUNT)
_MOST = partial(Section.integer, low=0, high=_MAX_COUNT)
_NUMBERS = (Kind.INT, Kind.FLOAT)
_TEXTS = (Kind.STRING, Kind.BYTES)
_LIMIT_BREAKS = "requests where it is narrower, responses where it is wider"
_TYPE_BREAKS = "depends on both types"

# fmt: off
FIELD_KEYS: tuple[FieldKey, ...] = (
    FieldKey("name", _FIELD_NAME_JSON, None, "all",
             "lower_snake_case; the same in the `.proto`, in Python and in JSON", "JSON"),
    FieldKey("number", _NUMBER_JSON, _field_number, "all",
             "field number; the generator writes a missing one into the file, and it never changes after that",
             "everyone", "number"),
    FieldKey("type", _TYPE_JSON, None, "all but maps",
             "a scalar type, or the name of an enum or a message of this file", _TYPE_BREAKS),
    FieldKey("key", {"enum": list(MAP_KEYS)}, None, "maps",
             "type of the keys; a map has `key` and `value` in place of `type`", _TYPE_BREAKS),
    FieldKey("value", _TYPE_JSON, None, "maps", "type of the values", _TYPE_BREAKS),
    FieldKey("doc", {"type": "string"}, _doc, "all",
             "what the field means: comment in the `.proto`, docstring in Python", NOBODY, "doc"),
    FieldKey("required", {"type": "boolean", "default": True}, None, "all but lists and maps",
             "`false`: a request may leave the field out; default `true`, unless it has a `default`",
             "requests where it becomes true, responses where it becomes false"),
    FieldKey("repeated", _FLAG_JSON, _flag, "all but shapes and maps", "`true`: a list", "everyone", "repeated"),
    FieldKey("shape", _SHAPE_JSON, _shape, "bool, numbers",
             "sizes of an array, outermost first: integers from 1, or names for sizes that travel with the values",
             "whoever sends or gets the old shape", "shape"),
    FieldKey("oneof", _FIELD_NAME_JSON, _line, "all but lists, maps, packed shapes",
             "name of the oneof of which the field is a member", "everyone", "oneof"),
    FieldKey("default", {}, _json_value, "singular scalars and enums",
             "value of a field that was not sent; the field is then not required", "requests without the field",
             "default"),
    FieldKey("example", {}, _json_value, "all but messages",
             "a valid value (of one element, for lists, maps and shapes), used in sample requests and in the warm-up",
             NOBODY, "example"),
    FieldKey("minimum", {"type": "number"}, Section.number, "numbers", "smallest value allowed, of each element",
             _LIMIT_BREAKS, "minimum", _NUMBERS),
    FieldKey("maximum", {"type": "number"}, Section.number, "numbers", "largest value allowed, of each element",
             _LIMIT_BREAKS, "maximum", _NUMBERS),
    FieldKey("min_length", _COUNT_JSON, _LEAST, "string and bytes", "fewest characters (code points) or bytes",
             _LIMIT_BREAKS, "min_length", _TEXTS),
    FieldKey("max_length", _COUNT_JSON, _MOST, "string and bytes", "most characters (code points) or bytes",
             _LIMIT_BREAKS, "max_length", _TEXTS),
    FieldKey("min_items", _COUNT_JSON, _LEAST, "lists, maps, named shapes",
             "fewest entries; for a shape with a named dimension, elements in all", _LIMIT_BREAKS, "min_items"),
    FieldKey("max_items", _COUNT_JSON, _MOST, "lists, maps, named shapes",
             "most entries; for a shape with a named dimension, elements in all", _LIMIT_BREAKS, "max_items"),
    FieldKey("pattern", {"type": "string"}, _EXACT_TEXT, "string",
             "RE2; it searches, so write `^...$` to match the whole text", _LIMIT_BREAKS, "pattern", (Kind.STRING,)),
    FieldKey("allow_nan", _FLAG_JSON, _flag, "floats", "`true`: NaN and infinities are values", _LIMIT_BREAKS,
             "allow_nan", (Kind.FLOAT,)),
    FieldKey("media_type", _LINE_JSON, _line, "string and bytes", "such as `image/png`; documentation, not checked",
             "whoever relies on it", "media_type", _TEXTS),
    FieldKey("unit", _LINE_JSON, _line, "all", "unit of the value, such as `cm`; documentation",
             "whoever relies on it", "unit"),
    FieldKey("source", _LINE_JSON, _exact_line, "all",
             "the model's own name for it, such as a column; documentation", NOBODY, "source"),
    FieldKey("deprecated", _FLAG_JSON, _flag, "all", "`true`: `[deprecated = true]` in the `.proto`", NOBODY,
             "deprecated"),
    FieldKey("renamed_from", _FIELD_NAME_JSON, _line, "all",
             "the name that the field had in the committed contract: a rename keeps the number", NOBODY,
             "renamed_from"),
    FieldKey("presence", {"enum": ["explicit", "implicit"]}, _implicit, "all",
             "`implicit` or `explicit`, where it is not that of the message; `explicit` on a message writes `optional`",
             "everyone", "implicit"),
    FieldKey("json_name", {"type": "string", "minLength": 1}, _EXACT_TEXT, "all",
             "name in JSON, where it is not the one that protoc makes", "JSON", "json_name"),
    FieldKey("options", {"$ref": "#/$defs/options"}, _options, "all", "other options of the field",
             "generated code, for some of them", "options"),
)
# fmt: on
