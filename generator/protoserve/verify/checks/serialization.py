"""`serialization`: the reply is the declared message, and the server can read the declared request."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet

from protoserve.emit import limit_code
from protoserve.verify import conformance, error_texts
from protoserve.verify.checks import credentials
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.code_names import check_of_field, first_field, new_message
from protoserve.verify.checks.method_calls import all_left_alone, give_contract
from protoserve.verify.error_texts import says_not_ready
from protoserve.verify.grpc_client import MOST_BYTES, Reply
from protoserve.verify.interface import Method
from protoserve.verify.reply_cost import MOST_RECORDS, has_too_many_records
from protoserve.verify.report import (
    Deferral,
    Finding,
    Verdict,
    combined,
    deferred,
    failed,
    first_with,
    passed,
    unjudged,
    warned,
)
from protoserve.verify.session import Session

# With these codes a server refuses a request on purpose.
_DECLINED = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.OUT_OF_RANGE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.ABORTED,
)


def run(session: Session) -> Finding:
    if session.left_alone and not session.methods:
        return all_left_alone(session)
    if not session.methods:
        return unjudged("no contract to compare replies with", give_contract(session))
    refusing = [method for method in session.methods if credentials.are_missing(method, session.replies[method.path])]
    findings = [_judge(session, method) for method in session.methods if method not in refusing]
    if first_with(findings, Verdict.PASS) is not None:  # a pass must not hide that another reply was not judged
        findings = [_gap(finding) if finding.give else finding for finding in findings]
    if refusing and first_with(findings, Verdict.PASS, Verdict.FAIL) is None:
        return replace(credentials.all_refused(session, refusing), deferrals=combined(findings).deferrals)
    return combined([*findings, *(credentials.some_refused(session, method) for method in refusing)])


def _gap(finding: Finding) -> Finding:
    """A warning in place of an unjudged finding."""
    return warned(finding.seen.removesuffix(f" {finding.give}"), "This reply could not be judged.", finding.give)


def _judge(session: Session, method: Method) -> Finding:
    reply = session.replies[method.path]
    if reply.code is grpc.StatusCode.UNIMPLEMENTED:
        deferral = Deferral("implemented", _unimplemented(method, reply))
        return Finding(Verdict.PASS, f"{method.name} is not served here", deferrals=(deferral,))
    if len(reply.messages) > 1 and not method.gives_stream:
        return _stream_instead_of_message(method, reply)
    if reply.too_large:
        return _too_large(session, method, reply)
    if not reply.ok and not (reply.messages and reply.code is grpc.StatusCode.DEADLINE_EXCEEDED):
        return _judge_error(session, method, reply)
    if any(has_too_many_records(method.output, data) for data in reply.messages):
        reason = f"{method.path}: {reply}; a message has more than {MOST_RECORDS} fields and items, too many to look at"
        return unjudged(reason, f"Give it a request with a smaller answer: --request {method.name}=FILE.json.")
    if not reply.messages:
        return _empty_stream(session, method, reply)
    for number, data in enumerate(reply.messages, 1):
        if finding := _judge_message(session, method, data, f" (message {number})" if method.gives_stream else ""):
            return finding
    size = sum(map(len, reply.messages))
    count = f"{len(reply.messages)} messages" if len(reply.messages) > 1 else "one message"
    return passed(f"{method.name}: {count} {method.output.full_name}, {size} bytes after {reply.seconds:.2f} s")


def _too_large(session: Session, method: Method, reply: Reply) -> Finding:
    seen = f"{method.path}: {reply}"
    contract = session.contract_of(method)
    response = (
        next((each.response for each in contract.methods if each.name == method.name), None) if contract else None
    )
    if contract is not None and response is not None:
        allowed = limit_code.largest(contract, response)
        if allowed is not None and allowed > MOST_BYTES:
            reason = f"{seen}, as the contract allows; verify receives no more of one reply"
            return unjudged(reason, f"Give it a request with a smaller answer: --request {method.name}=FILE.json.")
    return failed(
        seen,
        f"{method.name} sends more than {MOST_BYTES >> 20} MiB in one message (decompressed, if it is compressed): no "
        "caller receives that, unless it has raised the limit of its gRPC client, which is 4 MiB.",
        "Shorten the reply: return what callers need, in several messages of a stream if it is much. With limits in "
        "schema.yaml (max_items, max_length) the generated server keeps to them.",
    )


def _unimplemented(method: Method, reply: Reply) -> Finding:
    return failed(
        f"{method.path}: {reply}",
        f"{method.name} is in the contract, and the server does not serve it.",
        f"Implement {method.name}, or remove it from the contract.",
    )


def _empty_stream(session: Session, method: Method, reply: Reply) -> Finding:
    """A stream without a message, which is right only where there is nothing to say."""
    seen = f"{method.name}: an empty stream after {reply.seconds:.2f} s"
    if not method.output.fields:
        return passed(seen)
    asked = (
        "a request that was made from the types" if session.request(method).guess else session.request(method).source
    )
    return warned(
        f"{method.path}: OK, and the stream ended without a {method.output.full_name}, to {asked}",
        "Callers get nothing, and no error. That is right only if the model has no answer to this request; a handler "
        "in Python that yields None or returns without a yield looks the same.",
        f"""
        Yield a message for every part of the answer, or refuse the request with a status:
            def {method.name}(self, request, context):
                yield {new_message(method.output)}
        """,
    )


def _stream_instead_of_message(method: Method, reply: Reply) -> Finding:
    return failed(
        f"{method.path}: {len(reply.messages)} messages or more in answer to one call",
        f"The server answers with a stream, but {method.name} has a single reply in the contract: a caller that waits "
        "for the end of the call waits for ever. The handler yields, or the server's .proto says `returns (stream "
        "...)`.",
        f"""
        Return one message:
            def {method.name}(self, request, context):
                return {new_message(method.output)}   # no yield
        or generate the stubs of both sides from a .proto with `returns (stream {method.output.name})`.
        """,
    )


def fault_in_replies(session: Session, method: Method, messages: Sequence[bytes]) -> Finding | None:
    """What is wrong with the first of these messages with which something is; None if all are as the contract says."""
    return next((fault for data in messages if (fault := _judge_message(session, method, data, ""))), None)


def _judge_message(session: Session, method: Method, data: bytes, which: str) -> Finding | None:
    """What is wrong with the bytes of one reply (`which` one of a stream); None if nothing is."""
    expected, seen = method.output.full_name, f"{method.path}{which}: {len(data)} bytes {data[:32]!r}"
    message = method.response()
    try:
        type(message).ParseFromString(message, data)
    except DecodeError:
        return failed(
            seen,
            f"The bytes are not protobuf{_format_note(data)}: the handler sends bytes of its own instead of "
            f"{expected}.",
            _return_message(method),
        )
    if unknown_fields := list(_unknown_fields(message, "")):
        return _judge_unknown_fields(session, method, message, data, seen, unknown_fields)
    contract = session.contract_of(method)
    violations = conformance.violations(contract, method.name, message) if contract is not None else []
    if violations:
        return failed(
            f"{method.path}{which}: " + "; ".join(violations[:8]),
            "The reply is the declared message, but violates what the contract promises for its fields.",
            f"Fill every required field of {method.output.name}, with the shapes and limits of schema.yaml; or change "
            "the limits there, if the model is right.",
        )
    if not data and method.output.fields and not _may_be_empty(method.output):
        return warned(
            f"{method.path}{which}: 0 bytes, so every field of {expected} has its default",
            "The method returns the message without setting a field, or sets fields with names that the .proto does "
            "not have (JavaScript ignores those).",
            _return_message(method),
        )
    return None


def _may_be_empty(output: Descriptor) -> bool:
    """Whether the whole answer can be zero, false or an empty text, which take no bytes in fields without presence."""
    return any(not field.has_presence and not field.is_repeated for field in output.fields)


def _judge_unknown_fields(
    session: Session, method: Method, message: Message, data: bytes, seen: str, unknown_fields: list[tuple[str, str]]
) -> Finding:
    """The message has fields that are not in the contract, or that have another type there."""
    expected = method.output.full_name
    format_note = _format_note(data)
    regenerate = (
        f"Generate the server's stubs again from the .proto that callers have, and return {method.output.name}."
    )
    if retyped := [f"{path} ({name})" for path, name in unknown_fields if name]:
        return failed(
            f"{seen}; fields with another type than in {expected}: {', '.join(retyped)}",
            f"The server's .proto gives fields of {expected} other types, or the server answers with another message"
            f"{format_note}.",
            regenerate,
        )
    seen = f"{seen}; fields that {expected} does not have: {', '.join(path for path, _ in unknown_fields)}"
    interface = session.interface
    # A project or the server itself does not have a .proto of another version.
    own_contract = interface is not None and (bool(interface.contracts) or interface.source == "reflection")
    if message.ListFields() and not own_contract and not format_note:
        return warned(
            seen,
            "The server was built from another version of the .proto, which has more fields. Callers with this version "
            "do not see them.",
            "If the server's .proto is newer, use it here with --proto, and give it to the callers. Otherwise generate "
            "the server's stubs again from this one.",
        )
    return failed(
        seen,
        f"The server answers with another message, or was built from another version of the .proto{format_note}.",
        f"{regenerate} If the server's .proto is newer, use it here with --proto.",
    )


def _format_note(data: bytes) -> str:
    """What format the bytes have, if it is a well-known one."""
    if data.lstrip()[:1] in (b"{", b"["):
        return " (they are JSON)"
    if data[:1] == b"\x80" and data[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05") and data[-1:] == b".":
        return " (they are a Python pickle)"
    if data[:6] == b"\x93NUMPY":
        return " (they are a numpy file)"
    return " (they are text)" if len(data) > 2 and data.isascii() and data.decode().isprintable() else ""


def _unknown_fields(message: Message, path: str) -> Iterator[tuple[str, str]]:
    """Fields that the type does not have, at any depth: (`outer.inner.7`, name of the field with that number or "").

    A field with a name was sent with another type. An unknown value of an enum counts as a field of a newer version.
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
            yield from _unknown_fields(item, f"{path}{field.name}.")


def _judge_error(session: Session, method: Method, reply: Reply) -> Finding:
    request, seen = session.request(method), f"{method.path}: {reply}"
    if says_not_ready(reply):
        return _not_ready(session, method, reply)
    if reply.code in _DECLINED and request.guess:
        return _needs_request(
            method,
            seen,
            f"{method.name} refuses a request that was made from its types: it needs something that they do not show.",
        )
    if reply.code in _DECLINED:
        return failed(
            f"{seen}, to {request.source}",
            "The method refuses a request that should be valid: the server checks more than the contract says.",
            "Fix the request, or the server's check. If the limit is right, add it to the contract.",
        )
    return _judge_error_text(session, method, reply, seen)


def _not_ready(session: Session, method: Method, reply: Reply) -> Finding:
    """The error is a state of the server: health is to blame for it if it says SERVING, or reports it itself."""
    readiness, failure = session.readiness(), _never_ready(method, reply)
    if readiness.premature_reply is not None:
        return deferred("health-honest", failure)
    if any(health.status == "NOT_SERVING" for health in readiness.last.values()):
        return deferred("health-serving", failure)
    return failure


def _never_ready(method: Method, reply: Reply) -> Finding:
    return failed(
        f"{method.path}: {reply}",
        f"{method.name} is never ready: the error describes a state of the server, and not the request. The model did "
        "not load, or something that it needs is not available.",
        "Look in the server's log for what failed at the start. Load the model before health says SERVING.",
    )


def _judge_error_text(session: Session, method: Method, reply: Reply, seen: str) -> Finding:
    if error_texts.UNSERIALIZABLE_REPLY.search(reply.details):
        return _unserializable_reply(method, reply, seen)
    if error_texts.UNREADABLE_REQUEST.search(reply.details):
        return failed(
            seen,
            f"The server cannot parse a {method.input.full_name}: its stubs are from another (older) .proto, in which "
            "a field with the same number has another type, or it expects another message.",
            "Generate the server's stubs again from the .proto that callers have:\n"
            "    python -m grpc_tools.protoc -I proto --python_out=. --grpc_python_out=. proto/....proto",
        )
    if match := error_texts.NO_SUCH_FIELD.search(reply.details):
        return failed(
            seen,
            f"The code of {method.name} uses a field {match[2] or match[3]}, which the server's stubs do not have: "
            "they are from another .proto than the code was written for, or the name is misspelt.",
            f"Use the names of the .proto. {method.output.name} has: "
            f"{', '.join(field.name for field in method.output.fields) or 'no field'}.",
        )
    about_data = bool(error_texts.NO_REASON.search(reply.details) or error_texts.ABOUT_DATA.search(reply.details))
    if reply.code in error_texts.EXCEPTIONS and session.request(method).vague and about_data:
        return _needs_request(
            method,
            seen,
            "The method raised an exception. It was called with generated numbers and texts, which the model may not "
            "accept (then INVALID_ARGUMENT would be the right answer); or it never works.",
        )
    return _never_answers(method, reply, seen)


def _needs_request(method: Method, seen: str, cause: str) -> Finding:
    return warned(
        f"{seen}, to a request that was made from the types",
        cause,
        f"""
        Give a request that the model can answer, in protobuf's JSON, and run the same command again with it:
            --request {method.name}=request.json
        """,
    )


def _unserializable_reply(method: Method, reply: Reply, seen: str) -> Finding:
    match = error_texts.RETURNED_TYPE.search(reply.details)
    returned_type = match[1] if match else None
    returned = {
        None: "something other than this message (a list, a dict, an array, None or another message)",
        "NoneType": "None: a `return` is missing",
        "bytes": "text or bytes",
    }.get(returned_type, f"a {returned_type}")
    return failed(
        seen,
        f"The reply cannot be serialized as {method.output.full_name}: {method.name} returned {returned}.",
        _return_message(method),
    )


def _never_answers(method: Method, reply: Reply, seen: str) -> Finding:
    if reply.code is grpc.StatusCode.RESOURCE_EXHAUSTED and error_texts.TOO_MUCH_METADATA.search(reply.details):
        return failed(
            seen,
            f"{method.name} ends with more metadata than gRPC's clients accept, which is 8 KiB: callers get "
            "RESOURCE_EXHAUSTED in place of its answer. Most often it is the text of an error.",
            "Shorten the text of the error, and what is sent as initial or trailing metadata.",
        )
    if reply.code in _OWN_LIMITS:
        note, cause, remedy = _OWN_LIMITS[reply.code]
        return failed(seen + note, f"{method.name} {cause}", remedy)
    hidden = (
        " (The error does not give the reason: see the server's log.)"
        if error_texts.NO_REASON.search(reply.details)
        else ""
    )
    what = "it raised an exception" if reply.code in error_texts.EXCEPTIONS else f"it ends with {reply.code.name}"
    return failed(
        seen,
        f"{method.name} does not answer a valid request: {what}.{hidden}",
        f"""
        Look in the server's log for the exception. Answer mistakes of the caller with INVALID_ARGUMENT:
            {check_of_field(method)}
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "{first_field(method)}: is required")
        """,
    )


# By status: what to add to what was seen, the cause (after the method's name), and the remedy.
_OWN_LIMITS = {
    grpc.StatusCode.RESOURCE_EXHAUSTED: (
        "",
        "refuses a single caller for lack of capacity: a limit (on parallel calls, or on the message size) is far too "
        "low, or calls that have ended are still counted.",
        """
        Check the limits that the server sets:
            grpc.server(pool, maximum_concurrent_rpcs=..., options=[("grpc.max_receive_message_length", ...)])
        """,
    ),
    grpc.StatusCode.DEADLINE_EXCEEDED: (
        ", long before the deadline of the call",
        "gives up after a timeout of its own, or passes on that of another service that it calls.",
        "Look in the server's log for what timed out. The caller's remaining time is context.time_remaining().",
    ),
}


def _return_message(method: Method) -> str:
    field = next((field.name for field in method.output.fields), None)
    message = new_message(method.output, "" if field is None else f"{field}=...")
    other = "not None" if field is None else f'not the value alone, or {{"{field}": ...}}'
    return f"""
    Return the message that the .proto declares:
        def {method.name}(self, request, context):
            return {message}   # {other}
    """


CHECK = Check("serialization", "replies are the declared message", run, after="implemented", decisive=True)
