"""Whether a default or an example of a schema is a value that its field takes."""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import datetime
from typing import Any

from protoserve.schema import limit_rules
from protoserve.schema.mapping_reader import nearest, shown
from protoserve.schema.model import Field
from protoserve.schema.reserved_names import Complaint
from protoserve.schema.types import Kind, ScalarType
from protoserve.schema.unchecked_contract import Draft, FieldDraft, set_attributes

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
        problem = f"must be true or false, not {_as_written(value)}"
        return None if isinstance(value, bool) else (problem, "write true or false")
    if scalar.numeric:
        return _number(field, scalar, value)
    if scalar.kind is Kind.JSON:
        return None if _finite(value) else ("holds a number that JSON does not have", "take .nan and .inf out")
    if not isinstance(value, str):
        return f"must be a text, not {_as_written(value)}", f'write it in quotes: "{value}"'
    return _text(field, scalar, value)


def _as_written(value: Any) -> str:
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "a mapping"
    if isinstance(value, str):
        return shown(value)
    return str(value).lower() if isinstance(value, bool) else str(value)


def _enum(field: Field, value: Any, draft: Draft) -> Complaint | None:
    known = [item.value.name for item in draft.enum_names[field.type].values]
    if value in known:
        return None
    guess = nearest(str(value), known)
    return f"must be a value of {field.type}, not {_as_written(value)}", f"write {guess or ' or '.join(known[:8])}"


def _number(field: Field, scalar: ScalarType, value: Any) -> Complaint | None:
    wanted = "an integer" if scalar.kind is Kind.INT else "a number"
    if isinstance(value, bool) or not isinstance(value, int if scalar.kind is Kind.INT else (int, float)):
        return f"must be {wanted}, not {_as_written(value)}", f"write {wanted}"
    if isinstance(value, float) and not math.isfinite(value):
        return None if field.allow_nan else (f"must be finite, not {value}", "write a number, or `allow_nan: true`")
    low = scalar.low if field.minimum is None else field.minimum
    high = scalar.high if field.maximum is None else field.maximum
    if low is not None and high is not None and not low <= value <= high:
        limits = _range_text(low, high)
        return f"must be {limits}, not {value}", f"write a number {limits}"
    return None


def _range_text(low: float, high: float) -> str:
    """A range in which one end at least is finite."""
    if low == -math.inf:
        return f"at most {high}"
    return f"at least {low}" if high == math.inf else f"from {low} to {high}"


def _text(field: Field, scalar: ScalarType, value: str) -> Complaint | None:
    length = len(value)
    if scalar.kind is Kind.BYTES:
        try:
            length = len(base64.b64decode(value, validate=True))
        except (binascii.Error, ValueError):
            return f"must be base64, not {shown(value)}", "write the bytes in base64, as protobuf's JSON does"
    if scalar.kind is Kind.TIMESTAMP:
        fits = _is_timestamp(value)
        return None if fits else (f"must be a time, not {shown(value)}", 'write one as "2026-01-31T12:00:00Z"')
    if scalar.kind is Kind.DURATION:
        fits = bool(_DURATION.fullmatch(value)) and abs(float(value[:-1])) <= _MAX_DURATION
        return None if fits else (f"must be a duration, not {shown(value)}", 'write seconds as "1.5s"')
    most = math.inf if field.max_length is None else field.max_length
    if not (field.min_length or 0) <= length <= most:
        return f"{shown(value)} has the length {length}, which is outside its limits", "correct the value or the limits"
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
