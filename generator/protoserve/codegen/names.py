"""How one name is spelled in a .proto, in Python and in JSON."""

from __future__ import annotations

import re

from protoserve.contract.types import SCALARS

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake(name: str) -> str:
    """`PredictProba` as `predict_proba`."""
    return _WORDS.sub("_", name).lower()


def upper_snake(name: str) -> str:
    """`CardType` as `CARD_TYPE`, the prefix that protobuf's style guide wants on enum values."""
    return snake(name).upper()


def enum_value(enum: str, value: str) -> str:
    """The name of an enum's value in the .proto, where all values of a package share one scope."""
    return f"{upper_snake(enum)}_{value.upper()}"


def tensor(dtype: str) -> str:
    """The message that carries an array whose shape has a named dimension."""
    return f"{SCALARS[dtype].name.capitalize()}Tensor"
