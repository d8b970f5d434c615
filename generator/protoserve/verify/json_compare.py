"""Compares predictions, which are JSON values, with a tolerance for the numbers in them."""

from __future__ import annotations

import math
from typing import Any


def close(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal except for the last digits of numbers, which change with the batch."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(close, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-6)
    return bool(one == other)


def reordered(values: list[Any], expected: list[Any]) -> bool:
    """Whether all of `values` are among `expected`, each one once, in any order."""
    rest = list(expected)
    for value in values:
        index = next((index for index, item in enumerate(rest) if close(value, item)), None)
        if index is None:
            return False
        del rest[index]
    return True


def scaled(value: Any, factor: float) -> Any:
    """The value with its fractional numbers multiplied: smaller ones are within most limits."""
    if isinstance(value, dict):
        return {key: scaled(item, factor) for key, item in value.items()}
    if isinstance(value, list):
        return [scaled(item, factor) for item in value]
    return value * factor if isinstance(value, float) else value
