"""`bad-input`: what is wrong with a request is told to the caller; the server lives on and keeps its internals."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import grpc

from protoserve.verify.broken import broken
from protoserve.verify.checks import calls
from protoserve.verify.checks.base import Check
from protoserve.verify.client import Reply
from protoserve.verify.conformance import request_violations
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, passed, warned
from protoserve.verify.session import Session, lost

# No parser of any language takes these: a tag that never ends, and a text that begins like a group which never ends.
_GARBAGE = (("random bytes", b"\xff" * 16), ("JSON in place of a message", b'{"instances": [[5.1, 3.5, 1.4, 0.2]]}'))
# Code of the server's author ran, and its exception or its place in the source is told.
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
_FAULTS = (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)


@dataclass(frozen=True, slots=True)
class _Bad:
    """A bad request: `message` is whether it parses, `forbidden` whether the contract says that it must be refused."""

    what: str
    data: bytes
    message: bool
    forbidden: bool


def run(session: Session) -> Finding:
    methods = calls.able(session)
    return calls.together(_judge(session, method) for method in methods) if methods else calls.unable(session)


def _judge(session: Session, method: Method) -> Finding:
    timeout = calls.patience(session, session.replies[method.path].seconds)
    before = calls.ask_valid(session, method, timeout)
    if finding := calls.gone(session, method, before):
        return finding
    answers: list[tuple[_Bad, Reply]] = []
    for bad in _requests(session, method):
        reply = session.ask(method, bad.data, timeout)
        seen = f"{method.path}, {bad.what}: {reply}"
        if lost(reply) or calls.silent(reply, timeout):
            calls.spoiled(session, method, reply)
        if lost(reply):
            return _died(session, method, seen, timeout)
        if calls.silent(reply, timeout):
            return _hangs(method, seen)
        answers.append((bad, reply))
    after = calls.ask_valid(session, method, timeout)
    if not after.ok:
        calls.spoiled(session, method, after)
    if lost(after):
        return _died(session, method, f"{method.path}, after {len(answers)} bad requests: {after}", timeout)
    if not after.ok:
        return _changed(method, f"{method.path}: the valid request, after {len(answers)} bad ones: {after}")
    return _accepted(method, answers) or _leaks(method, answers) or _vague(method, answers) or _fine(method, answers)


def _requests(session: Session, method: Method) -> Iterator[_Bad]:
    """What to send: at most 15 requests a method, 3 where only the types are known."""
    for what, data in _GARBAGE:
        yield _Bad(what, data, message=False, forbidden=True)
    contract = session.interface.contract_of(method) if session.interface is not None else None
    valid = session.request(method).data
    if method.input.fields and valid:
        empty = contract is not None and bool(request_violations(contract, method.name, method.request()))
        yield _Bad("an empty request", b"", message=True, forbidden=empty)
    if contract is not None:
        message = method.request()
        message.ParseFromString(valid)
        for what, data in broken(contract, method.name, message):
            if data:  # an empty one was sent already
                yield _Bad(what, data, message=True, forbidden=True)


def _died(session: Session, method: Method, seen: str, timeout: float) -> Finding:
    again = calls.ask_valid(session, method, min(timeout, 2.0))
    told = f"; {session.process.told()}" if session.process is not None and session.process.ended() else ""
    return failed(
        f"{seen}; then the valid request: {again}{told}",
        f"A bad request ends the server's process (or at least the connection): {method.name} crashes in native code, "
        "calls exit, or runs out of memory on it. Anyone who can reach the port can stop the server.",
        f"""
        Look at the server's log and exit code. Check the request before the model sees it:
            def {method.name}(self, request, context):
                if not request.values:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: is required")
        """,
    )


def _hangs(method: Method, seen: str) -> Finding:
    return failed(
        seen,
        f"{method.name} never ends for this request: it waits or loops on a value that it did not expect, and keeps a "
        "worker for ever.",
        f"""
        Refuse what the model cannot compute before it starts:
            def {method.name}(self, request, context):
                if not request.values:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: is required")
        (grpc.aio: `await context.abort(...)`), and give every loop and every wait in it a bound.
        """,
    )


def _changed(method: Method, seen: str) -> Finding:
    return failed(
        seen,
        f"A bad request leaves something behind that breaks {method.name} for all who come after: a half-written "
        "field of the servicer or the model, a lock that was not released.",
        "Keep what belongs to one request in local variables, and release locks with `with lock:`.",
    )


def _accepted(method: Method, answers: list[tuple[_Bad, Reply]]) -> Finding | None:
    """OK where a request had to be refused."""
    taken = [(bad, reply) for bad, reply in answers if bad.forbidden and reply.ok]
    if not taken:
        return None
    seen = f"{method.path} answers OK to: " + "; ".join(bad.what for bad, _ in taken[:6])
    if any(not bad.message for bad, _ in taken):
        return failed(
            seen,
            f"The bytes are no {method.input.full_name}, and are answered all the same: the handler takes raw bytes "
            "and never parses them, or it swallows the error.",
            f"""
            Register the servicer with its stubs, which parse; or parse yourself and say what is wrong:
                try:
                    request = prediction_pb2.{method.input.name}.FromString(data)
                except google.protobuf.message.DecodeError:
                    context.abort(grpc.StatusCode.INVALID_ARGUMENT, "the bytes are no {method.input.full_name}")
            """,
        )
    return failed(
        seen,
        f"{method.name} computes an answer for requests that the contract forbids: nothing compares them with "
        "schema.yaml. A number that is missing reads as 0 in protobuf, so the answer is wrong without anyone knowing.",
        """
        Check each field before the model sees it, and tell all that is wrong by name:
            if not request.HasField("amount"):
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, "amount: is required")
        (grpc.aio: `await context.abort(...)`.) `protoserve new` generates these checks; where the server is right and
        the limit too narrow, change it in schema.yaml.
        """,
    )


def leak(reply: Reply, message: bool = True) -> str | None:
    """What an error's text tells of the server's inside; of bytes that are no message, the framework may tell much."""
    if reply.ok:
        return None
    patterns = [
        _STACK,
        *([_INTERNALS] if message else []),
        *([_EXCEPTION] if message and reply.code in _FAULTS else []),
    ]
    return next((found[0] for pattern in patterns if (found := pattern.search(reply.details))), None)


def _leaks(method: Method, answers: list[tuple[_Bad, Reply]]) -> Finding | None:
    for bad, reply in answers:
        if found := leak(reply, bad.message):
            return failed(
                f'{method.path}, {bad.what}: {reply}; "{found}" is the server\'s own',
                f"{method.name} raises an exception on a bad request, and its text goes to the caller: it shows code, "
                "types or paths, and does not say what is wrong with the request.",
                f"""
                Check the request first, and let no exception out of the method with its text:
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
                grpc.aio: `await context.abort(...)`. Node: call back with {{code, details}} of your own. Go:
                status.Error.
                """,
            )
    return None


def _vague(method: Method, answers: list[tuple[_Bad, Reply]]) -> Finding | None:
    """INTERNAL or UNKNOWN for what is the caller's own mistake."""
    wrong = [(bad, reply) for bad, reply in answers if bad.message and bad.forbidden and reply.code in _FAULTS]
    if not wrong:
        return None
    return warned(
        f"{method.path}: " + "; ".join(f"{bad.what}: {reply.code.name}" for bad, reply in wrong[:6]),
        f"{method.name} refuses what the contract forbids as if it were the server's fault: callers cannot tell what "
        "to mend, and many try again, or page the operator.",
        """
        Answer the caller's mistakes with INVALID_ARGUMENT, and name the field:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "amount: must be from 0 to 30; got 99")
        """,
    )


def _fine(method: Method, answers: list[tuple[_Bad, Reply]]) -> Finding:
    refused = sum(not reply.ok for _, reply in answers)
    few = "; ".join(f"{bad.what}: {reply.code.name}" for bad, reply in answers[:3])
    count = len(answers)
    return passed(f"{method.name}: {count} odd requests, {refused} refused ({few}); then a valid one is answered")


CHECK = Check("bad-input", "bad requests are refused and harm nothing", run, after="serialization")
