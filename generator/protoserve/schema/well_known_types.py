"""Messages of protobuf's own that a schema may name as they are, `google.protobuf.Empty` for example.

Timestamp, Duration and Value are scalars here: `timestamp`, `duration` and `json`.
"""

from __future__ import annotations

from protoserve.platform.yaml_tree import Mapping, parse

PREFIX = "google.protobuf."

_WRAPPED = {
    "DoubleValue": "double, allow_nan: true",
    "FloatValue": "float, allow_nan: true",
    "Int64Value": "int64",
    "Int32Value": "int32",
    "UInt64Value": "uint64",
    "UInt32Value": "uint32",
    "BoolValue": "bool",
    "StringValue": "string",
    "BytesValue": "bytes",
}
_TEXT = "\n".join(
    [
        "Empty: {doc: Nothing., fields: []}",
        "Any: {doc: A message of any type., presence: implicit, fields: ["
        "{name: type_url, number: 1, type: string}, {name: value, number: 2, type: bytes}]}",
        "Struct: {doc: A JSON object., fields: [{name: fields, number: 1, key: string, value: json}]}",
        "ListValue: {doc: A JSON array., fields: [{name: values, number: 1, type: json, repeated: true}]}",
        "FieldMask: {doc: Paths., fields: [{name: paths, number: 1, type: string, repeated: true, example: name}]}",
        *(
            f"{name}: {{doc: A value that may be absent., presence: implicit,"
            f" fields: [{{name: value, number: 1, type: {kind}}}]}}"
            for name, kind in _WRAPPED.items()
        ),
    ]
)
# The .proto of each, below google/protobuf/.
FILES = {
    f"{PREFIX}{name}": file
    for file, names in {
        "empty": ("Empty",),
        "any": ("Any",),
        "struct": ("Struct", "ListValue"),
        "field_mask": ("FieldMask",),
        "wrappers": tuple(_WRAPPED),
    }.items()
    for name in names
}
SCALARS = {f"{PREFIX}Timestamp": "timestamp", f"{PREFIX}Duration": "duration", f"{PREFIX}Value": "json"}


def definition(name: str) -> Mapping | None:
    """The message of that full name as a schema would say it; None for a name that is none of these."""
    root = parse(_TEXT)
    assert isinstance(root, Mapping)
    value = next((node for key, node in root.entries if f"{PREFIX}{key.text}" == name), None)
    return value if isinstance(value, Mapping) else None
