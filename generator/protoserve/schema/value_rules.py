"""Whether a default or an example of a schema is a value that its field takes."""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import datetime
from typing import Any

from protoserve.schema import limit_rules
from protoserve.schema.draft import Draft, FieldDraft, set_attributes
from protoserve.schema.model import Field
from protoserve.schema.reserved_names import Complaint
from protoserve.schema.section import nearest, shown
from protoserve.schema.types import Kind, ScalarType

# protobuf's JSON forms: https://protobuf.dev/programming-guides/json/
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?(?:Z|[+-]\d\d:\d\d)")
_DURATION = re.compile(r"-?\d{1,12}(?:\.\d{1,9})?s")
_MAX_DURATION = 315_576_000_000


def check(item: FieldDraft, draft: Draft) -> None:
    """Reports a default or an example that does not fit; floats are kept as floats from here on."""
    for key in ("default", "example"):
        value = getattr(item.field, key)
        if value is None or not (item.field.scalar or item.field.type in draft.enum_names):
            continue
        problem = complaint(item.field, value, draft)
        if problem is not None:
            item.section.report(key, f"the {key} {problem[0]}", problem[1])
        elif item.field.scalar is not None and item.field.scalar.kind is Kind.FLOAT:
            set_attributes(item, **{key: float(value)})


def complaint(field: Field, value: Any, draft: Draft) -> Complaint | None:
    """What is wrong with a value of the field, or of one element of it."""
    scalar = field.scalar
    if scalar is None:
        return _enum(field, value, draft)
    if scalar.kind is Kind.BOOL:
        return None if isinstance(value, bool) else (f"{_as_written(value)} is not a bool", "write true or false")
    if scalar.numeric:
        return _number(field, scalar, value)
    if scalar.kind is Kind.JSON:
        return None if _finite(value) else ("holds a number that JSON has not", "take .nan and .inf out")
    if not isinstance(value, str):
        return f"{_as_written(value)} is not a text", f'write it in quotes: "{value}"'
    return _text(field, scalar, value)


def _as_written(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "is a list and" if isinstance(value, list) else "is a mapping and"
    return shown(value) if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)


def _enum(field: Field, value: Any, draft: Draft) -> Complaint | None:
    known = [item.value.name for item in draft.enum_names[field.type].values]
    if value in known:
        return None
    guess = nearest(str(value), known)
    return f"{_as_written(value)} is not a value of {field.type}", f"write {guess or ' or '.join(known[:8])}"


def _number(field: Field, scalar: ScalarType, value: Any) -> Complaint | None:
    wanted = "an integer" if scalar.kind is Kind.INT else "a number"
    if isinstance(value, bool) or not isinstance(value, int if scalar.kind is Kind.INT else (int, float)):
        return f"{_as_written(value)} is not {wanted}", f"write {wanted}"
    if isinstance(value, float) and not math.isfinite(value):
        return None if field.allow_nan else (f"{value} is not finite", "write a number, or `allow_nan: true`")
    low = scalar.low if field.minimum is None else field.minimum
    high = scalar.high if field.maximum is None else field.maximum
    if low is not None and high is not None and not low <= value <= high:
        return f"{value} is outside its limits", f"write one from {low} to {high}"
    return None


def _text(field: Field, scalar: ScalarType, value: str) -> Complaint | None:
    length = len(value)
    if scalar.kind is Kind.BYTES:
        try:
            length = len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            return f"{shown(value)} is not base64", "write the bytes in base64, as protobuf's JSON does"
    if scalar.kind is Kind.TIMESTAMP:
        fits = _is_timestamp(value)
        return None if fits else (f"{shown(value)} is not a time", 'write one as "2026-01-31T12:00:00Z"')
    if scalar.kind is Kind.DURATION:
        fits = bool(_DURATION.fullmatch(value)) and abs(float(value[:-1])) <= _MAX_DURATION
        return None if fits else (f"{shown(value)} is not a duration", 'write seconds as "1.5s"')
    most = math.inf if field.max_length is None else field.max_length
    if not (field.min_length or 0) <= length <= most:
        return f"{shown(value)} has the length {length}, out of its limits", "correct the value or the limits"
    if field.pattern is not None and scalar.kind is Kind.STRING:
        try:
            if not limit_rules.compiled(field.pattern).search(value):
                return f"{shown(value)} does not match {shown(field.pattern)}", "correct the value or the pattern"
        except limit_rules.PatternError:
            return None  # reported at the pattern
    return None


def _is_timestamp(value: str) -> bool:
    if not _TIMESTAMP.fullmatch(value):
        return False
    try:
        datetime.fromisoformat(value)
    except ValueError:
        return False
    return True


def _finite(value: Any) -> bool:
    if isinstance(value, list):
        return all(_finite(item) for item in value)
    if isinstance(value, dict):
        return all(_finite(item) for item in value.values())
    return not isinstance(value, float) or math.isfinite(value)
