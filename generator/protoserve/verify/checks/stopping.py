"""A method that answered its valid request and no longer does: noticed in whichever check it happens, reported once.

A reply that is not the declared message does not count as an answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import grpc
from google.protobuf.message import Message

from protoserve.verify.checks import serialization, silence
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.method_calls import (
    OVERLOAD,
    PATIENCE,
    call_alone,
    call_valid,
    timeout_for,
    usual_seconds,
    working_methods,
)
from protoserve.verify.checks.silence import Silence
from protoserve.verify.error_texts import says_not_ready
from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import (
    GIVE_TIME,
    Finding,
    Verdict,
    combined,
    deferred,
    failed,
    first_with,
    unjudged,
    warned,
)
from protoserve.verify.session import Session
from protoserve.verify.targets.crash_causes import crash_cause
from protoserve.verify.traffic import NO_SUCH_METHOD

Messages = tuple[bytes, ...]
_MORE_CALLS = 3  # after an error, to see whether it was the only one
_PAUSE = 0.1
_CONTROL_SECONDS = 2.0
_PATIENCE = 1.0  # seconds that a busy server gets after a failure
_MOST_SILENT = 2  # methods; after that the others are not asked any more


def judged(check: Check, session: Session, judge: Callable[[], Finding]) -> Finding:
    """The finding of `judge`, which is the check's; a failure if a method stopped answering meanwhile.

    Later checks leave alone what no longer answers, and refer to this one.
    """
    finding = judge()
    if check.ends_server:
        return finding
    suspects = _suspects(session)
    if finding.verdict is not Verdict.FAIL:
        for method in suspects:
            reply = call_alone(session, method, _patient_timeout(session, method))
            if not reply.ok and not _was_cut_short(session, reply):
                finding = stopped_answering(session, method, reply)
                break
    changes = list(_changed(session))
    if (other_message := first_with(changes, Verdict.FAIL)) is not None:
        finding = other_message  # which also explains what the check itself saw
    elif changes:
        finding = combined([finding, *changes])
    if finding.verdict is Verdict.FAIL and (suspects or session.failing or session.lost or _is_unwell(session)):
        _record_stopped(session, check)
    session.failing.clear()
    session.lost = False
    return finding


def _patient_timeout(session: Session, method: Method) -> float:
    """For a server that may still work off what the check has sent."""
    return min(session.timeout, 10 * usual_seconds(session, method) + 5)


def _suspects(session: Session) -> list[Method]:
    """The methods that answered before, and whose last call ended with an error."""
    return [
        method
        for method in session.methods
        if (log := session.log(method)).answered
        and not log.last_ok
        and method.path not in session.stopped
        and method.path not in session.backlogged
    ]


def _changed(session: Session) -> Iterator[Finding]:
    """Findings on methods whose valid request got the declared message, and now gets something else.

    The last reply of each method shows which they may be: it may have been that to a bad request.
    """
    for method in working_methods(session):
        before, last = session.replies[method.path].messages, session.log(method).messages
        if method.path in session.changed or method.path in session.backlogged:
            continue
        if serialization.fault_in_replies(session, method, before) is None and _differs(session, method, before, last):
            fault = _fault_now(session, method, before)
            if fault is not None:
                session.changed.add(method.path)
                yield fault


def _differs(session: Session, method: Method, before: Messages, now: Messages) -> bool:
    """Whether these messages are not the declared ones, or have nothing in them where earlier ones had content."""
    return serialization.fault_in_replies(session, method, now) is not None or _is_emptied(method, before, now)


def _is_emptied(method: Method, before: Messages, now: Messages) -> bool:
    """Whether texts, lists or messages are gone. (A number or a bool without bytes may just have become 0 or false.)"""
    return bool(now) and not any(now) and any(_has_content(method, data) for data in before)


def _has_content(method: Method, data: bytes) -> bool:
    message = method.response()
    message.ParseFromString(data)
    return any(field.is_repeated or isinstance(value, str | bytes | Message) for field, value in message.ListFields())


def _fault_now(session: Session, method: Method, before: Messages) -> Finding | None:
    """What is wrong with the answer to the valid request, sent alone. Empty ones must come several times in a row."""
    for _ in range(_MORE_CALLS):
        reply = call_alone(session, method, _patient_timeout(session, method))
        if not reply.ok or not _differs(session, method, before, reply.messages):
            return None
        if fault := serialization.fault_in_replies(session, method, reply.messages):
            if fault.verdict is Verdict.FAIL:
                session.failing.add(method.path)
            cause = f"{method.name} answers with something else than before. {fault.cause}"
            return replace(fault, seen=f"{fault.seen}, {_since_when(session, method)}", cause=cause)
    return warned(
        f"{method.path}: 0 bytes, {_MORE_CALLS} times in a row, {_since_when(session, method)}",
        f"{method.name} answers with an empty {method.output.name}, and had content for the same request: what it "
        "answers from is used up, closed or broken, and an error is taken for an answer.",
        f"Let {method.name} fail with a status where it has no answer, so that callers and health can see it.",
    )


def _since_when(session: Session, method: Method) -> str:
    return (
        f"{session.age():.1f} s after the start, in call {session.log(method).ended} of {method.name}; earlier in this "
        f"run the same request got a {method.output.full_name}; {silence.health_word(session)}"
    )


def _is_unwell(session: Session) -> bool:
    """Whether the call of some method ended with the connection, or not at all."""
    replies = session.replies.values()
    return any(reply.connection_lost or reply.code is grpc.StatusCode.DEADLINE_EXCEEDED for reply in replies)


def error_of_valid_request(session: Session, method: Method, reply: Reply) -> Finding | None:
    """A failure if the reply to the valid request, sent alone, is an error although it was answered before."""
    return None if reply.ok else stopped_answering(session, method, reply)


def stopped_answering(session: Session, method: Method, reply: Reply, during: str = "") -> Finding:
    """The failure of a method that answered before: when, after how many calls, and what health says meanwhile.

    `reply` is the error; `during` says what else was under way. A call that only the end of the run cut short proves
    nothing.
    """
    if _was_cut_short(session, reply):
        return unjudged(f"{method.path}: no answer when the time of this run was over", GIVE_TIME)
    session.failing.add(method.path)
    log = session.log(method)
    when = (
        f"{session.age():.1f} s after the start, in call {log.ended} of {method.name} ({log.answered} answered with OK)"
    )
    stop = _observe(session, method, reply)
    seen = f"{method.path}: {reply}{during}, {when}; {stop.again}; {stop.silence}{session.exit_note()}"
    return failed(seen, stop.cause(session, method.name), _remedy(session, method, stop.silence))


def _was_cut_short(session: Session, reply: Reply) -> bool:
    """Whether the end of the run ended the call."""
    return reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and not session.left()


@dataclass(frozen=True, slots=True)
class _Stop:
    """An error of a method that answered before; what the next calls showed, and what else the server answers."""

    reply: Reply
    recovered: bool
    again: str
    silence: Silence

    def cause(self, session: Session, name: str) -> str:
        if session.server_ended():
            assert session.process is not None
            return f"The server's process has ended. {crash_cause(session.process.exit_report())[0]}"
        if self.recovered:
            return (
                f"{name} fails for a valid request that it answers before and after: it depends on something that is "
                "not always there, or not always right (a connection, a cache, another call, the time)."
            )
        if self.reply.connection_lost or self.reply.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self.silence.cause(name)
        return _broken(name, self.reply, self.silence)


def _observe(session: Session, method: Method, reply: Reply) -> _Stop:
    """Calls the method again, unless it hangs, and looks at what else the server answers."""
    if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return _Stop(reply, False, "no further call was made", silence.observe(session))
    replies: list[Reply] = []
    while len(replies) < _MORE_CALLS and session.left():
        time.sleep(min(_PAUSE, session.left()))
        replies.append(call_valid(session, method, timeout_for(session, usual_seconds(session, method))))
        if replies[-1].ok or replies[-1].code is grpc.StatusCode.DEADLINE_EXCEEDED:
            break
    recovered = bool(replies) and replies[-1].ok
    if recovered:
        again = (
            "the next call is answered" if len(replies) == 1 else f"the call after {len(replies)} errors is answered"
        )
    else:
        again = f"{len(replies)} more, and the last one: {replies[-1]}" if replies else "no time for another call"
    return _Stop(reply, recovered, again, silence.observe(session))


def _broken(name: str, reply: Reply, quiet: Silence) -> str:
    if says_not_ready(reply):
        cause = f"{name} answered, and now says that the server is not ready: its model was unloaded or has broken."
    elif reply.code in OVERLOAD:
        cause = (
            f"{name} refuses a single call for lack of room, {PATIENCE:.0f} s after all others have ended: calls that "
            "have ended are still counted, or it is not room that is missing."
        )
    else:
        cause = (
            f"{name} fails for the request that it answered before: something that it needs is used up, closed or "
            "broken (an iterator, a session, a connection, memory of a device), and nothing restores it."
        )
    if quiet.health.status == "SERVING":
        cause += " Health says SERVING all the same, so that platforms go on sending requests."
    return cause


def _remedy(session: Session, method: Method, quiet: Silence) -> str:
    if quiet.unknown.connection_lost:
        return "Look at the server's log and exit code, and at what stands between it and its callers."
    if quiet.health.status == "NOT_SERVING":  # health follows already
        return f"Look at the server's log for the first error of {method.name}, and repair what broke."
    services = session.interface.services if session.interface is not None else ()
    return f"""
        Look at the server's log for the first error of {method.name}. If the server cannot repair what broke, let
        health say so, and end the process, so that the platform starts another one:
            for name in ("", "{next(iter(services), method.service)}"):
                checks.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)    # grpc.aio: await checks.set(...)
        """


def _record_stopped(session: Session, check: Check) -> None:
    """Remembers which methods no longer answer, and that this check reports it."""
    quiet, silent = silence.observe(session), 0
    methods = {method.path: method for method in (*_suspects(session), *working_methods(session))}
    for method in methods.values():
        reply = None
        if method.path not in session.failing and not quiet.server_is_silent and silent < _MOST_SILENT:
            reply = call_alone(session, method, timeout_for(session, usual_seconds(session, method)), _PATIENCE)
            silent += reply.code is grpc.StatusCode.DEADLINE_EXCEEDED
        if reply is None or not reply.ok:
            session.stopped[method.path] = check.id
    if quiet.server_is_silent or (quiet.handlers_are_silent and not working_methods(session)):
        session.unresponsive = check.id


def server_is_gone(session: Session, reply: Reply, asked: str) -> Finding | None:
    """A finding if the answer to a call (`asked` says which) shows that the server has ended or answers nothing.

    None if the answer speaks for itself.
    """
    silent = reply.code is grpc.StatusCode.DEADLINE_EXCEEDED
    if silent and not session.unresponsive:
        silent = session.client.call(NO_SUCH_METHOD, b"", _CONTROL_SECONDS).code is grpc.StatusCode.DEADLINE_EXCEEDED
    if not reply.connection_lost and not silent:
        return None
    failure = _server_failure(session, reply, asked)
    if session.unresponsive:
        return deferred(session.unresponsive, failure)
    session.lost = True
    return failure


def _server_failure(session: Session, reply: Reply, asked: str) -> Finding:
    calls = sum(session.log(method).ended for method in session.methods)
    seen = f"{asked}: {reply}, {session.age():.1f} s after the start and after {calls} calls of its methods"
    if session.server_ended():
        assert session.process is not None
        last_words = session.process.exit_report()
        cause, remedy = crash_cause(last_words)
        return failed(f"{seen}; {last_words}", f"The server ended by itself. {cause}", remedy)
    if reply.connection_lost:
        cause = silence.why_lost(reply)
    else:
        cause = (
            "Nothing is answered any more, not even a call of a method that does not exist: the process stands still."
        )
    return failed(
        seen,
        f"{cause} It answered earlier in this run.",
        "Look at the server's log and exit code for what happened at that moment.",
    )
