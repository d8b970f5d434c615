"""`deadline`: the server does not compute requests whose caller no longer waits."""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import replace

import grpc

from protoserve.verify.checks import method_calls, stopping
from protoserve.verify.checks.check import Check
from protoserve.verify.grpc_client import Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, deferred, failed, passed, skipped
from protoserve.verify.session import Session
from protoserve.verify.traffic import NO_SUCH_METHOD

_LONG_DEADLINE = 30.0
_QUICK = 0.05
_SLOW = 2.0
_MIN_CALLS, _MAX_CALLS = 8, 40  # calls that expire
_SHORTEST_DEADLINE = 0.02
_CONTROL_CALLS = 5
_PARALLEL_CALLS = 4
_REPEATS = 3  # of a measurement that a busy machine may delay: the least counts


def run(session: Session) -> Finding:
    methods = method_calls.working_methods(session)
    if not methods:
        return method_calls.no_working_method(session)
    usual: dict[str, float] = {}
    for method in methods:
        if finding := _try_generous_deadlines(session, method, usual):
            return finding
    slowest = max(methods, key=lambda method: usual[method.path])
    seconds = usual[slowest.path]
    if _QUICK <= seconds < _SLOW / _REPEATS:
        seconds = min(
            seconds, *(method_calls.call_valid(session, slowest, _LONG_DEADLINE).seconds for _ in range(_REPEATS))
        )
    if seconds < _QUICK:
        return passed(
            f"{slowest.name} answers within {1000 * seconds:.0f} ms, too quick for a deadline to matter; deadlines of "
            f"{_LONG_DEADLINE:.0f} s and 1 s are fine"
        )
    if (finding := method_calls.too_large_together(session, slowest)) is not None:
        return finding
    if seconds > _SLOW or session.left() < _required_time(seconds):
        return skipped(f"{slowest.name} takes {seconds:.1f} s a call, too long to let calls expire in one run")
    return _let_calls_expire(session, slowest, seconds)


def _try_generous_deadlines(session: Session, method: Method, usual: dict[str, float]) -> Finding | None:
    """Calls the method with deadlines that it can meet, and adds the seconds that it takes to `usual`."""
    timeout = _LONG_DEADLINE
    for _ in range(2):
        reply = method_calls.call_alone(session, method, timeout)
        if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and reply.seconds < 0.5 * min(timeout, session.left()):
            return _gives_up_early(method, timeout, reply)
        if finding := stopping.error_of_valid_request(session, method, reply):
            return finding
        usual[method.path] = min(reply.seconds, usual.get(method.path, reply.seconds))
        if reply.seconds > _SLOW:
            break  # too slow for this check anyway
        timeout = max(1.0, 10 * reply.seconds)
    return None


def _next_call_timeout(usual: float) -> float:
    """How long the call after the expired ones may take: few servers stop those that are in progress."""
    return 4 * usual + 1


def _call_count(usual: float) -> int:
    """So many calls that, one after the other, they take half as long again as the next call may take."""
    return max(_MIN_CALLS, min(_MAX_CALLS, math.ceil(1.5 * _next_call_timeout(usual) / usual)))


def _required_time(usual: float) -> float:
    """The seconds that this takes at most."""
    return 2 * _call_count(usual) * usual + 10


def _let_calls_expire(session: Session, method: Method, usual: float) -> Finding:
    """Sends calls whose deadline passes while they are computed or queued, and then one that waits long enough."""
    deadline = max(_SHORTEST_DEADLINE, 0.8 * usual)
    for _ in range(2):
        expired, reply, control_seconds = _call_after_expired(session, method, usual, deadline)
        if not reply.ok or reply.seconds < 3 * usual or session.left() < _required_time(usual):
            break
        # The call waited, though not too long: on a busy machine few of the others may have reached the server.
    seen = (
        f"{method.name} takes {usual:.2f} s; after {expired} calls whose deadline of {deadline:.2f} s passed, the next "
        f"one: {reply}"
    )
    if reply.ok:
        return passed(seen)
    if method_calls.is_busy(reply):
        return passed(f"{seen}; what it had begun still takes its room")
    if reply.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
        drained = method_calls.call_alone(session, method, method_calls.timeout_for(session, usual))
        if not drained.ok:
            return _never_answers_again(session, method, seen, drained)
        return _fails_after_expired(method, seen)
    if control_seconds > max(0.1, 0.3 * usual):
        seen += f"; a method that does not exist is answered only after {control_seconds:.1f} s"
        # The whole server is blocked. If health-honest does not see that, it was the machine that was busy.
        return deferred("health-honest", skipped(f"{seen}, so it is not known why"))
    return _judge_late_answer(session, method, usual, seen)


def _call_after_expired(session: Session, method: Method, usual: float, deadline: float) -> tuple[int, Reply, float]:
    """How many calls expired, the answer to the next one, and the median seconds of control calls during that one.

    The control calls are of a method that does not exist, which a server that is not blocked refuses at once.
    """
    request, timeout = session.request(method).data, _next_call_timeout(usual)
    expiring = [session.start(method, request, deadline) for _ in range(_call_count(usual))]
    expired = sum(call.reply().code is grpc.StatusCode.DEADLINE_EXCEEDED for call in expiring)
    next_call = session.start(method, request, timeout)
    controls: list[float] = []
    while not next_call.done() and len(controls) < _CONTROL_CALLS:
        controls.append(session.client.call(NO_SUCH_METHOD, b"", timeout).seconds)
        time.sleep(min(0.05, session.left()))
    return expired, next_call.reply(), statistics.median(controls or [0.0])


def _judge_late_answer(session: Session, method: Method, usual: float, seen: str) -> Finding:
    """Whether the expired calls were waiting in a queue, or had all been in progress from the start."""
    drained = method_calls.call_alone(session, method, min(2 * _call_count(usual) * usual + 2, session.timeout))
    if not drained.ok:
        return _never_answers_again(session, method, seen, drained)
    if _answers_one_by_one(session, method, usual):
        return _computes_expired(method, seen)
    return passed(f"{seen}; it computes many calls at once, and finishes what it has begun")


def _answers_one_by_one(session: Session, method: Method, usual: float) -> bool:
    """Whether the first of several parallel calls is answered as quickly as a single call.

    If they share the processor instead, all of them had begun before their deadline passed.
    """
    if method.gives_stream:
        return False
    request, timeout = session.request(method).data, 10 * usual + 2
    for _ in range(_REPEATS):
        if session.left() <= timeout:
            return False
        parallel = [session.start(method, request, timeout) for _ in range(_PARALLEL_CALLS)]
        if min(call.reply().seconds for call in parallel) <= 1.6 * usual:
            return True
    return False


def _computes_expired(method: Method, seen: str) -> Finding:
    return failed(
        seen,
        f"{method.name} computes requests whose caller has given up: they wait in a queue of the server's own, and "
        "their deadline is not checked when their turn comes. Under load, the server then works on requests that are "
        "late already, and no answer is ever in time.",
        f"""
        When a request's turn comes, check whether the caller still waits:
            def {method.name}(self, request, context):
                ...
                if not context.is_active():          # in the worker, before the model is called
                    return
        grpc.aio: keep the future of each queued request, and drop those with `future.cancelled()`; batchers: filter the
        batch first. Go: ctx.Err() != nil. Java: Context.current().isCancelled(). Node: call.cancelled.
        """,
    )


def _never_answers_again(session: Session, method: Method, seen: str, last: Reply) -> Finding:
    """Neither the call after the expired ones nor a later one is answered."""
    stopped = stopping.stopped_answering(session, method, last, ", after calls that were given up")
    if last.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
        return replace(stopped, seen=f"{seen}; then {stopped.seen}")
    return failed(
        f"{seen}; then {stopped.seen}",
        f"After calls that were given up, {method.name} never answers again. {stopped.cause} In a server that answers "
        "through futures, setting the result of a cancelled one raises InvalidStateError, which ends its worker.",
        """
        Answer only calls that still wait, and let no exception end the worker:
            if not future.cancelled():
                future.set_result(reply)
        """,
    )


def _fails_after_expired(method: Method, seen: str) -> Finding:
    return failed(
        f"{seen}; a later one is answered",
        f"After calls that were given up, {method.name} fails once for a valid request: a caller that gives up "
        "disturbs the next one.",
        f"Look in the server's log for the exception. Nothing that a call of {method.name} leaves behind may reach the "
        "next one.",
    )


def _gives_up_early(method: Method, timeout: float, reply: Reply) -> Finding:
    return failed(
        f"{method.path}, with a deadline of {timeout:.0f} s: {reply}",
        f"{method.name} answers DEADLINE_EXCEEDED long before the deadline: the server has a far shorter limit of its "
        "own, or misreads the remaining time (milliseconds for seconds).",
        """
        Use the call's own deadline: context.time_remaining() is in seconds; without a deadline it is None or infinite.
        If the server gives up for another reason, answer UNAVAILABLE or RESOURCE_EXHAUSTED.
        """,
    )


CHECK = Check("deadline", "deadlines are honoured", run, after="serialization")
