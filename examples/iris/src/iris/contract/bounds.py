"""What a value may be, in words: the same for requests, replies and documentation.

Copied by protoserve. Do not edit: `make generate` writes it again.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from datetime import UTC, datetime

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
NOT_JSON = "must be JSON: no NaN, no infinities, no unset values"
# Seconds of the years 1 to 9999, and of 10,000 years: the comments of timestamp.proto and duration.proto.
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799
_LONGEST_DURATION = 315_576_000_000
_SECOND = 1_000_000_000  # nanoseconds
MAX_NAMES = 20  # of fields or values that one violation lists

_STRUCT_FORMATS = {"float16": "<e", "float32": "<f"}
_EXACT_IN_FLOAT64 = 2**53


def number(value: float, dtype: str = "float64") -> str:
    """A number as a person would write it, exact to the digit: `30`, `0.1`, `1234567.5`.

    A narrow float is the shortest text that is the same number in its `dtype`: a float32 of 0.1 is not
    `0.10000000149011612`, which is what Python sees.
    """
    if not isinstance(value, float):
        return str(value)
    if value.is_integer() and abs(value) <= _EXACT_IN_FLOAT64:
        return str(int(value))
    return repr(_shortest(value, dtype))


def _shortest(value: float, dtype: str) -> float:
    """The number with the fewest digits that `dtype` rounds to `value`."""
    if dtype in _STRUCT_FORMATS:
        for digits in range(1, 10):
            shorter = float(f"{value:.{digits}g}")
            try:
                (rounded,) = struct.unpack(_STRUCT_FORMATS[dtype], struct.pack(_STRUCT_FORMATS[dtype], shorter))
            except OverflowError:  # rounded up beyond the largest number
                continue
            if rounded == value:
                return shorter
    return value


def span(low: float | None, high: float | None, dtype: str = "float64") -> str:
    """`from 0 to 30`, `exactly 3`, `at least 0`, `at most 30`; empty without a limit."""
    if low is not None and high is not None:
        return f"from {number(low, dtype)} to {number(high, dtype)}" if low != high else f"exactly {number(low, dtype)}"
    if low is not None:
        return f"at least {number(low, dtype)}"
    return "" if high is None else f"at most {number(high, dtype)}"


def quantity(low: int | None, high: int | None, units: str) -> str:
    """A number of `units`: `from 2 to 5 items`, `at most 1 item`; empty without a limit."""
    limits = span(low or None, high)
    largest = low if high is None else high
    return f"{limits} {units.removesuffix('s') if largest == 1 else units}" if limits else ""


def allowed(low: float | None, high: float | None, dtype: str, *, allow_nan: bool) -> str:
    """What a number may be; never empty."""
    return span(low, high, dtype) or ("a number" if allow_nan else "a finite number")


def shape_violation(actual: Sequence[int], shape: Sequence[int | str], sizes: dict[str, int]) -> str | None:
    """What is wrong with the `actual` shape of an array, None where it fits.

    `sizes` holds the named dimensions of the message as far as they are known; those of `actual` are added.
    """
    form = f"[{', '.join(map(str, shape))}]"
    fits = len(actual) == len(shape) and all(
        size >= 0 if isinstance(dimension, str) else size == dimension
        for size, dimension in zip(actual, shape, strict=True)
    )
    if not fits:
        return f"must have shape {form}; got {list(actual[:8])}"
    for size, dimension in zip(actual, shape, strict=True):
        if isinstance(dimension, str) and sizes.setdefault(dimension, size) != size:
            return f"must have shape {form} with {dimension} = {sizes[dimension]} as before; got {list(actual)}"
    return None


def timestamp_violation(seconds: int, nanos: int) -> str | None:
    """What is wrong with a Timestamp of these fields, None if nothing is."""
    is_valid = _FIRST_SECOND <= seconds <= _LAST_SECOND and 0 <= nanos < _SECOND
    return None if is_valid else "must be a timestamp from year 1 to 9999"


def duration_violation(seconds: int, nanos: int) -> str | None:
    """What is wrong with a Duration of these fields, None if nothing is."""
    is_valid = abs(seconds) <= _LONGEST_DURATION and abs(nanos) < _SECOND and seconds * nanos >= 0
    return None if is_valid else "must be a duration of at most 10,000 years"


def listed(names: Sequence[str]) -> str:
    """Names as a list in a sentence, cut to a length that can be read."""
    more = f", ... ({len(names)} in all)" if len(names) > MAX_NAMES else ""
    return (", ".join(names[:MAX_NAMES]) or "none") + more
