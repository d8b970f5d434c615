"""Requests that differ a little from a valid one, and that the server accepts too."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from google.protobuf.descriptor import FieldDescriptor

from protoserve.schema.model import Contract
from protoserve.verify.conformance import request_violations
from protoserve.verify.interface import Method
from protoserve.verify.sample_requests import INTEGERS
from protoserve.verify.session import Session

_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
# Kinds of values to change, tried in this order until the server accepts the request and answers it differently.
_CHANGES = (("floats", "strings"), ("floats",), ("strings",), ("floats", "integers", "strings"), ("integers",))
_SLOW = 0.1  # seconds: of a slower method only the first two changes are tried


def variants(session: Session, method: Method, count: int, timeout: float) -> Iterator[bytes]:
    """The valid request, then others like it that the server accepts: as many as there are, at most `count`.

    If the server accepts no other, the valid request `count` times.
    """
    valid = session.request(method).data
    contract = session.contract_of(method)
    yield valid
    kinds = _accepted_change(session, method, valid, contract, timeout)
    if kinds is None:
        yield from [valid] * (count - 1)
    else:
        yield from dict.fromkeys(varied(method, valid, number, kinds, contract) for number in range(1, count))


def _accepted_change(
    session: Session, method: Method, valid: bytes, contract: Contract | None, timeout: float
) -> Sequence[str] | None:
    """The first change that the server answers with OK and differently, else the first that it answers with OK."""
    base = session.ask(method, valid, timeout)
    accepted = None
    for kinds in _CHANGES[: 2 if base.seconds > _SLOW else None]:
        data = varied(method, valid, 1, kinds, contract)
        if data == valid:
            continue
        reply = session.ask(method, data, timeout)
        if reply.ok and reply.messages != base.messages:
            return kinds
        if reply.ok:
            accepted = accepted or kinds
    return accepted


def varied(method: Method, valid: bytes, number: int, kinds: Sequence[str], contract: Contract | None) -> bytes:
    """The request with its values of these kinds changed, within limits, by more for a higher `number`."""
    message = method.request()
    type(message).ParseFromString(message, valid)

    def allowed() -> bool:
        return contract is None or not request_violations(contract, method.name, message)

    _vary(message, number, kinds, allowed)
    return bytes(type(message).SerializePartialToString(message, deterministic=True))


def _vary(message: Any, number: int, kinds: Sequence[str], allowed: Callable[[], bool]) -> None:
    for field, value in message.ListFields():
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            continue
        if inner is not None:
            for item in value if field.is_repeated else [value]:
                if not item.DESCRIPTOR.full_name.startswith("google.protobuf."):
                    _vary(item, number, kinds, allowed)
            continue
        items = list(value) if field.is_repeated else [value]
        for changed in _changed(field, items, number, kinds):
            _set(message, field, changed)
            if allowed():
                break
            _set(message, field, items)


def _set(message: Any, field: Any, items: list[Any]) -> None:
    if field.is_repeated:
        del getattr(message, field.name)[:]
        getattr(message, field.name).extend(items)
    else:
        setattr(message, field.name, items[0])


def _changed(field: Any, items: list[Any], number: int, kinds: Sequence[str]) -> Iterator[list[Any]]:
    """Other values for a field, to be tried in this order; a field that is not repeated has one item."""
    if field.cpp_type in _FLOATS and "floats" in kinds:
        for step in (0.05 * number, -0.05 * number, 0.001 * number):
            yield [item * (1 + step) if item else step for item in items]
    elif field.cpp_type in INTEGERS and "integers" in kinds and field.name not in ("shape", "dims"):
        for offset in (number, -number, 1, -1):
            changed = [item + offset for item in items]
            if all(0 <= item < 2**31 for item in changed):
                yield changed
    elif field.type == FieldDescriptor.TYPE_STRING and "strings" in kinds and any(items):
        yield [f"{item} {number}" for item in items]
