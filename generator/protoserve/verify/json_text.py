"""Reads JSON as RFC 8259 defines it. Python's own reader also takes NaN and Infinity, and drops keys that repeat."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any


class ConstantError(ValueError):
    """JSON but for NaN, Infinity or -Infinity."""


@dataclass(frozen=True, slots=True)
class _Constant:
    """NaN, Infinity or -Infinity, which JSON does not have."""

    name: str


class _Object(dict[str, Any]):
    """An object; `repeated` is a key that stands in it more than once."""

    repeated: str | None = None


def parse(data: bytes | str) -> Any:
    """The value. Raises ValueError, with the place, for anything that is not JSON; ConstantError for NaN."""
    value = _read(data)
    for path, inner in _walk(value):
        if isinstance(inner, _Constant):
            raise ConstantError(f"{path or 'the whole value'} is {inner.name}, which JSON does not have")
    return value


def repeated_key(value: Any) -> str | None:
    """The path of the first key that stands twice in an object of a value that `parse` returned, None without one."""
    for path, inner in _walk(value):
        if isinstance(inner, _Object) and inner.repeated is not None:
            return f"{path}.{inner.repeated}".lstrip(".")
    return None


def _read(data: bytes | str) -> Any:
    try:
        return json.loads(data, parse_constant=_Constant, object_pairs_hook=_object)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    result = _Object()
    for key, value in pairs:
        if key in result and result.repeated is None:
            result.repeated = key
        result[key] = value
    return result


def _walk(value: Any) -> Iterator[tuple[str, Any]]:
    """Everything in the value with its path, such as `predictions[0].score`, in the order of the text."""
    waiting = [("", value)]
    while waiting:
        path, inner = waiting.pop()
        yield path, inner
        if isinstance(inner, dict):
            waiting += reversed([(f"{path}.{key}".lstrip("."), item) for key, item in inner.items()])
        elif isinstance(inner, list):
            waiting += reversed([(f"{path}[{index}]", item) for index, item in enumerate(inner)])
