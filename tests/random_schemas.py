"""Random schemas, and random values that fit them: what the property tests draw from."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Any

import numpy as np
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from protoserve.emit.limit_code import bounds, integer_bounds
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import SCALARS, Kind
from protoserve.wire import Presence, may_be_none, presence

SHAPED = [name for name, row in SCALARS.items() if row.dtype]
MAP_KEYS = ["string", "bool", "int32", "int64", "uint32", "uint64"]
WORDS = [
    "amount",
    "colour",
    "depth",
    "item",
    "kind_of",
    "label",
    "mass",
    "note2",
    "origin",
    "price",
    "row",
    "size",
    "tag",
]


def examples(number: int) -> settings:
    """Draws that many examples, the same ones in every run: each takes about a second, so none is shrunk."""
    return settings(
        max_examples=number,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
        derandomize=True,
    )


@st.composite
def schemas(draw: st.DrawFn) -> dict[str, Any]:
    """A schema as plain data, sound by construction; numbers are left to the generator."""
    enums = {
        name: {"values": draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=4, unique=True))}
        for name in draw(st.lists(st.sampled_from(["Colour", "CardType"]), unique=True))
    }
    messages: dict[str, Any] = {}
    for name in draw(st.lists(st.sampled_from(["Part", "Address", "LineItem"]), unique=True)):
        # Only messages that are there already: no recursion.
        messages[name] = draw(_body([*enums], [*messages]))
    methods = {}
    for name in draw(
        st.lists(st.sampled_from(["Predict", "Embed", "ExplainWhy"]), min_size=1, max_size=2, unique=True)
    ):
        methods[name] = {
            "streaming": draw(st.sampled_from(["none", "none", "server"])),
            "request": draw(_body([*enums], [*messages])),
            "response": draw(_body([*enums], [*messages])),
        }
    return {"service": "RandomService", "enums": enums, "messages": messages, "methods": methods}


@st.composite
def _fields(draw: st.DrawFn, enums: list[str], messages: list[str]) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from(WORDS), min_size=1, max_size=7, unique=True))
    fields = [{"name": name, **draw(field_of(enums, messages))} for name in names]
    singular = [f for f in fields if not f.keys() & {"repeated", "shape", "key", "required", "default"}]
    if len(singular) >= 2 and draw(st.booleans()):
        for field in singular[:2]:
            field["oneof"] = "choice"
    return fields


@st.composite
def _body(draw: st.DrawFn, enums: list[str], messages: list[str]) -> dict[str, Any]:
    """A message, sometimes with the implicit presence of foreign ones: of all its fields, of some, of all but some."""
    body: dict[str, Any] = {"fields": draw(_fields(enums, messages))}
    if draw(st.booleans()):
        body |= draw(st.sampled_from([{}, {"presence": "implicit"}, {"presence": "explicit"}]))
        for field in body["fields"]:
            field |= draw(st.sampled_from([{}, {"presence": "implicit"}, {"presence": "explicit"}]))
    return body


@st.composite
def field_of(draw: st.DrawFn, enums: list[str], messages: list[str]) -> dict[str, Any]:
    form = draw(st.sampled_from(["one", "one", "one", "optional", "repeated", "shape", "tensor", "map"]))
    if form in ("shape", "tensor"):
        name = draw(st.sampled_from(SHAPED))
        sizes: list[Any] = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3))
        if form == "tensor":
            sizes[0] = draw(st.sampled_from(["n", "m"]))
        return {"type": name, "shape": sizes, **draw(_limits(name))}
    name = draw(st.sampled_from([*SCALARS, *enums, *messages]))
    limits = draw(_limits(name))
    if form == "repeated":
        count = draw(st.sampled_from([{}, {"min_items": 1}, {"max_items": 3}]))
        return {"type": name, "repeated": True, **limits, **count}
    if form == "map":
        return {"key": draw(st.sampled_from(MAP_KEYS)), "value": name, **limits}
    return {"type": name, **limits, **({"required": False} if form == "optional" else {})}


@st.composite
def _limits(draw: st.DrawFn, name: str) -> dict[str, Any]:
    scalar = SCALARS.get(name)
    if scalar is None or draw(st.booleans()):
        return {}
    if scalar.kind is Kind.INT:
        return draw(st.sampled_from([{"minimum": 1}, {"maximum": 100}, {"minimum": 2, "maximum": 9}]))
    if scalar.kind is Kind.FLOAT:
        return draw(
            st.sampled_from([{"minimum": 0.1}, {"maximum": 9}, {"minimum": -1, "maximum": 0.7}, {"allow_nan": True}])
        )
    if scalar.kind in (Kind.STRING, Kind.BYTES):
        lengths = [{"min_length": 1}, {"max_length": 5}, {"min_length": 2, "max_length": 4}]
        patterns = [{"pattern": "^[a-z]{2,4}$"}] if scalar.kind is Kind.STRING else []
        return draw(st.sampled_from([*lengths, *patterns]))
    return {}


def values(contract: Contract, message: Message, module: ModuleType) -> st.SearchStrategy[Any]:
    """Valid values of a message's dataclass."""

    @st.composite
    def drawn(draw: st.DrawFn) -> Any:
        sizes = {"n": draw(st.integers(1, 3)), "m": draw(st.integers(1, 3))}
        chosen = {name: draw(st.sampled_from(members)).name for name, members in message.oneofs.items()}
        given = {}
        for field in message.fields:
            if field.oneof is not None and chosen[field.oneof] != field.name:
                continue
            if _may_be_left_out(contract, field) and draw(st.booleans()):
                continue
            value = _value(contract, field, module, sizes)
            # JSON's null and "not set" are one to Python, so in a oneof null is lost.
            given[field.name] = draw(value if field.oneof is None else value.filter(lambda item: item is not None))
        return getattr(module, message.name)(**given)

    return drawn()


def _may_be_left_out(contract: Contract, field: Field) -> bool:
    """Whether a field that is not set comes back as None: without presence it comes back as zero."""
    without_presence = presence(contract, field) is Presence.IMPLICIT and field.shape is None
    return may_be_none(field) and field.oneof is None and not without_presence


def _value(contract: Contract, field: Field, module: ModuleType, sizes: dict[str, int]) -> st.SearchStrategy[Any]:
    if field.shape is not None:
        shape = tuple(size if isinstance(size, int) else sizes[size] for size in field.shape)
        return hnp.arrays(np.dtype(field.type), shape, elements=_scalar(field, array=True))
    inner = contract.message(field.type) if field.scalar is None else None
    enum = contract.enum(field.type)
    if inner is not None:
        one: st.SearchStrategy[Any] = values(contract, inner, module)
    elif enum is not None:
        one = st.sampled_from(list(getattr(module, enum.name)))
    else:
        one = _scalar(field)
    if field.is_map:
        return st.dictionaries(_key(str(field.key)), one, min_size=field.min_items or 0, max_size=3)
    if field.repeated:
        return st.lists(one, min_size=field.min_items or 0, max_size=field.max_items or 3)
    return one


def _key(name: str) -> st.SearchStrategy[Any]:
    if name == "string":
        return _text(0, 5)
    scalar = SCALARS[name]
    return st.booleans() if name == "bool" else st.integers(int(scalar.low or 0), int(scalar.high or 0))


def _text(low: int, high: int) -> st.SearchStrategy[str]:
    return st.text(st.characters(exclude_categories=["Cs"]), min_size=low, max_size=high)


def _scalar(field: Field, *, array: bool = False) -> st.SearchStrategy[Any]:
    scalar = SCALARS[field.type]
    low, high = field.min_length or 0, field.max_length or (field.min_length or 0) + 5
    if scalar.kind is Kind.INT:
        return st.integers(*integer_bounds(field))
    if scalar.kind is Kind.FLOAT:
        least, most = bounds(field)
        width = int(field.type.removeprefix("float"))
        # A singular float16 travels as a float, so any value of 16 bits comes back as it was.
        return st.floats(least, most, width=width, allow_nan=field.allow_nan and array, allow_infinity=False)
    if scalar.kind is Kind.STRING:
        return st.from_regex(r"\A[a-z]{2,4}\Z") if field.pattern else _text(low, high)
    if scalar.kind is Kind.BYTES:
        return st.binary(min_size=low, max_size=high)
    if scalar.kind is Kind.TIMESTAMP:
        return st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC))
    if scalar.kind is Kind.DURATION:
        return st.timedeltas(timedelta(days=-3_000_000), timedelta(days=3_000_000))
    if scalar.kind is Kind.JSON:
        finite = st.floats(allow_nan=False, allow_infinity=False)
        leaves = st.none() | st.booleans() | finite | _text(0, 5)
        return st.recursive(
            leaves, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_text(0, 3), inner, max_size=2)
        )
    return st.booleans()
