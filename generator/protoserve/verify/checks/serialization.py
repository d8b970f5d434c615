"""`serialization`: the reply is the declared message, and the server can read the declared request."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from protoserve.verify import conformance
from protoserve.verify.checks.base import Check
from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, Verdict, failed, passed, skipped, warned
from protoserve.verify.session import Session

REFUSALS = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.OUT_OF_RANGE, grpc.StatusCode.FAILED_PRECONDITION)
# With these a server says on purpose that it will not do what was asked, or not for us.
_DECLINED = (*REFUSALS, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.ALREADY_EXISTS, grpc.StatusCode.ABORTED)
_KEPT_OUT = (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED)
_RAISED = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
# How servers word things; tests/verify/test_texts.py has real texts of each, and where they are from.
# They could not read the request: gRPC Python (sync, aio), grpc-js, grpc-go, Java, tonic, C#.
_UNREAD = re.compile(
    r"exception deserializing request|error deserializing request|error parsing message with type"
    r"|error unmarshalling request|failed to unmarshal|cannot parse invalid wire-format"
    r"|string field contains invalid utf-8"
    r"|invalid protobuf byte sequence|failed to decode protobuf message|invalid wire ?type"
    r"|(?<![a-z])decodeerror|invalidprotocolbufferexception|protocol message end-group|end-group tag"
    r"|invalid tag|index out of range: \d+ \+ \d+ >|error in server deserializing",
    re.I,
)
# What the method returned was no such message. Asked first: Go says of a reply too that its string is no UTF-8.
_UNSENT = re.compile(
    r"failed to serialize response|error serializing response|serializetostring|error while marshaling"
    r"|failed to marshal|failed to encode|must be instance of same class"
    r"|\.\w+: (?:object|array|number|string|integer\S*) expected",
    re.I,
)
_RETURNED = re.compile(r"'(list|dict|tuple|str|NoneType|ndarray|numpy\.ndarray|int|float|bytes|set|DataFrame)' object")
# Of the method's own code: it sets a field that the message does not have.
_NO_FIELD = re.compile(r"message (\w+) has no \"(\w+)\" field|no field \"(\w+)\" in protocol message", re.I)
# Errors in which a model tells that it wants other data: these speak against a made-up request, not the server.
_ABOUT_DATA = re.compile(
    r"shape|feature|dimension|\bndim|broadcast|(?<!un)expect|could not convert|cannot convert|invalid literal"
    r"|cannot identify|decod|too (?:short|few|many|small|long)|length|\bsize|out of (?:range|bounds)|missing|required"
    r"|must |should |not (?:a )?valid|invalid|unsupported|unknown (?:label|categor|model|token)|nan\b",
    re.I,
)
# And those that keep to themselves what happened.
_SILENT = re.compile(
    r"^$|^application error processing rpc$|^exception was thrown by handler\.?$|^unknown error$"
    r"|^internal(?: server)? error\.?$|^stream removed$",
    re.I,
)


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
    if reply.code is grpc.StatusCode.UNIMPLEMENTED:  # another server has it, or it is retired: `implemented` told
        return passed(f"{method.name} is not served here")
    if len(reply.messages) > 1 and not method.gives_stream:
        return _several(method, reply)
    if not reply.ok and not (reply.messages and reply.code is grpc.StatusCode.DEADLINE_EXCEEDED):
        return _refused(session, method, reply)
    if not reply.messages:
        return passed(f"{method.name}: an empty stream")
    for number, data in enumerate(reply.messages, 1):
        if finding := _message(session, method, data, f" (message {number})" if method.gives_stream else ""):
            return finding
    size = sum(map(len, reply.messages))
    count = f"{len(reply.messages)} messages" if method.gives_stream else "one message"
    return passed(f"{method.name}: {count} {method.output.full_name}, {size} bytes after {reply.seconds:.2f} s")


def _several(method: Method, reply: Reply) -> Finding:
    name = method.name
    return failed(
        f"{method.path}: {len(reply.messages)} messages or more in answer to one call",
        f"The server answers with a stream, and in the contract {name} has one reply: a caller who waits for the end "
        "of that never gets it. The handler yields, or the server's .proto says `returns (stream ...)`.",
        f"""
        Return one message:
            def {name}(self, request, context):
                return prediction_pb2.{method.output.name}(...)   # no yield
        or let both sides be made from a .proto with `returns (stream {method.output.name})`.
        """,
    )


def _message(session: Session, method: Method, data: bytes, which: str) -> Finding | None:
    """What is wrong with the bytes of one reply (`which` of a stream); None where they are a good message."""
    wanted, seen = method.output.full_name, f"{method.path}{which}: {len(data)} bytes {data[:32]!r}"
    message = method.response()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return failed(
            seen,
            f"The bytes are no protobuf{_form(data)}: the handler sends bytes of its own making in place of {wanted}.",
            _RETURN.format(method=method.name, output=method.output.name),
        )
    if finding := _foreign(session, method, message, data, seen):
        return finding
    contract = session.interface.contract_of(method) if session.interface is not None else None
    if contract is not None:
        broken = conformance.violations(contract, method.name, message)
        if broken:
            return failed(
                f"{method.path}{which}: " + "; ".join(broken[:8]),
                "The reply is the right message, and breaks what the contract promises for its fields.",
                f"Fill every required field of {method.output.name}, with the shape and the limits of schema.yaml; or "
                "change the limits there, if the model is right.",
            )
    if not data and method.output.fields and not _may_be_empty(method.output):
        return warned(
            f"{method.path}{which}: 0 bytes, so every field of {wanted} has its default",
            "The method returns the message without setting a field, or sets fields of names that the .proto does not "
            "have (JavaScript drops those).",
            _RETURN.format(method=method.name, output=method.output.name),
        )
    return None


def _may_be_empty(output: Descriptor) -> bool:
    """Whether a zero, a no or an empty text can be the whole answer: it takes no bytes in fields without presence."""
    return any(not field.has_presence and not field.is_repeated for field in output.fields)


def _foreign(session: Session, method: Method, message: Message, data: bytes, seen: str) -> Finding | None:
    """Fields that the contract's message does not have, or has with another type."""
    strange = list(_unknown(message, ""))
    if not strange:
        return None
    wanted = method.output.full_name
    if other := [f"{path} ({name})" for path, name in strange if name]:
        return failed(
            f"{seen}; fields that come as another type than in {wanted}: {', '.join(other)}",
            f"The server's .proto gives fields of {wanted} other types, or the server answers with another message"
            f"{_form(data)}.",
            f"Make the server's stubs again from the .proto that callers have, and return {method.output.name}.",
        )
    seen = f"{seen}; fields that {wanted} does not have: {', '.join(path for path, _ in strange)}"
    themselves = session.interface is not None and (
        bool(session.interface.contracts) or session.interface.source == "reflection"
    )
    if message.ListFields() and not themselves and not _form(data):
        return warned(
            seen,
            "The server was built from another version of the .proto, which has more fields. Callers with this one do "
            "not see them.",
            "If the server's .proto is the newer one, give that one here with --proto, and to the callers. Else make "
            "the server's stubs again from this one.",
        )
    return failed(
        seen,
        f"The server answers with another message, or was built from another version of the .proto{_form(data)}.",
        f"Make the server's stubs again from the .proto that callers have, and return {method.output.name}. If the "
        "server's .proto is the newer one, give that one here with --proto.",
    )


def _form(data: bytes) -> str:
    """What the bytes look like, where that is known."""
    if data.lstrip()[:1] in (b"{", b"["):
        return " (they are JSON)"
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and data[-1:] == b".":
        return " (they are a Python pickle)"
    if data[:6] == b"\x93NUMPY":
        return " (they are a numpy file)"
    return " (they are text)" if len(data) > 2 and data.isascii() and data.decode().isprintable() else ""


def _unknown(message: Message, path: str) -> Iterator[tuple[str, str]]:
    """Fields that are not the message type's, at any depth: `outer.inner.7`, and the name where it is one of its own.

    Such a field came with another type; but a number that its enum does not have is as good as a field of a newer one.
    """
    descriptor = message.DESCRIPTOR
    fields: Any = UnknownFieldSet(message)
    for number in sorted({field.field_number for field in fields}):
        known = descriptor.fields_by_number.get(number)
        if known is not None and known.type == FieldDescriptor.TYPE_ENUM:
            known = None
        if not any(first <= number < last for first, last in descriptor.extension_ranges):
            yield f"{path}{number}", known.name if known is not None else ""
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
    if reply.code in _KEPT_OUT:
        return warned(
            f"{seen}: the server wants to know who calls",
            f"{method.name} answers only callers with credentials, and this command has none; it could not be judged.",
            "Platforms send none to the container either. To verify the rest, start the server once without the check.",
        )
    if reply.code in _DECLINED and request.guess:
        return _ask_for_request(
            session,
            method,
            seen,
            "The method wants something that its types do not tell, and refuses what was made up, as it should.",
        )
    if reply.code in _DECLINED:
        return failed(
            f"{seen}, to {request.source}",
            "The method refuses a request that should be valid: the contract says less than the server checks.",
            "Mend the request, or the server's check. If the limit is right, write it into the contract.",
        )
    if reply.code is grpc.StatusCode.UNAVAILABLE:
        if session.readiness().premature_reply is not None:
            return skipped(f"{method.name} is not ready: {reply}; health-honest tells about that")
        if any(health.status == "NOT_SERVING" for health in session.readiness().last.values()):
            return skipped(f"{method.name} is not ready: {reply}; health-serving tells about that")
    if _UNSENT.search(reply.details):
        return _unsent(method, reply, seen)
    if _UNREAD.search(reply.details):
        return failed(
            seen,
            f"The server cannot read a {method.input.full_name}: its stubs are from another (older) .proto, in which a "
            "field of the same number has another type, or it expects another message.",
            "Make the server's stubs again from the .proto that callers have:\n"
            "    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/....proto",
        )
    if found := _NO_FIELD.search(reply.details):
        return failed(
            seen,
            f"The code of {method.name} uses a field {found[2] or found[3]}, which the server's stubs do not have: "
            "they are from another .proto than the code was written for, or the name is misspelt.",
            f"Use the names of the .proto. {method.output.name} has: "
            f"{', '.join(field.name for field in method.output.fields) or 'no field'}.",
        )
    if reply.code in _RAISED and request.vague and (_SILENT.search(reply.details) or _ABOUT_DATA.search(reply.details)):
        return _ask_for_request(
            session,
            method,
            seen,
            "The method raised an exception. It was asked with numbers and texts that were made up, which a model may "
            "well not take (then INVALID_ARGUMENT would be the right answer); or it never works.",
        )
    return _broken(method, reply, seen)


def _ask_for_request(session: Session, method: Method, seen: str, cause: str) -> Finding:
    return warned(
        f"{seen}, to a request that was made from the types",
        cause,
        f"""
        Give a request that the model can answer, in protobuf's JSON, and run again:
            protoserve verify {session.address} --request {method.name}=request.json
        """,
    )


def _broken(method: Method, reply: Reply, seen: str) -> Finding:
    name = method.name
    if reply.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return failed(
            seen,
            f"{name} refuses a single caller for want of room: a limit (of calls at once, or of the message's size) is "
            "set far too low, or calls that ended are still counted.",
            """
            Look at the limits that the server sets:
                grpc.server(pool, maximum_concurrent_rpcs=..., options=[("grpc.max_receive_message_length", ...)])
            """,
        )
    if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return failed(
            f"{seen}, long before the deadline of the call",
            f"{name} gives up by a timeout of its own, or hands on that of another service that it calls.",
            "Look at the server's log for what timed out. The time that the caller gives is context.time_remaining().",
        )
    if reply.code is grpc.StatusCode.UNAVAILABLE:
        return failed(
            seen,
            f"{name} is never ready: the model did not load, or another service that it calls is away.",
            "Look at the server's log for what failed while it started. Load the model before health says SERVING.",
        )
    hidden = " (The server keeps the reason to itself: its log has it.)" if _SILENT.search(reply.details) else ""
    return failed(
        seen,
        f"{name} does not answer a valid request: it raised an exception.{hidden}",
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
        "bytes": "text or bytes",
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
