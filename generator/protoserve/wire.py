"""How a field travels: its type in the .proto, its presence, and how arrays and maps are encoded.

The generator, the compatibility rules, the example models and `verify` all ask here, so that they never disagree.
"""

from __future__ import annotations

from enum import Enum

from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Field
from protoserve.schema.types import SCALARS, Kind

# The kinds of scalar that travel as messages of protobuf's own, with the .proto that defines each.
WELL_KNOWN = {
    Kind.DURATION: "google/protobuf/duration.proto",
    Kind.JSON: "google/protobuf/struct.proto",
    Kind.TIMESTAMP: "google/protobuf/timestamp.proto",
}


class Presence(Enum):
    """What a receiver sees of a field that was not sent (https://protobuf.dev/programming-guides/field_presence/)."""

    EXPLICIT = "explicit"  # `HasField` is false
    IMPLICIT = "implicit"  # the zero of its type, which may have been sent as well
    LIST = "list"  # an empty list
    MAP = "map"  # an empty map


def presence(contract: Contract, field: Field) -> Presence:
    """What a receiver sees when the field was not sent."""
    if field.is_map:
        return Presence.MAP
    if field.repeated or packed(field):
        return Presence.LIST
    if field.implicit and field.oneof is None and not is_message(contract, field):
        return Presence.IMPLICIT
    return Presence.EXPLICIT


def absent_is_empty(contract: Contract, field: Field) -> bool:
    """Whether an array that was not sent looks like an empty one, which no fixed shape allows."""
    return field.shape is not None and presence(contract, field) is not Presence.EXPLICIT


def is_required(field: Field) -> bool:
    """Whether a valid message always has the field; of the members of a oneof none is required by itself."""
    return field.required and field.oneof is None


def least_items(field: Field) -> int:
    """How many items a list or map has at least, or elements an array: one, unless the schema says otherwise."""
    if field.min_items is not None:
        return field.min_items
    return 1 if field.dynamic else 0


def may_be_none(field: Field) -> bool:
    """Whether Python may see None: a list or map is empty instead, and a default stands in for an absent value."""
    return not (is_required(field) or field.repeated or field.is_map or field.default is not None)


def is_message(contract: Contract, field: Field) -> bool:
    """Whether the field, or each of its items, is a message on the wire."""
    if field.dynamic:
        return True
    scalar = field.scalar
    return contract.enum(field.type) is None if scalar is None else scalar.kind in WELL_KNOWN


def packed(field: Field) -> bool:
    """Whether the field is a fixed shape that travels as one packed repeated field."""
    return field.shape is not None and not field.dynamic and not SCALARS[field.type].element_bytes


def element_format(field: Field) -> str:
    """The `struct` format of one array element, for types whose arrays travel as little-endian bytes."""
    return SCALARS[field.type].struct_code


def label(contract: Contract, field: Field) -> str:
    """`repeated`, `optional` or nothing: what stands before the type in the .proto."""
    if field.oneof is not None:
        return ""
    known = presence(contract, field)
    if known is Presence.LIST:
        return "repeated"
    return "optional" if known is Presence.EXPLICIT and (field.labelled or not is_message(contract, field)) else ""


def value_type(field: Field) -> str:
    """The type of one value in the .proto: of a map's values, of a list's items, of a whole array."""
    scalar = field.scalar
    if field.dynamic:
        return reserved_names.tensor(field.type)
    if scalar is not None and field.shape is not None and scalar.element_bytes:
        return "bytes"
    return scalar.proto if scalar is not None else field.type
