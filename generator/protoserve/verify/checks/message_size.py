"""`message-size`: the largest request that the contract allows gets through."""

from __future__ import annotations

import re

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from protoserve.emit import limit_code
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import SCALARS, Kind
from protoserve.verify.checks import calls
from protoserve.verify.checks.base import Check
from protoserve.verify.client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, passed, skipped
from protoserve.verify.session import Session, lost

MOST_BYTES = 64 * 2**20
SECONDS = 10.0
# How servers and proxies say it: gRPC Python, C++, Go and Node; Java; tonic; .NET; nginx and Envoy.
_TOO_LARGE = re.compile(
    r"message larger than max|exceeds (?:the )?maximum|message length too large|too large|status:? 413|entity too", re.I
)
_SENT = re.compile(r"sen[dt] message larger|encoded message length too large|response payload|buffer.*response", re.I)
_LIMIT = re.compile(r"(?:vs\.?|limit is:?|size) (\d+)")
_PADDING = 2**28  # a field number that no contract uses: protobuf keeps what it does not know
_TAG, _VARINT = 5, 10


def run(session: Session) -> Finding:
    methods = calls.able(session)
    return calls.together(_judge(session, method) for method in methods) if methods else calls.unable(session)


def _judge(session: Session, method: Method) -> Finding:
    contract = session.interface.contract_of(method) if session.interface is not None else None
    if contract is None:
        if field := _open(method.input, ()):
            return skipped(f"{method.name}: only the types are known, and {field} may be of any length")
        return passed(f"{method.name}: a request has single numbers only, and is small")
    message = next((m.request for m in contract.methods if m.name == method.name), None)
    if message is None:
        return skipped(f"{method.name} is not in schema.yaml")
    if (size := largest(contract, message)) is None:
        return skipped(f"{method.name}: the contract sets no bound (max_length, max_items) to every field")
    return _send(session, method, size)


def _send(session: Session, method: Method, size: int) -> Finding:
    valid = session.request(method).data
    data = padded(valid, min(size, MOST_BYTES))
    timeout = min(SECONDS, session.timeout)
    if finding := calls.gone(session, method, calls.ask_valid(session, method, timeout)):
        return finding
    reply = session.ask(method, data, timeout)
    seen = f"{method.path}, {_bytes(len(data))} of the {_bytes(size)} that the contract allows: {reply}"
    if lost(reply):
        return _broke(method, seen)
    if not reply.ok and _TOO_LARGE.search(reply.details):
        return _refused(method, seen, size, reply)
    if calls.silent(reply, timeout):
        return skipped(f"{seen}: the connection or the model is too slow to tell")
    if reply.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return skipped(f"{seen}: whether that is for its size cannot be told")
    allowed = "as much as the contract allows" if size <= len(data) else f"of {_bytes(size)} that the contract allows"
    return passed(f"{method.name} takes {_bytes(len(data))}, {allowed} ({reply.code.name})")


def padded(valid: bytes, size: int) -> bytes:
    """The request with an unknown field that makes it `size` bytes long, where it is not longer anyway.

    The model computes what it computed before, so only the way of the bytes is tried.
    """
    tag = _varint(_PADDING << 3 | 2)
    room = size - len(valid) - len(tag)
    if room < 1:
        return valid
    length = room - 1
    while length > 0 and len(_varint(length)) + length > room:
        length -= 1
    return valid + tag + _varint(length) + bytes(length)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def largest(contract: Contract, message: Message) -> int | None:
    """Bytes of the largest valid request as clients encode it: packed, each field once, one member of a oneof.

    `limits.largest` is what a server must be ready for, which is more: no client need send so much.
    """
    if limit_code.largest(contract, message) is None:
        return None
    single = sum(_field(contract, field) for field in message.fields if field.oneof is None)
    return single + sum(max(_field(contract, field) for field in members) for members in message.oneofs.values())


def _field(contract: Contract, field: Field) -> int:
    if field.shape is not None:
        count = field.max_items if field.dynamic else field.size
        return (count or 0) * (SCALARS[field.type].element_bytes or _width(field)) + 2 * _VARINT
    one = _value(contract, field)
    if field.repeated or field.is_map:
        return (field.max_items or 0) * (one + (_VARINT if field.is_map else 2 if _is_long(field) else 0)) + _VARINT
    return one + 2


def _is_long(field: Field) -> bool:
    """Whether each item has a tag and a length of its own."""
    return field.scalar is None or not (field.scalar.numeric or field.scalar.kind is Kind.BOOL)


def _value(contract: Contract, field: Field) -> int:
    scalar = field.scalar
    if scalar is None:
        inner = contract.message(field.type)
        return 1 if inner is None else (largest(contract, inner) or 0)
    if scalar.kind in (Kind.STRING, Kind.BYTES):
        return (field.max_length or 0) * (4 if scalar.kind is Kind.STRING and field.pattern is None else 1)
    return 2 * _TAG if scalar.kind in (Kind.TIMESTAMP, Kind.DURATION) else _width(field)


def _width(field: Field) -> int:
    """Bytes of one number."""
    scalar = SCALARS[field.type]
    if scalar.kind is Kind.FLOAT:
        return 8 if field.type == "float64" else 4
    if scalar.kind is not Kind.INT:
        return 1
    low, high = limit_code.integer_bounds(field)
    return _VARINT if low < 0 else len(_varint(high))


def _open(descriptor: Descriptor, above: tuple[str, ...]) -> str | None:
    """A field of the message, at any depth, that can be of any length."""
    for field in descriptor.fields:
        inner = field.message_type
        if field.is_repeated or field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            return str(field.name)
        if inner is not None and (inner.full_name in above or _open(inner, (*above, descriptor.full_name))):
            return str(field.name)
    return None


def _refused(method: Method, seen: str, size: int, reply: Reply) -> Finding:
    found = _LIMIT.search(reply.details)
    limit = f" of {_bytes(int(found[1]))}" if found else ""
    if _SENT.search(reply.details):
        return failed(
            seen,
            f"The reply is larger than what the server lets itself send{limit}.",
            """
            Raise the limit for what is sent, or shorten the reply:
                grpc.server(..., options=[("grpc.max_send_message_length", 64 * 2**20)])
            """,
        )
    return failed(
        seen,
        f"The server's limit for one message{limit} is smaller than what the contract allows: 4 MiB is gRPC's default "
        "where nothing is set, and a proxy before the server has one of its own.",
        f"""
        Raise the limit to what the contract needs, with some room (or lower max_length and max_items in schema.yaml):
            grpc.server(..., options=[("grpc.max_receive_message_length", {max(size + size // 16, 4 * 2**20)})])
        grpc.aio.server takes the same options. Go: grpc.MaxRecvMsgSize. Java: maxInboundMessageSize. Node: the same
        options as Python. tonic: max_decoding_message_size. nginx: client_max_body_size.
        """,
    )


def _broke(method: Method, seen: str) -> Finding:
    return failed(
        seen,
        f"The connection breaks while {method.name} gets a request as large as the contract allows: the server's "
        "process ended (often killed for its memory), or a proxy between cuts long requests.",
        "Give the container more memory, or lower max_length and max_items in schema.yaml; look for limits of proxies.",
    )


def _bytes(count: int) -> str:
    return f"{count} bytes" if count < 10 * 1024 else f"{count / 2**20:.2f} MiB"


CHECK = Check("message-size", "the largest request gets through", run, after="serialization")
