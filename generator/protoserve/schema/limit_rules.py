"""Whether the limits of a field fit its type, and whether any value can meet them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import Any

import re2

from protoserve.schema.field_keys import FIELD_KEYS
from protoserve.schema.mapping_reader import shown
from protoserve.schema.model import Field
from protoserve.schema.types import Kind
from protoserve.schema.unchecked_contract import FieldDraft, set_attributes

# A shape of more elements is a slip of the pen: 2**27 float64 are 1 GiB, and a message ends at 2 GiB.
MAX_ELEMENTS = 2**27
PatternError: type[Exception] = re2.error


def check(draft: FieldDraft) -> None:
    """Reports limits that are on the wrong kind of field or that no value can meet."""
    _applicable(draft)
    _numeric(draft)
    _lengths(draft, "min_length", "max_length")
    _lengths(draft, "min_items", "max_items")
    _pattern(draft)
    _shape(draft)


def _applicable(draft: FieldDraft) -> None:
    field, scalar = draft.field, draft.field.scalar
    kind = scalar.kind if scalar else None
    many = field.repeated or field.is_map
    for row in FIELD_KEYS:
        if row.kinds:
            _only(draft, (row.name,), kind in row.kinds, f"is for {row.used_for}")
    if field.shape is not None and not field.dynamic:
        _only(draft, ("min_items", "max_items"), False, "is not for a shape without named dimensions")
    else:
        _only(draft, ("min_items", "max_items"), many or field.dynamic, "is for repeated fields, maps and named shapes")
    if field.media_type is not None and not _is_media_type(field.media_type):
        draft.section.report(
            "media_type", f"{shown(field.media_type)} is not a media type", "write `image/png` for example"
        )


def _is_media_type(text: str) -> bool:
    kind, _, subtype = text.partition(";")[0].strip().partition("/")
    return bool(kind and subtype) and all(part.isascii() and part.isprintable() for part in (kind, subtype))


def _only(draft: FieldDraft, keys: Iterable[str], fits: bool, what: str) -> None:
    for key in keys:
        if not fits and key in draft.section:
            draft.section.report(key, f"{key!r} {what}, and this is {_kind(draft.field)}", f"take {key!r} out")


def _kind(field: Field) -> str:
    if field.is_map:
        return f"a map of {field.type}"
    if field.shape is not None:
        return f"{field.type} of the shape [{', '.join(map(str, field.shape))}]"
    return f"a list of {field.type}" if field.repeated else f"one {field.type}"


def _numeric(draft: FieldDraft) -> None:
    field, scalar = draft.field, draft.field.scalar
    if scalar is None or not scalar.numeric or scalar.low is None or scalar.high is None:
        return
    for key, limit in (("minimum", field.minimum), ("maximum", field.maximum)):
        if limit is not None and not scalar.low <= limit <= scalar.high:
            remedy = f"write a number from {scalar.low} to {scalar.high}, or take {key!r} out"
            draft.section.report(key, f"{limit} is outside the range of {field.type}", remedy)
            return
    low, high = field.minimum, field.maximum
    if low is not None and high is not None and low > high:
        draft.section.report("minimum", f"the minimum {low} is above the maximum {high}", "swap them or correct one")
    elif scalar.kind is Kind.INT:
        whole_low = None if low is None else math.ceil(low)
        whole_high = None if high is None else math.floor(high)
        if whole_low is not None and whole_high is not None and whole_low > whole_high:
            draft.section.report("minimum", f"no integer lies from {low} to {high}", "widen the limits")
        set_attributes(draft, minimum=whole_low, maximum=whole_high)


def _lengths(draft: FieldDraft, least: str, most: str) -> None:
    field = draft.field
    low, high = getattr(field, least), getattr(field, most)
    if low is not None and high is not None and low > high:
        draft.section.report(least, f"{least} {low} is above {most} {high}", "swap them or correct one")
    elif least == "min_items" and field.key == "bool" and low is not None and low > 2:
        draft.section.report(least, "a map with bool keys has at most 2 entries", "write at most 2")


def _pattern(draft: FieldDraft) -> None:
    if draft.field.pattern is None or draft.field.type != "string":
        return
    try:
        compiled(draft.field.pattern)
    except PatternError as error:
        reason = error.args[0] if error.args else error
        reason = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        remedy = "write it in RE2's syntax (no look-around, no back-references)"
        draft.section.report("pattern", f"{shown(draft.field.pattern)} is not an RE2 pattern ({reason})", remedy)


def compiled(pattern: str) -> Any:
    """The pattern compiled, without RE2's own lines on standard error. Raises PatternError."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(pattern, options)


def _shape(draft: FieldDraft) -> None:
    field = draft.field
    if field.shape is None:
        return
    product = math.prod(size for size in field.shape if isinstance(size, int))
    if product > MAX_ELEMENTS:
        remedy = f"write sizes whose product is at most {MAX_ELEMENTS}, or name a dimension"
        draft.section.report("shape", f"the shape has {product} elements", remedy)
    elif field.dynamic and not _reachable(field, product):
        message = f"no sizes of [{', '.join(map(str, field.shape))}] give a number of elements within the limits"
        draft.section.report("min_items" if field.min_items is not None else "max_items", message, "widen the limits")


def _reachable(field: Field, product: int) -> bool:
    """Whether sizes of at least 1 exist whose product lies within min_items and max_items.

    A name that stands once can be any size; only where each stands several times are the products sparse.
    """
    low, high = max(field.min_items or 0, 1), field.max_items
    if high is None:
        return True
    powers = Counter(size for size in field.shape or () if isinstance(size, str)).values()
    # Several powers have products in between, so only a single name and a power of 1 are decided.
    power = min(powers)
    if power > 1 and len(powers) > 1:
        return product <= high
    size = max(1, math.ceil(round((low / product) ** (1 / power), 9)))
    return bool(product * size**power <= high)
