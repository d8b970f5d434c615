"""`message-size`: the largest request that the contract allows gets through."""

from __future__ import annotations

import re

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor

from protoserve.emit import limit_code
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import SCALARS, Kind
from protoserve.verify.checks import method_calls, silence
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.stopping import error_of_valid_request, stopped_answering
from protoserve.verify.error_texts import EXCEPTIONS
from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, passed, skipped
from protoserve.verify.session import Session

MOST_BYTES = 64 * 2**20
SECONDS = 10.0
# What gRPC Python, C++, Go and Node, then Java, tonic, .NET, nginx and Envoy answer to a message that is too large.
_TOO_LARGE = re.compile(
    r"message larger than max|exceeds (?:the )?maximum|message length too large|too large|status:? 413|entity too", re.I
)
_TOO_LARGE_REPLY = re.compile(
    r"sen[dt] message larger|encoded message length too large|response payload|buffer.*response", re.I
)
_LIMIT = re.compile(r"(?:vs\.?|limit is:?|size) (\d+)")
_PADDING_FIELD = 2**28  # a field number that no contract uses: protobuf keeps unknown fields
_TAG_BYTES, _VARINT_BYTES = 5, 10  # at most


def run(session: Session) -> Finding:
    return method_calls.for_each_method(session, _judge)


def _judge(session: Session, method: Method) -> Finding:
    contract = session.contract_of(method)
    if contract is None:
        if field := _unbounded_field(method.input, ()):
            return skipped(f"{method.name}: only the types are known, and {field} may have any length")
        return passed(f"{method.name}: a request consists of single numbers, and is small")
    message = next((m.request for m in contract.methods if m.name == method.name), None)
    if message is None:
        return skipped(f"{method.name} is not in schema.yaml")
    if (size := largest_request(contract, message)) is None:
        return skipped(f"{method.name}: the contract does not limit every field (max_length, max_items)")
    return _send(session, method, size)


def _send(session: Session, method: Method, size: int) -> Finding:
    data = padded(session.request(method).data, min(size, MOST_BYTES))
    timeout = min(SECONDS, session.timeout)
    if finding := error_of_valid_request(session, method, method_calls.call_alone(session, method, timeout)):
        return finding
    reply = session.ask(method, data, timeout)
    seen = f"{method.path}, {_bytes(len(data))} of the {_bytes(size)} that the contract allows: {reply}"
    if not reply.ok and _TOO_LARGE.search(reply.details):
        return _over_limit(method, seen, size, reply)
    if reply.ok or reply.code not in (*EXCEPTIONS, *method_calls.OVERLOAD, grpc.StatusCode.DEADLINE_EXCEEDED):
        allowed = (
            "as much as the contract allows" if size <= len(data) else f"of {_bytes(size)} that the contract allows"
        )
        word = "accepts" if reply.ok else f"answers {reply.code.name}, but not for its size, to"
        return passed(f"{method.name} {word} {_bytes(len(data))}, {allowed}")
    return _fails(session, method, seen, reply, timeout)


def _fails(session: Session, method: Method, seen: str, reply: Reply, timeout: float) -> Finding:
    """The large request ended in an error that does not speak of its size: the small one is sent again."""
    again = method_calls.call_alone(session, method, timeout)
    seen += f"; then the valid request as it is: {again}"
    if reply.connection_lost:
        return _connection_breaks(session, method, f"{seen}; {silence.health_word(session)}{session.exit_note()}")
    if not again.ok:
        return stopped_answering(session, method, again, f", after a request of {seen.partition(', ')[2]}")
    if method_calls.timed_out(reply, timeout):
        return skipped(f"{seen}: the connection or the model is too slow to judge")
    if method_calls.is_busy(reply):
        return skipped(f"{seen}: it is not clear whether the size is the reason")
    return failed(
        seen,
        f"{method.name} fails for the large request and answers the small one, although both say the same: the rest is "
        "a field that the contract does not have, which protobuf ignores. Its size is too much for something.",
        "Look in the server's log for the exception, and at the memory that it has.",
    )


def padded(valid: bytes, size: int) -> bytes:
    """The request with an unknown field that makes it `size` bytes long, unless it is longer already.

    The model computes the same as before, so only the transport is tested.
    """
    tag = _varint(_PADDING_FIELD << 3 | 2)
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


def largest_request(contract: Contract, message: Message) -> int | None:
    """Bytes of the largest valid request as clients encode it: packed, each field once, one member of each oneof.

    None if the contract does not limit every field. `limit_code.largest` is what a server must be ready for; that is
    more, and no client needs to send so much.
    """
    if limit_code.largest(contract, message) is None:
        return None
    single = sum(_field_bytes(contract, field) for field in message.fields if field.oneof is None)
    return single + sum(max(_field_bytes(contract, field) for field in members) for members in message.oneofs.values())


def _field_bytes(contract: Contract, field: Field) -> int:
    if field.shape is not None:
        count = field.max_items if field.dynamic else field.size
        return (count or 0) * (SCALARS[field.type].element_bytes or _number_bytes(field)) + 2 * _VARINT_BYTES
    value = _value_bytes(contract, field)
    if field.is_map:
        return (field.max_items or 0) * (value + _VARINT_BYTES) + _VARINT_BYTES
    if field.repeated:
        return (field.max_items or 0) * (value if _is_packed(field) else value + 2) + _VARINT_BYTES
    return value + 2


def _is_packed(field: Field) -> bool:
    """Whether the items of a list share one tag and one length."""
    return field.scalar is not None and (field.scalar.numeric or field.scalar.kind is Kind.BOOL)


def _value_bytes(contract: Contract, field: Field) -> int:
    """Bytes of one value, without tag and length."""
    scalar = field.scalar
    if scalar is None:
        inner = contract.message(field.type)
        return 1 if inner is None else (largest_request(contract, inner) or 0)
    if scalar.kind in (Kind.STRING, Kind.BYTES):
        most_bytes_per_character = 4 if scalar.kind is Kind.STRING and field.pattern is None else 1
        return (field.max_length or 0) * most_bytes_per_character
    return 2 * _TAG_BYTES if scalar.kind in (Kind.TIMESTAMP, Kind.DURATION) else _number_bytes(field)


def _number_bytes(field: Field) -> int:
    scalar = SCALARS[field.type]
    if scalar.kind is Kind.FLOAT:
        return 8 if field.type == "float64" else 4
    if scalar.kind is not Kind.INT:
        return 1
    low, high = limit_code.integer_bounds(field)
    return _VARINT_BYTES if low < 0 else len(_varint(high))


def _unbounded_field(descriptor: Descriptor, above: tuple[str, ...]) -> str | None:
    """The name of a field of any length in the message, at any depth."""
    for field in descriptor.fields:
        inner = field.message_type
        if field.is_repeated or field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            return str(field.name)
        if inner is not None and (inner.full_name in above or _unbounded_field(inner, (*above, descriptor.full_name))):
            return str(field.name)
    return None


def _over_limit(method: Method, seen: str, size: int, reply: Reply) -> Finding:
    match = _LIMIT.search(reply.details)
    limit = f" of {_bytes(int(match[1]))}" if match else ""
    if _TOO_LARGE_REPLY.search(reply.details):
        return failed(
            seen,
            f"The reply is larger than the server's limit{limit} for sent messages.",
            """
            Raise the limit for sent messages, or shorten the reply:
                grpc.server(..., options=[("grpc.max_send_message_length", 64 * 2**20)])
            """,
        )
    return failed(
        seen,
        f"The server's limit for one message{limit} is smaller than what the contract allows: gRPC's default is 4 MiB, "
        "and a proxy in front of the server has a limit of its own.",
        f"""
        Raise the limit to what the contract needs, with some room (or lower max_length and max_items in schema.yaml):
            grpc.server(..., options=[("grpc.max_receive_message_length", {max(size + size // 16, 4 * 2**20)})])
        grpc.aio.server takes the same options. Go: grpc.MaxRecvMsgSize. Java: maxInboundMessageSize. Node: the same
        options as Python. tonic: max_decoding_message_size. nginx: client_max_body_size.
        """,
    )


def _connection_breaks(session: Session, method: Method, seen: str) -> Finding:
    what = "the server's process ended" if session.server_ended() else "the process ended, or something closed it"
    return failed(
        seen,
        f"The connection breaks while {method.name} receives a request as large as the contract allows: {what}. Too "
        "little memory ends a process; a proxy in between may cut off long requests.",
        "Give the container more memory, or lower max_length and max_items in schema.yaml. Check the proxies' limits.",
    )


def _bytes(count: int) -> str:
    return f"{count} bytes" if count < 10 * 1024 else f"{count / 2**20:.2f} MiB"


CHECK = Check("message-size", "the largest request gets through", run, after="serialization")
