"""The types a field can have: one row each. A new scalar type is one more row here."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from enum import Enum


class Kind(Enum):
    """What family of checks and of Python values a type belongs to."""

    BOOL = "bool"
    INT = "int"
    FLOAT = "float"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "timestamp"
    DURATION = "duration"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class ScalarType:
    """One scalar type: its name in a schema, on the wire and in Python.

    `low` and `high` are the values that the type itself can hold (the largest finite one for floats);
    `dtype` is numpy's name for elements of an array, None where the type takes no shape;
    `element_bytes` is the size of an array element when arrays travel as little-endian `bytes`, 0 when they
    travel as a packed repeated field. `struct_code` is what Python's `struct` calls a number of the type.
    """

    name: str
    kind: Kind
    proto: str
    python: str
    dtype: str | None = None
    low: float | int | None = None
    high: float | int | None = None
    element_bytes: int = 0
    struct_code: str = ""

    @property
    def numeric(self) -> bool:
        return self.kind in (Kind.INT, Kind.FLOAT)


def _integer(name: str, proto: str, bits: int, *, signed: bool) -> ScalarType:
    low = -(2 ** (bits - 1)) if signed else 0
    high = 2 ** (bits - signed) - 1
    code = {8: "b", 16: "h", 32: "i", 64: "q"}[bits]
    element_bytes = bits // 8 if bits <= 16 else 0
    return ScalarType(name, Kind.INT, proto, "int", name, low, high, element_bytes, code if signed else code.upper())


def _other(name: str, bits: int, *, signed: bool) -> ScalarType:
    """An integer in one of protobuf's other encodings, for a foreign .proto: it takes no shape."""
    return replace(_integer(name, name, bits, signed=signed), dtype=None)


FLOAT16_MAX = 65504.0
FLOAT32_MAX = (2 - 2**-23) * 2.0**127

SCALARS: dict[str, ScalarType] = {
    row.name: row
    for row in (
        ScalarType("bool", Kind.BOOL, "bool", "bool", "bool"),
        _integer("int8", "int32", 8, signed=True),
        _integer("int16", "int32", 16, signed=True),
        _integer("int32", "int32", 32, signed=True),
        _integer("int64", "int64", 64, signed=True),
        _integer("uint8", "uint32", 8, signed=False),
        _integer("uint16", "uint32", 16, signed=False),
        _integer("uint32", "uint32", 32, signed=False),
        _integer("uint64", "uint64", 64, signed=False),
        _other("sint32", 32, signed=True),
        _other("sint64", 64, signed=True),
        _other("fixed32", 32, signed=False),
        _other("fixed64", 64, signed=False),
        _other("sfixed32", 32, signed=True),
        _other("sfixed64", 64, signed=True),
        ScalarType("float16", Kind.FLOAT, "float", "float", "float16", -FLOAT16_MAX, FLOAT16_MAX, 2, "e"),
        ScalarType("float32", Kind.FLOAT, "float", "float", "float32", -FLOAT32_MAX, FLOAT32_MAX, 0, "f"),
        ScalarType("float64", Kind.FLOAT, "double", "float", "float64", -math.inf, math.inf, 0, "d"),
        ScalarType("string", Kind.STRING, "string", "str"),
        ScalarType("bytes", Kind.BYTES, "bytes", "bytes"),
        ScalarType("timestamp", Kind.TIMESTAMP, "google.protobuf.Timestamp", "datetime"),
        ScalarType("duration", Kind.DURATION, "google.protobuf.Duration", "timedelta"),
        ScalarType("json", Kind.JSON, "google.protobuf.Value", "Json"),
    )
}

# protobuf's own names for the two floats, accepted so that nobody has to look them up.
ALIASES = {"float": "float32", "double": "float64"}

# What other languages call a list, in small letters: no type here, where a list is a property of the field.
LISTS = ("list", "sequence", "array", "vector", "tuple", "set", "iterable")

# What a map's key may be (protobuf: any integral or string type, no enum, no float, no bytes).
MAP_KEYS = (
    *("string", "bool", "int32", "int64", "uint32", "uint64"),
    *("sint32", "sint64", "fixed32", "fixed64", "sfixed32", "sfixed64"),
)


def cast(scalar: ScalarType, value: float | int) -> float | int:
    """A limit as the type holds it: 0.1 as a float32 is a little more than 0.1, and must still be allowed."""
    if scalar.kind is not Kind.FLOAT:
        return value
    code = f"<{scalar.struct_code}"
    return float(struct.unpack(code, struct.pack(code, value))[0])
