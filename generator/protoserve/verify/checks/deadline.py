"""`deadline`: what nobody waits for any more is not computed."""

from __future__ import annotations

import math
import statistics
import time

import grpc

from protoserve.verify.checks import calls
from protoserve.verify.checks.base import Check
from protoserve.verify.client import Call, Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, passed, skipped
from protoserve.verify.session import Session, lost
from protoserve.verify.traffic import NOTHING

_GENEROUS = 30.0
_QUICK = 0.05
_SLOW = 2.0
_FEWEST, _MOST = 8, 40  # calls that expire
_SHORTEST = 0.02
_CONTROLS = 5
_TOGETHER = 4  # calls that are sent at once
_TIMES = 3  # that a moment is measured in which a busy machine may hold things up: the least is the server's


def run(session: Session) -> Finding:
    methods = calls.able(session)
    if not methods:
        return calls.unable(session)
    usual: dict[str, float] = {}
    for method in methods:
        for timeout in (_GENEROUS, max(1.0, 10 * usual.get(method.path, 0.0))):
            reply = calls.ask_valid(session, method, timeout)
            if reply.code is grpc.StatusCode.DEADLINE_EXCEEDED and reply.seconds < 0.5 * min(timeout, session.left()):
                return _hasty(method, timeout, reply)
            if finding := calls.gone(session, method, reply):
                return finding
            usual[method.path] = min(reply.seconds, usual.get(method.path, reply.seconds))
            if reply.seconds > _SLOW:
                break  # enough is known
    slowest = max(methods, key=lambda method: usual[method.path])
    seconds = usual[slowest.path]
    if _QUICK <= seconds < _SLOW / _TIMES:
        seconds = min(seconds, *(calls.ask_valid(session, slowest, _GENEROUS).seconds for _ in range(_TIMES)))
    if seconds < _QUICK:
        said = f"{slowest.name} answers within {1000 * seconds:.0f} ms"
        return passed(f"{said}, too quick for a deadline to matter; deadlines of {_GENEROUS:.0f} s and 1 s are fine")
    if seconds > _SLOW or session.left() < _needed(seconds):
        return skipped(f"{slowest.name} takes {seconds:.1f} s a call, too long to try expired calls in one run")
    return _expire(session, slowest, seconds)


def _patience(usual: float) -> float:
    """How long a call may take after expired ones: for those under way, which few servers can stop, and itself."""
    return 4 * usual + 1


def _count(usual: float) -> int:
    """So many calls take half as long again, one after the other, as is waited for the next one."""
    return max(_FEWEST, min(_MOST, math.ceil(1.5 * _patience(usual) / usual)))


def _needed(usual: float) -> float:
    """Seconds that a run must have left for this."""
    return 2 * _count(usual) * usual + 10


def _expire(session: Session, method: Method, usual: float) -> Finding:
    """Calls whose deadline passes while they are computed or wait for it, and then one that somebody waits for."""
    short, most = max(_SHORTEST, 0.8 * usual), _patience(usual)
    request = session.request(method).data

    def start(timeout: float) -> Call:
        stream, many = method.takes_stream, method.gives_stream
        return session.client.start(method.path, request, timeout, stream=stream, many=many)

    for _ in range(2):
        expiring = [start(short) for _ in range(_count(usual))]
        replies = [call.reply() for call in expiring]
        normal = start(most)
        controls: list[Reply] = []
        while not normal.done() and len(controls) < _CONTROLS:
            controls.append(session.client.call(NOTHING, b"", most))
            time.sleep(min(0.05, session.left()))
        reply = normal.reply()
        if not reply.ok or reply.seconds < 3 * usual or session.left() < _needed(usual):
            break  # else it waited, though not too long: of a busy machine's calls few may have reached the server
    ended = sum(each.code is grpc.StatusCode.DEADLINE_EXCEEDED for each in replies)
    seen = (
        f"{method.name} takes {usual:.2f} s; after {ended} calls whose deadline of {short:.2f} s passed, the next one: "
        f"{reply}"
    )
    if reply.ok:
        return passed(seen)
    if lost(reply):
        calls.spoiled(session, method, reply)
        return _stuck(method, seen)
    if reply.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
        return skipped(f"{seen}; that is no matter of deadlines")
    control = statistics.median(control.seconds for control in controls)
    if control > max(0.1, 0.3 * usual):
        return skipped(
            f"even a method that does not exist is answered only after {control:.1f} s; health-honest tells why"
        )
    return _late(session, method, usual, seen)


def _late(session: Session, method: Method, usual: float, seen: str) -> Finding:
    """Whether the expired calls were still waiting to be computed, or had all been under way from the start."""
    drained = calls.ask_valid(session, method, min(2 * _count(usual) * usual + 2, session.timeout))
    if not drained.ok:
        calls.spoiled(session, method, drained)
        return _stuck(method, f"{seen}; and then: {drained}")
    first, turns = math.inf, 0 if method.gives_stream else _TIMES
    while turns and first > 1.6 * usual and session.left() > 10 * usual + 2:
        first, turns = min(first, _first(session, method, 10 * usual + 2)), turns - 1
    if first > 1.6 * usual:
        # All begin at once and share the processor: these calls had begun before their deadline passed.
        return passed(f"{seen}; it computes many calls at once, and finishes what it began")
    return failed(
        seen,
        f"{method.name} computes requests whose caller has given up: they wait in a queue of the server's own, and "
        "nobody looks at their deadline when their turn comes. Under load it then works on what is late already, and "
        "no answer is ever in time.",
        f"""
        Look, when a request's turn comes, whether somebody still waits for it:
            def {method.name}(self, request, context):
                ...
                if not context.is_active():          # in the worker, before the model is called
                    return
        grpc.aio: keep the future of each queued request, and drop those with `future.cancelled()`; batchers: filter the
        batch first. Go: ctx.Err() != nil. Java: Context.current().isCancelled(). Node: call.cancelled.
        """,
    )


def _first(session: Session, method: Method, timeout: float) -> float:
    """Seconds until the first of some calls that are sent together is answered."""
    request = session.request(method).data
    together = [
        session.client.start(method.path, request, timeout, stream=method.takes_stream) for _ in range(_TOGETHER)
    ]
    return min(call.reply().seconds for call in together)


def _stuck(method: Method, seen: str) -> Finding:
    return failed(
        seen,
        f"After calls that were given up, {method.name} never answers again: the worker or the loop that computes "
        "ended when it wanted to answer a call that was gone (setting the result of a cancelled future raises "
        "InvalidStateError), or a lock was never released.",
        """
        Answer only those that still wait, and let no exception end the worker:
            if not future.cancelled():
                future.set_result(reply)
        """,
    )


def _hasty(method: Method, timeout: float, reply: Reply) -> Finding:
    return failed(
        f"{method.path}, with a deadline of {timeout:.0f} s: {reply}",
        f"{method.name} says DEADLINE_EXCEEDED long before the deadline: the server has a limit of its own that is far "
        "shorter, or misreads the time that is left (milliseconds for seconds).",
        """
        Use the call's own time: context.time_remaining() is in seconds, and None or endless without a deadline.
        Where the server gives up by itself for another reason, UNAVAILABLE or RESOURCE_EXHAUSTED says so.
        """,
    )


CHECK = Check("deadline", "deadlines are honoured", run, after="serialization")
