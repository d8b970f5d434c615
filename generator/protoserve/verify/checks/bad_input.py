"""`bad-input`: invalid requests are refused with a useful error, do not harm the server, and reveal no internals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from protoserve.verify.checks import method_calls, silence
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.code_names import check_of_field, first_field, module
from protoserve.verify.checks.stopping import error_of_valid_request, stopped_answering
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
    r"Traceback \(most recent call last\)|File \"[^\"]+\", line \d+"
    r"|Exception (?:calling application|iterating responses)|Server method handler threw"
    r"|\bat [\w$.<> ]+ ?\([^()]*:\d+(?::\d+)?\)|\bgoroutine \d+ \[|\bpanicked at |\.(?:go|rs|cs|cc):(?:line )?\d+"
)
_INTERNALS = re.compile(
    r"<class '|object (?:has no attribute|is not (?:subscriptable|iterable|callable))|takes \d+ positional argument"
    r"|Cannot read propert|is not a function|\bis undefined\b|\(reading '|\bruntime error: |\bpanic: |nil pointer"
    r"|(?<![\w/.])/(?:app|usr|home|opt|root|srv|var|tmp|mnt|workspace|Users|build)/[\w.@-]+|\b[A-Za-z]:\\\w+"
)
_EXCEPTION = re.compile(r"\b(?:[a-z]\w*\.)*[A-Z]\w*(?:Error|Exception)\b(?=[:(]|$)|\bUnexpected <class")
_EMPTY, _MISSING = "an empty request", " missing"
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
    if finding := error_of_valid_request(session, method, method_calls.call_alone(session, method, timeout)):
        return finding
    answers: _Answers = []
    for bad in _bad_requests(session, method):
        reply = session.ask(method, bad.data, timeout)
        if reply.connection_lost or method_calls.timed_out(reply, timeout):
            return _takes_down(session, method, bad, reply)
        answers.append((bad, reply))
    after = method_calls.call_alone(session, method, timeout)
    if not after.ok:
        return _left_broken(session, method, after, [bad for bad, _ in answers])
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
        yield _BadRequest(_EMPTY, b"", parses=True, forbidden=forbidden)
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


def _takes_down(session: Session, method: Method, bad: _BadRequest, reply: Reply) -> Finding:
    """The connection broke, or no answer came, in answer to a bad request: it is asked once more with the valid one."""
    valid = method_calls.call_valid(session, method, min(session.timeout, 2.0))
    seen = f"{method.path}, {bad.description}: {reply}; then the valid request: {valid}"
    check = f"Check the request before the model sees it:\n{_require_field(method)}"
    if reply.connection_lost:
        ended = not valid.ok or session.server_ended()
        what = "the server's process" if ended else "the connection"
        note = f"; {silence.health_word(session)}" if ended else ""
        return failed(
            f"{seen}{note}{session.exit_note()}",
            f"The bad request ({bad.description}) ends {what}. Native code that crashes, an exit and too little memory "
            "do that. Anyone who can reach the port can do it.",
            f"Look at the server's log and exit code. {check}",
        )
    cause = f"{method.name} never ends for this request ({bad.description})"
    if valid.ok:
        cause += ": it waits or loops because of a value that it does not expect, and occupies a worker."
    else:
        quiet = silence.observe(session)
        seen += f"; {quiet}"
        cause += f", and answers the valid one no longer. {quiet.cause(method.name)}"
    return failed(
        seen,
        cause,
        f"Refuse requests that the model cannot compute before it starts, and limit every loop and every wait. {check}",
    )


def _left_broken(session: Session, method: Method, after: Reply, sent: list[_BadRequest]) -> Finding:
    """The valid request is no longer answered after the bad ones."""
    descriptions = ", ".join(bad.description for bad in sent)
    stopped = stopped_answering(session, method, after, f", after {len(sent)} bad requests ({descriptions})")
    if after.connection_lost or after.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return stopped
    return failed(
        stopped.seen,
        f"{method.name} answered its valid request before the bad ones, and fails afterwards. If it is they that break "
        "it, one of them leaves something behind: a half-written attribute of the servicer or the model, or a lock "
        f"that was not released. {stopped.cause}",
        "Keep what belongs to one request in local variables, and release locks with `with lock:`.\n" + stopped.remedy,
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
                    request = {module(method.input.file.name)}.{method.input.name}.FromString(data)
                except google.protobuf.message.DecodeError:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "not a valid {method.input.full_name}")
            """,
        )
    zero = " Protobuf reads a missing number as 0, so the answer is wrong and nobody notices."
    return failed(
        seen,
        f"{method.name} computes an answer for requests that the contract forbids: they are not compared with "
        "schema.yaml." + (zero if any(bad.description.endswith(_MISSING) for bad in accepted) else ""),
        "Check each field before the model sees it, and report every violation by name:\n"
        + _refuse(method, accepted[0])
        + "`protoserve new` generates these checks. If the server is right and the limit too narrow, change it in "
        "schema.yaml.",
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
                        {check_of_field(method)}
                            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "{first_field(method)}: is required")
                        try:
                            return self.answer(request)
                        except Exception:
                            logging.exception("{method.name} failed")
                            failed = True
                        if failed:  # not in `except`: abort raises
                            context.abort(grpc.StatusCode.INTERNAL, "the server failed to answer")
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
        f"Answer the caller's mistakes with INVALID_ARGUMENT, and name the field:\n{_refuse(method, blamed[0][0])}",
    )


def _refuses_well(method: Method, answers: _Answers) -> Finding:
    refused = sum(not reply.ok for _, reply in answers)
    examples = "; ".join(f"{bad.description}: {reply.code.name}" for bad, reply in answers[:3])
    return passed(
        f"{method.name}: {len(answers)} bad requests, {refused} refused ({examples}); then a valid one is answered"
    )


def _require_field(method: Method) -> str:
    """Code that refuses a request without its first field."""
    return (
        f"    def {method.name}(self, request, context):\n"
        f"        {check_of_field(method)}\n"
        f'            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "{first_field(method)}: is required")\n'
        "grpc.aio: `await context.abort(...)`.\n"
    )


def _refuse(method: Method, bad: _BadRequest) -> str:
    """Code that refuses this bad request in the words of the contract."""
    violation = bad.description
    if violation.endswith(_MISSING):
        violation = f"{violation.removesuffix(_MISSING)}: is required"
    if violation == _EMPTY:
        violation = f"{first_field(method)}: is required"
    text = violation.replace("\\", "\\\\").replace('"', '\\"')
    return (
        f"    def {method.name}(self, request, context):\n"
        f'        if ...:\n            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "{text}")\n'
        "grpc.aio: `await context.abort(...)`.\n"
    )


CHECK = Check("bad-input", "bad requests are refused and harm nothing", run, after="serialization")
