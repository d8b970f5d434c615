"""`concurrency`: requests in flight together get the answers that they get alone, and too many are refused in words."""

from __future__ import annotations

import math
import struct
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from protoserve.schema.model import Contract
from protoserve.verify.checks import calls
from protoserve.verify.checks.base import Check
from protoserve.verify.client import Call, Reply
from protoserve.verify.conformance import request_violations
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, passed, skipped
from protoserve.verify.session import Session, lost

# Up to so many seconds a call: how many distinct requests, and how often they are sent together.
_PLANS = ((0.03, 8, 3), (0.12, 6, 2), (0.5, 4, 1), (2.0, 2, 1))
SECONDS = 10.0
BURST = 64
_BURST_SECONDS = 0.02  # a call that takes no longer than this is quick enough for a burst
_OVERLOAD = (grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.UNAVAILABLE)
_CLOSE = 1e-3  # batches of another size change the last bits of a float
_NEAR_ZERO = 1e-5
_FLOATS = (FieldDescriptor.CPPTYPE_DOUBLE, FieldDescriptor.CPPTYPE_FLOAT)
_INTEGERS = (
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
)
# What is changed in a request to make it another one, tried in this order until the server takes it.
_CHANGES = ("floats strings", "floats", "strings", "floats integers strings", "integers")


@dataclass(frozen=True, slots=True)
class _Alone:
    """A request, and the answer that it gets alone."""

    data: bytes
    answer: tuple[Message, ...]


def run(session: Session) -> Finding:
    methods = calls.able(session)
    if not methods:
        return calls.unable(session)
    until = time.monotonic() + SECONDS
    return calls.together(_judge(session, method, until) for method in methods)


def _judge(session: Session, method: Method, until: float) -> Finding:
    timeout = calls.patience(session, session.replies[method.path].seconds)
    first = calls.ask_valid(session, method, timeout)
    if finding := calls.gone(session, method, first):
        return finding
    plan = next(((count, rounds) for most, count, rounds in _PLANS if first.seconds <= most), None)
    if plan is None or first.seconds * (4 * plan[0] + plan[1]) > until - time.monotonic():
        return skipped(f"{method.name} takes {first.seconds:.1f} s a call, too long to ask it often in one run")
    count, rounds = plan
    known, steady, usual = _alone(session, method, count, timeout)
    if not known:
        return skipped(f"{method.name}: the valid request is not answered any more when it is sent again")
    wait = min(session.timeout, 3 * len(known) * usual + 2)
    for _ in range(rounds):
        replies = together(session, method, [each.data for each in known], wait)
        if finding := _wrong(session, method, known, replies, steady, wait):
            return finding
    distinct = len({each.data for each in known})
    said = f"{method.name}: {len(known)} requests ({distinct} distinct) in flight together, {rounds} times"
    if usual <= _BURST_SECONDS and not method.gives_stream and time.monotonic() < until:
        wait = min(session.timeout, 3 * BURST * usual + 5)
        burst = [known[index % len(known)] for index in range(BURST)]
        replies = together(session, method, [each.data for each in burst], wait)
        if finding := _wrong(session, method, burst, replies, steady, wait):
            return finding
        refused = sum(not reply.ok for reply in replies)
        said += f"; of {BURST} at once {BURST - refused} answered, {refused} refused"
    if not steady:
        return skipped(f"{method.name}: answers are not deterministic, so they cannot be compared ({said}: no error)")
    return passed(f"{said}: the answers that they get alone")


def _alone(session: Session, method: Method, count: int, timeout: float) -> tuple[list[_Alone], bool, float]:
    """Up to `count` distinct requests with their answers; whether these are the same again; seconds of a call."""
    known: list[_Alone] = []
    slowest = 0.0
    for data in variants(session, method, count, timeout):
        reply = session.ask(method, data, timeout)
        if reply.ok and (answer := _read(method, reply)) is not None:
            known.append(_Alone(data, answer))
            slowest = max(slowest, reply.seconds)
    steady, again = True, []
    for each in known:
        reply = session.ask(method, each.data, timeout)
        answer = _read(method, reply) if reply.ok else None
        if answer is not None:
            steady = steady and _difference(method, each.answer, answer) is None
            again.append(each)
            slowest = max(slowest, reply.seconds)
    return again, steady, slowest


def together(session: Session, method: Method, requests: Sequence[bytes], timeout: float) -> list[Reply]:
    """The answers to requests that are all sent before the first answer is read."""

    def start(data: bytes) -> Call:
        stream, many = method.takes_stream, method.gives_stream
        return session.client.start(method.path, data, timeout, stream=stream, many=many)

    started = [start(data) for data in requests]
    if not method.gives_stream:
        return [call.reply() for call in started]
    with ThreadPoolExecutor(len(started)) as readers:
        return list(readers.map(Call.reply, started))


# Requests that differ from the valid one.


def variants(session: Session, method: Method, count: int, timeout: float) -> Iterator[bytes]:
    """The valid request, and others like it that the server takes; as many as there are, at most `count`."""
    valid = session.request(method).data
    contract = session.interface.contract_of(method) if session.interface is not None else None
    yield valid
    base = session.ask(method, valid, timeout)
    chosen = None
    for change in _CHANGES[: 2 if base.seconds > 0.1 else None]:
        data = varied(method, valid, 1, change, contract)
        if data == valid:
            continue
        reply = session.ask(method, data, timeout)
        if reply.ok:
            chosen = chosen or change
            if reply.messages != base.messages:
                chosen = change
                break
    if chosen is None:
        yield from [valid] * (count - 1)
        return
    yield from dict.fromkeys(varied(method, valid, number, chosen, contract) for number in range(1, count))


def varied(method: Method, valid: bytes, number: int, change: str, contract: Contract | None) -> bytes:
    """The request with its values changed a little, the more the higher the number; within the contract's limits."""
    message = method.request()
    message.ParseFromString(valid)
    _vary(message, message, number, change.split(), lambda: _allowed(contract, method, message))
    return bytes(message.SerializePartialToString(deterministic=True))


def _allowed(contract: Contract | None, method: Method, message: Message) -> bool:
    return contract is None or not request_violations(contract, method.name, message)


def _vary(top: Message, message: Any, number: int, kinds: Sequence[str], allowed: Any) -> None:
    for field, value in message.ListFields():
        inner = field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            continue
        if inner is not None:
            for item in value if field.is_repeated else [value]:
                if not item.DESCRIPTOR.full_name.startswith("google.protobuf."):
                    _vary(top, item, number, kinds, allowed)
            continue
        old = list(value) if field.is_repeated else value
        for new in _others(field, old, number, kinds):
            _put(message, field, new)
            if allowed():
                break
            _put(message, field, old)


def _put(message: Any, field: Any, value: Any) -> None:
    if field.is_repeated:
        del getattr(message, field.name)[:]
        getattr(message, field.name).extend(value)
    else:
        setattr(message, field.name, value)


def _others(field: Any, value: Any, number: int, kinds: Sequence[str]) -> Iterator[Any]:
    """Other values of a field, to be tried in order."""
    if field.cpp_type in _FLOATS and "floats" in kinds:
        for step in (0.05 * number, -0.05 * number, 0.001 * number):
            change = [item * (1 + step) if item else step for item in (value if field.is_repeated else [value])]
            yield change if field.is_repeated else change[0]
    elif field.cpp_type in _INTEGERS and "integers" in kinds and field.name not in ("shape", "dims"):
        for step in (number, -number, 1, -1):
            change = [item + step for item in (value if field.is_repeated else [value])]
            if all(0 <= item < 2**31 for item in change):
                yield change if field.is_repeated else change[0]
    elif field.type == FieldDescriptor.TYPE_STRING and "strings" in kinds and value:
        change = [f"{item} {number}" for item in (value if field.is_repeated else [value])]
        yield change if field.is_repeated else change[0]


# Answers, compared.


def _read(method: Method, reply: Reply) -> tuple[Message, ...] | None:
    """The messages of an answer; None where they are none. A stream that we cut has no certain length."""
    found = []
    for data in reply.messages[: 1 if reply.cut else None]:
        message = method.response()
        try:
            message.ParseFromString(data)
        except DecodeError:
            return None
        found.append(message)
    return tuple(found)


def _difference(method: Method, one: Sequence[Message], other: Sequence[Message]) -> str | None:
    """Where two answers differ: `scores[1]: 0.5 alone, 0.7 now`; None where they are the same."""
    if len(one) != len(other):
        return f"{len(one)} messages alone, {len(other)} now"
    pairs = zip(one, other, strict=True)
    return next((found for left, right in pairs if (found := _unlike(left, right, ""))), None)


def _unlike(one: Any, other: Any, path: str) -> str | None:
    for field in one.DESCRIPTOR.fields:
        left, right = getattr(one, field.name), getattr(other, field.name)
        where, inner = f"{path}{field.name}", field.message_type
        if inner is not None and inner.GetOptions().map_entry:
            if left.keys() != right.keys():
                return f"{where}: other keys"
            of = inner.fields_by_name["value"]
            items = [(f"{where}[{key!r}]", of, left[key], right[key]) for key in left]
        elif field.is_repeated:
            if len(left) != len(right):
                return f"{where}: {len(left)} items alone, {len(right)} now"
            items = [(f"{where}[{i}]", field, a, b) for i, (a, b) in enumerate(zip(left, right, strict=True))]
        elif inner is not None and not (one.HasField(field.name) or other.HasField(field.name)):
            continue  # also the end of types that contain themselves
        else:
            items = [(where, field, left, right)]
        for place, kind, a, b in items:
            if kind.message_type is not None:
                if found := _unlike(a, b, f"{place}."):
                    return found
            elif not _same(a, b):
                return f"{place}: {_shown(a)} alone, {_shown(b)} now"
    return None


def _same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    if isinstance(one, float):
        return math.isclose(one, other, rel_tol=_CLOSE, abs_tol=_NEAR_ZERO) or (one != one and other != other)
    return isinstance(one, bytes) and len(one) == len(other) and any(_same_array(one, other, code) for code in "fde")


def _same_array(one: bytes, other: bytes, code: str) -> bool:
    """Whether the bytes are two arrays of floats that are as good as equal."""
    width = struct.calcsize(code)
    if len(one) % width or (one.isascii() and one.decode().isprintable()):  # a text is no array
        return False
    form = f"<{len(one) // width}{code}"
    pairs = list(zip(struct.unpack(form, one), struct.unpack(form, other), strict=True))
    # Other bytes read as floats are tiny or huge: what is near zero only because of that is not equal.
    plain = all(a == 0 or 1e-6 < abs(a) < 1e9 for a, _ in pairs)
    return plain and all(math.isclose(a, b, rel_tol=_CLOSE, abs_tol=_NEAR_ZERO) for a, b in pairs)


def _shown(value: Any) -> str:
    text = f"{value:.6g}" if isinstance(value, float) else repr(value)
    return text if len(text) <= 40 else f"{text[:37]}..."


# What is wrong with what came back.


def _wrong(
    session: Session, method: Method, known: Sequence[_Alone], replies: Sequence[Reply], steady: bool, wait: float
) -> Finding | None:
    count = len(replies)
    broke = [reply for reply in replies if lost(reply)]
    silent = [reply for reply in replies if calls.silent(reply, wait)]
    faults = [reply for reply in replies if not reply.ok and reply.code not in _OVERLOAD]
    if broke:
        told = f"; {session.process.told()}" if session.process is not None and session.process.ended() else ""
        return _died(method, f"{len(broke)} of {count} requests in flight together: {broke[0]}{told}")
    if silent:
        return _lost(
            method, f"{len(silent)} of {count} requests in flight together got no answer in {wait:.1f} s", count
        )
    if faults:
        return _fault(method, f"{len(faults)} of {count} requests in flight together: {faults[0]}; alone each is OK")
    if not steady:
        return None
    for index, reply in enumerate(replies):
        answer = _read(method, reply) if reply.ok else None
        if answer is None or (found := _difference(method, known[index].answer, answer)) is None:
            continue
        owner = next((i for i, other in enumerate(known) if _difference(method, other.answer, answer) is None), None)
        whose = "an answer that none of them gets alone" if owner is None else f"the answer of request {owner + 1}"
        return _mixed(
            method, f"of {count} requests in flight together, request {index + 1} got {whose}: {found}", owner
        )
    return None


def _mixed(method: Method, seen: str, owner: int | None) -> Finding:
    swapped = "Callers get the answers of other callers" if owner is not None else "Callers get wrong answers"
    return failed(
        f"{method.path}: {seen}",
        f"{swapped}: {method.name} keeps something of one request where the next one overwrites it (a field of self, a "
        "global, a buffer that is used again), gives a batch's answers back in another order, or calls a model that "
        "must not be called by several threads at once.",
        f"""
        Keep what belongs to one request in local variables:
            def {method.name}(self, request, context):
                features = list(request.values)          # not self.features = ...
                return self.answer(features)
        Where the model or a buffer is shared, let one at a time use it: `with self.lock:`, or a thread of its own.
        A batcher must pair each answer with its request: zip(batch, answers, strict=True).
        """,
    )


def _fault(method: Method, seen: str) -> Finding:
    return failed(
        f"{method.path}: {seen}",
        f"{method.name} fails when it is called by several at once: the model or a connection that it uses is not made "
        "for that, or one request changes a field that another one reads.",
        """
        Let one at a time use what is shared: a lock (`with self.lock:`), one thread that has the model to itself, or
        one object a thread. If too many are in flight, RESOURCE_EXHAUSTED says so, and callers try again.
        """,
    )


def _lost(method: Method, seen: str, count: int) -> Finding:
    burst = " Too many at once must be refused, not kept waiting." if count >= BURST else ""
    return failed(
        f"{method.path}: {seen}",
        f"Answers get lost when several requests are in flight: {method.name} waits for an answer that went to another "
        f"request or to nobody (one slot or one event for all), or two wait for each other's lock.{burst}",
        """
        Give each request a future of its own, and set every one of a batch, also where the model raises:
            for job, answer in zip(batch, answers, strict=True):
                job.future.set_result(answer)
        Bound what may wait, and refuse the rest at once:
            if self.in_flight >= 64:
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "64 requests are in flight already")
        """,
    )


def _died(method: Method, seen: str) -> Finding:
    return failed(
        f"{method.path}: {seen}",
        f"The connection breaks when {method.name} is called by several at once: the server's process ended (native "
        "code that must not run in several threads, or out of memory), or something closed the connection.",
        """
        Look at the server's log and exit code. Let one at a time use the model (`with self.lock:`), and bound how many
        requests are in work.
        """,
    )


CHECK = Check("concurrency", "requests in flight together do not disturb each other", run, after="serialization")
