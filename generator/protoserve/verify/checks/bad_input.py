"""`bad-input`: invalid requests are refused with a useful error, do not harm the server, and reveal no internals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from protoserve.verify.checks import method_calls
from protoserve.verify.checks.check import Check
from protoserve.verify.conformance import request_violations
from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.invalid_requests import invalid_requests
from protoserve.verify.report import Finding, failed, passed, warned
from protoserve.verify.session import Session

# No protobuf parser accepts these: a tag that never ends, and a text that begins like a group that never ends.
_UNPARSABLE = (("random bytes", b"\xff" * 16), ("JSON instead of a message", b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'))
# The author's code ran, and the error text shows its exception or where in the source it was raised.
_STACK = re.compile(
    r"Traceback \(most recent call last\)|File \"[^\"]+\", line \d+|Exception (?:calling appli|iterating resp)"
    r"|Server method handler threw"
    r"|\bat [\w$.<> ]+ ?\([^()]*:\d+(?::\d+)?\)|\bgoroutine \d+ \[|\bpanicked at |\.(?:go|rs|cs|cc):(?:line )?\d+"
)
_INTERNALS = re.compile(
    r"<class '|object (?:has no attribute|is not (?:subscriptable|iterable|callable))|takes \d+ positional argument"
    r"|Cannot read propert|is not a function|\bis undefined\b|\(reading '|\bruntime error: |\bpanic: |nil pointer"
    r"|(?<![\w/.])/(?:app|usr|home|opt|root|srv|var|tmp|mnt|workspace|Users|build)/[\w.@-]+|\b[A-Za-z]:\\\w+"
)
_EXCEPTION = re.compile(r"\b(?:[a-z]\w*\.)*[A-Z]\w*(?:Error|Exception)\b(?=[:(]|$)|\bUnexpected <class")
_SERVER_ERRORS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


@dataclass(frozen=True, slots=True)
class _BadRequest:
    """A bad request: `parses` is whether it is a message at all, `forbidden` whether it must be refused."""

    description: str
    data: bytes
    parses: bool
    forbidden: bool


_Answers = list[tuple[_BadRequest, Reply]]


def run(session: Session) -> Finding:
    return method_calls.for_each_method(session, _judge)


def _judge(session: Session, method: Method) -> Finding:
    timeout = method_calls.timeout_for(session, session.replies[method.path].seconds)
    if finding := method_calls.stopped_working(method, method_calls.call_valid(session, method, timeout)):
        return finding
    answers: _Answers = []
    for bad in _bad_requests(session, method):
        reply = session.ask(method, bad.data, timeout)
        seen = f"{method.path}, {bad.description}: {reply}"
        if reply.connection_lost:
            return _crashes(session, method, reply, seen)
        if method_calls.timed_out(reply, timeout):
            method_calls.record_failure(session, method, reply)
            return _hangs(method, seen)
        answers.append((bad, reply))
    after = method_calls.call_valid(session, method, timeout)
    if after.connection_lost:
        return _crashes(session, method, after, f"{method.path}, after {len(answers)} bad requests: {after}")
    if not after.ok:
        method_calls.record_failure(session, method, after)
        return _is_left_broken(method, f"{method.path}: the valid request, after {len(answers)} bad ones: {after}")
    return (
        _accepts_forbidden(method, answers)
        or _reveals_internals(method, answers)
        or _blames_server(method, answers)
        or _refuses_well(method, answers)
    )


def _bad_requests(session: Session, method: Method) -> Iterator[_BadRequest]:
    """At most 15 requests, 3 if only the types are known."""
    for description, data in _UNPARSABLE:
        yield _BadRequest(description, data, parses=False, forbidden=True)
    contract = session.contract_of(method)
    valid = session.request(method).data
    if method.input.fields and valid:
        forbidden = contract is not None and bool(request_violations(contract, method.name, method.request()))
        yield _BadRequest("an empty request", b"", parses=True, forbidden=forbidden)
    if contract is not None:
        message = method.request()
        type(message).ParseFromString(message, valid)
        for violation, data in invalid_requests(contract, method.name, message):
            if data:  # the empty request was sent above
                yield _BadRequest(violation, data, parses=True, forbidden=True)


def revealed_internals(reply: Reply, parses: bool = True) -> str | None:
    """The part of an error text that shows the server's internals.

    Of bytes that do not parse, the framework may report more than an author should of a message.
    """
    if reply.ok:
        return None
    patterns = [_STACK]
    if parses:
        patterns.append(_INTERNALS)
        if reply.code in _SERVER_ERRORS:
            patterns.append(_EXCEPTION)
    return next((match[0] for pattern in patterns if (match := pattern.search(reply.details))), None)


def _crashes(session: Session, method: Method, reply: Reply, seen: str) -> Finding:
    method_calls.record_failure(session, method, reply)
    again = method_calls.call_valid(session, method, min(session.timeout, 2.0))
    return failed(
        f"{seen}; then the valid request: {again}{session.exit_note()}",
        f"A bad request ends the server's process (or at least the connection): {method.name} crashes in native code, "
        "calls exit, or runs out of memory. Anyone who can reach the port can stop the server.",
        "Look at the server's log and exit code. Check the request before the model sees it:\n"
        + _REQUIRE_VALUES.format(method=method.name),
    )


def _hangs(method: Method, seen: str) -> Finding:
    return failed(
        seen,
        f"{method.name} never ends for this request: it waits or loops because of an unexpected value, and blocks a "
        "worker for ever.",
        "Refuse requests that the model cannot compute before it starts:\n"
        + _REQUIRE_VALUES.format(method=method.name)
        + "(grpc.aio: `await context.abort(...)`), and limit every loop and every wait in it.",
    )


def _is_left_broken(method: Method, seen: str) -> Finding:
    return failed(
        seen,
        f"A bad request leaves something behind that breaks {method.name} for all later callers: a half-written "
        "attribute of the servicer or the model, or a lock that was not released.",
        "Keep what belongs to one request in local variables, and release locks with `with lock:`.",
    )


def _accepts_forbidden(method: Method, answers: _Answers) -> Finding | None:
    accepted = [bad for bad, reply in answers if bad.forbidden and reply.ok]
    if not accepted:
        return None
    seen = f"{method.path} answers OK to: " + "; ".join(bad.description for bad in accepted[:6])
    if not all(bad.parses for bad in accepted):
        return failed(
            seen,
            f"The bytes are not a valid {method.input.full_name}, but the server answers them: the handler takes raw "
            "bytes and never parses them, or it ignores the error.",
            f"""
            Register the servicer with its stubs, which parse requests; or parse them yourself and report errors:
                try:
                    request = prediction_pb2.{method.input.name}.FromString(data)
                except google.protobuf.message.DecodeError:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a valid {method.input.full_name}")
            """,
        )
    return failed(
        seen,
        f"{method.name} computes an answer for requests that the contract forbids: they are not compared with "
        "schema.yaml. Protobuf reads a missing number as 0, so the answer is wrong and nobody notices.",
        """
        Check each field before the model sees it, and report every violation by name:
            if not request.HasField("amount"):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "amount: is required")
        (grpc.aio: `await context.abort(...)`.) `protoserve new` generates these checks. If the server is right and
        the limit too narrow, change it in schema.yaml.
        """,
    )


def _reveals_internals(method: Method, answers: _Answers) -> Finding | None:
    for bad, reply in answers:
        if internals := revealed_internals(reply, bad.parses):
            return failed(
                f'{method.path}, {bad.description}: {reply}; "{internals}" belongs to the server\'s internals',
                f"{method.name} raises an exception on a bad request, and its text goes to the caller: it shows code, "
                "types or paths, and does not say what is wrong with the request.",
                f"""
                Check the request first, and let no exception leave the method with its text:
                    def {method.name}(self, request, context):
                        if not request.values:
                            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: is required")
                        try:
                            return self.answer(request)
                        except Exception:
                            logging.exception("{method.name} failed")
                            failed = True
                        if failed:  # not in `except`: abort raises
                            context.abort(grpc.StatusCode.INTERNAL, "the server failed to answer this request")
                grpc.aio: `await context.abort(...)`. Node: call back with your own {{code, details}}. Go:
                status.Error.
                """,
            )
    return None


def _blames_server(method: Method, answers: _Answers) -> Finding | None:
    """INTERNAL or UNKNOWN for a mistake of the caller."""
    blamed = [(bad, reply) for bad, reply in answers if bad.parses and bad.forbidden and reply.code in _SERVER_ERRORS]
    if not blamed:
        return None
    return warned(
        f"{method.path}: " + "; ".join(f"{bad.description}: {reply.code.name}" for bad, reply in blamed[:6]),
        f"{method.name} refuses what the contract forbids as if it were the server's fault: callers cannot see what "
        "to fix, and many will retry or alert the operator.",
        """
        Answer the caller's mistakes with INVALID_ARGUMENT, and name the field:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "amount: must be from 0 to 30; got 99")
        """,
    )


def _refuses_well(method: Method, answers: _Answers) -> Finding:
    refused = sum(not reply.ok for _, reply in answers)
    examples = "; ".join(f"{bad.description}: {reply.code.name}" for bad, reply in answers[:3])
    return passed(
        f"{method.name}: {len(answers)} bad requests, {refused} refused ({examples}); then a valid one is answered"
    )


_REQUIRE_VALUES = """\
    def {method}(self, request, context):
        if not request.values:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: is required")
"""

CHECK = Check("bad-input", "bad requests are refused and harm nothing", run, after="serialization")
