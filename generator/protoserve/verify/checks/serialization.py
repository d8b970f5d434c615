"""`serialization`: the reply is the declared message, and the server can read the declared request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from protoserve.verify import conform
from protoserve.verify.checks.base import Check
from protoserve.verify.client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, Verdict, failed, passed, skipped, warned
from protoserve.verify.session import Session

REFUSALS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.FAILED_PRECONDITION)
# How servers say that they could not read the request: gRPC Python (sync, aio), grpc-js, grpc-go, Java, C++.
_UNREAD = re.compile(
    r"deserializing request|error deserializing|error parsing message|failed to unmarshal|decodeerror|wire ?type"
    r"|invalid protobuf|unable to parse|invalid tag|index out of range: \d+ \+ \d+ >|truncated message",
    re.I,
)
# And that what the method returned was no such message.
_UNSENT = re.compile(
    r"failed to serialize|serializing response|serializetostring|error serializing|failed to marshal"
    r"|\.\w+: (?:object|array|number|string|integer\S*) expected",
    re.I,
)
_RETURNED = re.compile(r"'(list|dict|tuple|str|NoneType|ndarray|int|float|bytes|set)' object")


def run(session: Session) -> Finding:
    if not session.methods:
        return skipped("no contract to compare replies with; give --proto FILE or --project FOLDER")
    found = [_judge(session, method) for method in session.methods]
    for verdict in (Verdict.FAIL, Verdict.WARN, Verdict.SKIP):
        if bad := next((finding for finding in found if finding.verdict is verdict), None):
            return bad
    return passed("; ".join(finding.seen for finding in found))


def _judge(session: Session, method: Method) -> Finding:
    reply = session.replies[method.path]
    if not reply.ok:
        return _refused(session, method, reply)
    if method.gives_stream and not reply.messages:
        return passed(f"{method.name}: an empty stream")
    for data in reply.messages:
        if finding := _message(session, method, data):
            return finding
    size = sum(map(len, reply.messages))
    count = f"{len(reply.messages)} messages" if method.gives_stream else "one message"
    return passed(f"{method.name}: {count} {method.output.full_name}, {size} bytes after {reply.seconds:.2f} s")


def _message(session: Session, method: Method, data: bytes) -> Finding | None:
    """What is wrong with the bytes of one reply; None where they are a good message."""
    wanted, seen = method.output.full_name, f"{method.path}: {len(data)} bytes {data[:32]!r}"
    message = method.response()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return failed(
            seen,
            f"The bytes are no protobuf{_form(data)}: the handler sends bytes of its own making in place of {wanted}.",
            _RETURN.format(method=method.name, output=method.output.name),
        )
    if unknown := list(_unknown(message, "")):
        return failed(
            f"{seen}; fields that {wanted} does not have: {', '.join(unknown)}",
            f"The server answers with another message, or was built from another version of the .proto{_form(data)}.",
            f"Make the server's stubs again from the .proto that callers have, and return {method.output.name}. If the "
            "server's .proto is the newer one, give that one here with --proto.",
        )
    if session.interface is not None and session.interface.contract is not None:
        broken = conform.violations(session.interface.contract, method.name, message)
        if broken:
            return failed(
                f"{method.path}: " + "; ".join(broken[:8]),
                "The reply is the right message, and breaks what the contract promises for its fields.",
                f"Fill every required field of {method.output.name}, with the shape and the limits of schema.yaml; or "
                "change the limits there, if the model is right.",
            )
    if not data and method.output.fields:
        return warned(
            f"{method.path}: 0 bytes, so every field of {wanted} has its default",
            "The method returns the message without setting a field, or all its values happen to be zero.",
            _RETURN.format(method=method.name, output=method.output.name),
        )
    return None


def _form(data: bytes) -> str:
    """What the bytes look like, where that is known."""
    start = data.lstrip()[:1]
    if start in (b"{", b"["):
        return " (they are JSON)"
    return " (they are a Python pickle)" if data[:2] in (b"\x80\x04", b"\x80\x05") else ""


def _unknown(message: Message, path: str) -> Iterator[str]:
    """Numbers of the fields that the message type does not have, `outer.inner.7`, at any depth."""
    fields: Any = UnknownFieldSet(message)
    for number in sorted({field.field_number for field in fields}):
        yield f"{path}{number}"
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.GetOptions().map_entry:
            inner = field.message_type.fields_by_name["value"].message_type
            values = list(value.values()) if inner is not None else []
        else:
            values = list(value) if field.is_repeated else [value]
        for item in values:
            yield from _unknown(item, f"{path}{field.name}.")


def _refused(session: Session, method: Method, reply: Reply) -> Finding:
    request, seen = session.request(method), f"{method.path}: {reply}"
    if reply.code in REFUSALS and request.guess:
        return warned(
            f"{seen}, to a request that was made from the types",
            "The method wants something that its types do not tell, and refuses what was made up, as it should.",
            f"""
            Give a request that the model can answer, in protobuf's JSON, and run again:
                protoserve verify {session.address} --request {method.name}=request.json
            """,
        )
    if reply.code in REFUSALS:
        return failed(
            f"{seen}, to {request.source}",
            "The method refuses a request that should be valid: the contract says less than the server checks.",
            "Mend the request, or the server's check. If the limit is right, write it into the contract.",
        )
    if reply.code is grpc.StatusCode.UNAVAILABLE:
        if session.readiness().lied is not None:
            return skipped(f"{method.name} is not ready: {reply}; health-honest tells about that")
        if any(health.status == "NOT_SERVING" for health in session.readiness().last.values()):
            return skipped(f"{method.name} is not ready: {reply}; health-serving tells about that")
    if _UNREAD.search(reply.details):
        return failed(
            seen,
            f"The server cannot read a {method.input.full_name}: its stubs are from another (older) .proto, in which a "
            "field of the same number has another type, or it expects another message.",
            "Make the server's stubs again from the .proto that callers have:\n"
            "    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/....proto",
        )
    if _UNSENT.search(reply.details):
        return _unsent(method, reply, seen)
    return failed(
        seen,
        f"{method.name} does not answer a valid request: it raised an exception"
        + (", or it cannot use what was made up from the types (then give --request)." if request.guess else "."),
        """
        Look at the server's log for the exception. Answer what the caller did wrong with INVALID_ARGUMENT:
            if len(request.values) != 4:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: must have 4 items")
        """,
    )


def _unsent(method: Method, reply: Reply, seen: str) -> Finding:
    found = _RETURNED.search(reply.details)
    returned = found[1] if found else None
    what = {
        None: "something that is no such message (a list, a dict, an array, None or another message)",
        "NoneType": "None: a `return` is missing",
    }.get(returned, f"a {returned}")
    return failed(
        seen,
        f"The reply cannot be serialized as {method.output.full_name}: {method.name} returned {what}.",
        _RETURN.format(method=method.name, output=method.output.name),
    )


_RETURN = """
    Return the message that the .proto declares:
        def {method}(self, request, context):
            scores = self.model.predict(...)
            return prediction_pb2.{output}(scores=scores.tolist())   # not scores, [scores] or {{"scores": scores}}
    """

CHECK = Check("serialization", "replies are the declared message", run, after="implemented")
