"""What a field is on the wire: its type in the .proto, and whether it is there once, many times, or in a message."""

from __future__ import annotations

from protoserve.schema import reserved_names
from protoserve.schema.model import Field
from protoserve.schema.types import SCALARS


def packed(field: Field) -> bool:
    """Whether the field is a static shape that travels as one packed repeated field."""
    return field.shape is not None and not field.dynamic and not SCALARS[field.type].element_bytes


def wire_type(field: Field) -> str:
    """The type of the field in the .proto, without a label."""
    scalar = field.scalar
    if field.dynamic:
        return reserved_names.tensor(field.type)
    if scalar is not None and field.shape is not None and scalar.element_bytes:
        return "bytes"
    value = scalar.proto if scalar is not None else field.type
    return f"map<{field.key}, {value}>" if field.is_map else value
