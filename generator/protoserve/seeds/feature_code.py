"""Python expressions that turn a request into one row of numbers, for the `features` function of model.py."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import Kind
from protoserve.wire import may_be_none

# An array of at most this many elements becomes one number per element; of a larger one the model sees statistics.
SMALL_ARRAY = 16
# More attributes than this are read by one getter, not in a line each.
MANY_COLUMNS = 32


def request_row(contract: Contract, message: Message, getter: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Expressions for a row of numbers, and the attributes that `getter` reads in one of them.

    A starred expression gives several numbers. The row has the same length for every request: JSON, and messages or
    times that may be absent, are left out.
    `getter` reads the longest run of fields that are numbers as they are; there are no such attributes if it is short.
    """
    numbers = [
        (field.attribute, tuple(_field_numbers(contract, field, f"request.{field.attribute}")))
        for field in message.fields
    ]
    runs = [
        (is_plain, tuple(group))
        for is_plain, group in groupby(numbers, key=lambda item: item[1] == (f"request.{item[0]}",))
    ]
    longest = max((run for is_plain, run in runs if is_plain), key=len, default=())
    if len(longest) <= MANY_COLUMNS:
        return tuple(item for _, items in numbers for item in items), ()
    row: list[str] = []
    for _, run in runs:
        row += [f"*{getter}(request)"] if run is longest else [item for _, items in run for item in items]
    return tuple(row), tuple(attribute for attribute, _ in longest)


def _message_numbers(contract: Contract, message: Message, value: str) -> Iterator[str]:
    """Expressions for the message that `value` evaluates to."""
    for field in message.fields:
        yield from _field_numbers(contract, field, f"{value}.{field.attribute}")


def _is_image(field: Field) -> bool:
    """Whether the field holds an image file, which the example model decodes."""
    return field.type == "bytes" and (field.media_type or "").startswith("image/")


def _field_numbers(contract: Contract, field: Field, value: str) -> Iterator[str]:
    if field.shape is not None:
        small = field.size is not None and field.size <= SMALL_ARRAY
        plain = small and not may_be_none(field) and not field.allow_nan
        yield f"*{value}.ravel().tolist()" if plain else f"*statistics({value})"
    elif field.is_map:
        yield f"len({value})"
    elif field.repeated:
        yield from _list_numbers(contract, field, value)
    elif _is_image(field):
        path = value.removeprefix("request.")
        yield f'*statistics(image({value}, "{path}"))'
    elif (inner := contract.message(field.type)) is not None:
        if not may_be_none(field):
            yield from _message_numbers(contract, inner, value)
    else:
        yield from _single_number(field, value)


def _list_numbers(contract: Contract, field: Field, value: str) -> Iterator[str]:
    """How many entries the list has, and something of what they say."""
    yield f"len({value})"
    if field.type == "string":
        yield f'*words(" ".join({value}))'
    elif field.scalar is not None and field.scalar.numeric:
        yield f"*statistics(np.array({value}))"
    elif (inner := contract.message(field.type)) is not None:
        texts = [item for item in inner.fields if item.type == "string" and not (item.repeated or item.is_map)]
        for item in texts:
            if not may_be_none(item):
                yield f'*words(" ".join(item.{item.attribute} for item in {value}))'


def _single_number(field: Field, value: str) -> Iterator[str]:
    kind = field.scalar.kind if field.scalar is not None else Kind.INT  # an enum is its number
    optional = may_be_none(field)
    if kind is Kind.STRING:
        yield f'*words({value} or "")' if optional else f"*words({value})"
    elif kind is Kind.BYTES:
        yield f'len({value} or b"")' if optional else f"len({value})"
    elif kind is Kind.FLOAT and field.allow_nan:
        yield f"finite({value} or 0.0)" if optional else f"finite({value})"
    elif kind in (Kind.FLOAT, Kind.INT, Kind.BOOL):
        yield f"{value} or 0" if optional else value
    elif kind is Kind.TIMESTAMP and not optional:
        yield f"{value}.timestamp()"
    elif kind is Kind.DURATION and not optional:
        yield f"{value}.total_seconds()"
