"""`health-honest`: health says SERVING only when it is true, also under load, and its Watch works."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import grpc

from protoserve.verify.checks import method_calls, stopping
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.health_service import USE_STOCK, register_remedy, why_check_fails
from protoserve.verify.grpc_client import Client, Reply
from protoserve.verify.health_client import Health, Watch
from protoserve.verify.interface import Method
from protoserve.verify.report import GIVE_TIME, Deferral, Finding, Verdict, combined, failed, passed, unjudged, warned
from protoserve.verify.session import Session
from protoserve.verify.traffic import NO_SUCH_METHOD, Traffic

UNKNOWN_NAME = "protoserve.verify.v1.NoSuchService"
CONTROL_CALLS = 4
MIN_CHECKS = 3
_AT_ONCE = 0.15  # seconds: a call that only waits for a worker is refused sooner than one at a blocked event loop
PROBE_SECONDS = 1.0  # Kubernetes' default timeout of a probe
IN_FLIGHT = 32
LOAD_SECONDS = 0.8
MOST_CALLS = 64  # of each caller
_LONGEST_BACKLOG = 12.0  # seconds that are waited for a server to work off the load
_MARGIN = 2.0
_SETTLES = 3.0  # seconds that the calls in flight get to end by themselves
_CHECKS_AT_REST, _REST_PAUSE = 8, 0.15  # after load in which health did not say SERVING
_PAUSE = 0.05
WATCHES = 12
WATCH_SECONDS = 2.0
_STAYS_OPEN = 0.2
_WARM_UP_FACTOR = 10  # a first call that took this many times as long as the next was still loading or compiling


def run(session: Session) -> Finding:
    findings: list[Finding] = []
    with _probe_session(session) as prober:
        for part in (_starts_honestly, _unknown_name, _under_load, _watch):
            if not session.left():
                return unjudged("no time left in this run", GIVE_TIME)
            findings.append(part(session, prober))
            if findings[-1].verdict in (Verdict.FAIL, Verdict.SKIP):
                return findings[-1]
    return combined(finding for finding in findings if finding.seen)


@contextmanager
def _probe_session(session: Session) -> Iterator[Session]:
    """A session with a connection of its own, like that of a platform's probe."""
    client = Client(session.address, session.left, session.metadata)
    try:
        yield Session(session.address, client, session.timeout, session.ends)
    finally:
        session.client.requests += client.requests
        client.close()


def _starts_honestly(session: Session, _: Session) -> Finding:
    """Whether health said SERVING before the first method could answer."""
    readiness = session.readiness()
    first, settled = readiness.first_reply, readiness.settled_reply
    if not readiness.serving_after or first is None or settled is None:
        return passed("")
    if (premature := readiness.premature_reply) is not None:
        return _serving_too_early(session, premature, settled)
    if not first.ok or first.seconds < PROBE_SECONDS:
        return passed("")
    method, serving_after = session.methods[0], min(readiness.serving_after.values())
    second = session.ask(method, session.request(method).data)
    if not second.ok or second.seconds * _WARM_UP_FACTOR > first.seconds:
        return passed("")  # the model is always that slow
    finding = warned if session.process is None else failed  # others may have called a server that ran before
    return finding(
        f"health says SERVING at {serving_after:.2f} s; a call of {method.path} sent then took {first.seconds:.2f} s, "
        f"the next one {second.seconds:.2f} s",
        f"The first call of {method.name} waits for something that later calls do not wait for: either the model was "
        "still loading while health said SERVING, or it is loaded (or compiled) at the first call.",
        register_remedy(session),
    )


def _serving_too_early(session: Session, premature: Reply, settled: Reply) -> Finding:
    """SERVING, while the first method says or shows that its model is not there."""
    readiness, method = session.readiness(), session.methods[0]
    at = min(readiness.serving_after.values())
    words = [f'"{name}" says SERVING at {seconds:.2f} s' for name, seconds in readiness.serving_after.items()]
    words += [f'"{name}": {health}' for name, health in readiness.last.items() if name not in readiness.serving_after]
    recovered = settled is not premature
    then = f"{settled.code.name} at {readiness.settled_after:.2f} s"
    if not recovered:
        then = f"the last of {readiness.attempts} calls, at {readiness.settled_after:.2f} s, ends in the same way"
    by_then = [name for name, seconds in readiness.serving_after.items() if seconds < at + _AT_ONCE]
    stock = ""
    if by_then == [""] and len(readiness.last) > 1:  # somebody sets the other name at the right time
        stock = ' It says so under the name "", with which the stock health servicer starts as SERVING.'
    return failed(
        f"health: {', '.join(words)}; {method.path} then answers {premature}; {then}",
        f"Health says SERVING before {method.name} can answer: the model, or something that it needs, was not there "
        + ("yet." if recovered else f"within {readiness.settled_after:.0f} s.")
        + f"{stock} A platform sends requests from then on, and they fail.",
        register_remedy(session),
    )


def _unknown_name(session: Session, _: Session) -> Finding:
    health = session.health(UNKNOWN_NAME)
    seen = f'Check of the unknown name "{UNKNOWN_NAME}": {health}'
    if health.reply.code is grpc.StatusCode.NOT_FOUND:
        return passed("NOT_FOUND for an unknown name")
    if (gone := stopping.server_is_gone(session, health.reply, f'Check of "{UNKNOWN_NAME}"')) is not None:
        return gone
    if health.status == "SERVING":
        return failed(
            seen,
            "Check answers SERVING for every name: a probe with a wrong name, or for a service that this server does "
            "not have, would succeed.",
            USE_STOCK,
        )
    if health.status is not None:
        return warned(
            seen,
            "Check answers OK with a status for a name that it does not know. The protocol requires NOT_FOUND, so that "
            "a wrong name is noticed.",
            USE_STOCK,
        )
    return failed(
        seen,
        f"Instead of answering NOT_FOUND, Check fails: {why_check_fails(health.reply)} for a name that "
        "it does not know.",
        USE_STOCK,
    )


def _under_load(session: Session, prober: Session) -> Finding:
    """Whether Check answers in time while a method is saturated with calls, and whether it is right to say SERVING."""
    session.answer_all()  # with --only, no method has been called yet
    method = next(iter(method_calls.working_methods(session)), None)
    if method is None:
        return passed(f"no load, since no method {'answers with OK' if session.methods else 'is known'}")
    slowest, count, unhealthy = 0.0, 0, None
    with Traffic(session, method, IN_FLIGHT, MOST_CALLS) as traffic:
        load_ends = time.monotonic() + LOAD_SECONDS
        time.sleep(_PAUSE)
        while (count < MIN_CHECKS or time.monotonic() < load_ends) and traffic.running() and session.left():
            health = prober.health("", PROBE_SECONDS)
            if health.status is None:
                return _unhealthy_under_load(session, method, prober, health)
            if health.status != "SERVING":
                unhealthy = health
                break
            slowest, count = max(slowest, health.reply.seconds), count + 1
            time.sleep(_PAUSE)
        in_flight = traffic.in_flight()
        replies = [call.reply for call in traffic.sent]
        traffic.settle(_SETTLES)  # so that the next call of the method is alone also at the server
    if unhealthy is not None:
        return _not_serving_under_load(session, method, prober, unhealthy)
    # This call returns once the server has worked off the load.
    backlog = IN_FLIGHT * _usual(session, method) + _MARGIN  # all of it, one call after the other
    last = method_calls.call_alone(session, method, min(backlog, _LONGEST_BACKLOG))
    during = f", alone after {IN_FLIGHT} callers at a time"
    if method_calls.timed_out(last, _LONGEST_BACKLOG) and backlog > _LONGEST_BACKLOG:
        session.backlogged.add(method.path)
        return passed(
            f"{count} Checks say SERVING under load, which {method.name} did not work off in {last.seconds:.0f} s"
        )
    if not last.ok:
        return stopping.stopped_answering(session, method, last, during)
    return _judge_load(method, replies, f"{count} Checks within {slowest * 1000:.0f} ms say SERVING", in_flight)


def _judge_load(method: Method, replies: Sequence[Reply], checks: str, in_flight: int) -> Finding:
    """What became of the calls while health said SERVING."""
    answered = sum(reply.ok for reply in replies)
    errors = [reply for reply in replies if not reply.ok and not method_calls.is_busy(reply)]
    refused = len(replies) - answered - len(errors)
    ends = f"{answered} answered" + (f", {refused} refused for lack of room" if refused else "")
    ends += (f", {len(errors)} failed" if errors else "") + (f", {in_flight} under way" if in_flight else "")
    seen = f"{checks} while {len(replies) + in_flight} calls of {method.name} ran, {IN_FLIGHT} at once: {ends}"
    if not errors:
        return passed(seen)
    failure = failed(
        f"{seen}, such as {errors[0]}; then a single call is answered",
        f"Health says SERVING while {method.name} fails for valid requests: it fails when many are in flight.",
        f"""
        Let one request at a time use what {method.name} shares: a lock, or one thread that owns the model. Refuse
        what is too much with RESOURCE_EXHAUSTED, so that callers try again.
        """,
    )
    return Finding(Verdict.PASS, seen, deferrals=(Deferral("concurrency", failure),))


def _unhealthy_under_load(session: Session, method: Method, prober: Session, health: Health) -> Finding:
    reply = health.reply
    seen = f'with {IN_FLIGHT} calls of {method.path} in flight, Check of "": {health}'
    if reply.connection_lost:
        asked = f'with {IN_FLIGHT} calls of {method.path} in flight, Check of ""'
        gone = stopping.server_is_gone(session, reply, asked)
        assert gone is not None
        return gone
    if reply.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return failed(
            seen,
            "A limit on the calls in flight of the whole server (maximum_concurrent_rpcs, a limiting interceptor) "
            "counts the health service too, so a busy server looks dead.",
            _limited_method(method),
        )
    if reply.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
        return failed(
            seen, "Check fails while the server is busy.", "Let Check only read a value, so that it cannot fail."
        )
    return _slow_under_load(method, prober, seen)


def _not_serving_under_load(session: Session, method: Method, prober: Session, health: Health) -> Finding:
    """Whether Check says so for want of a model, or because of the load: once that is over it is asked again."""
    if session.stopped:
        names = ", ".join(path.rpartition("/")[2] for path in session.stopped)
        checks = ", ".join(dict.fromkeys(session.stopped.values()))
        return passed(f'Check of "" says {health.status}, as it should: {names} no longer answers ({checks})')
    backlog = IN_FLIGHT * _usual(session, method) + _MARGIN
    last = method_calls.call_alone(session, method, min(backlog, _LONGEST_BACKLOG))
    if not last.ok:
        return stopping.stopped_answering(session, method, last, f", alone after {IN_FLIGHT} callers at a time")
    at_rest = _health_at_rest(session, prober)
    seen = f'with {IN_FLIGHT} calls of {method.path} in flight, Check of "": {health}; {len(at_rest)} Checks later: '
    seen += ", ".join(dict.fromkeys(at_rest))
    if {*at_rest} <= {"SERVING"}:
        return failed(
            seen,
            f"Health changes to {health.status} while the server is busy. A platform then sends it no requests, or "
            "restarts the container, and the other replicas have to bear its load as well.",
            "Say SERVING as long as the model can answer. Refuse excess requests in the method itself, with "
            "RESOURCE_EXHAUSTED.",
        )
    return failed(
        f"{seen}, with no call in flight; {method.name} is answered",
        f"Health says {health.status} although {method.name} is answered, also without load. A platform sends no "
        "requests to a server that could answer them, or restarts it.",
        "Let health say SERVING as long as the model answers, and change it only on evidence that it does not.",
    )


def _health_at_rest(session: Session, prober: Session) -> list[str]:
    """What Check says again and again while no call is in flight."""
    said: list[str] = []
    while len(said) < _CHECKS_AT_REST and session.left():
        time.sleep(_REST_PAUSE)
        said.append(str(prober.health("", PROBE_SECONDS)))
    return said


def _slow_under_load(method: Method, prober: Session, seen: str) -> Finding:
    """Check did not answer within PROBE_SECONDS: a server with busy workers still refuses an unknown method at once."""
    controls = [prober.client.call(NO_SUCH_METHOD, b"", PROBE_SECONDS) for _ in range(CONTROL_CALLS)]
    control = sorted(controls, key=lambda reply: reply.seconds)[CONTROL_CALLS // 2]  # a busy machine may delay one
    again = prober.health("", PROBE_SECONDS)
    only_workers_busy = control.code is grpc.StatusCode.UNIMPLEMENTED and control.seconds < _AT_ONCE
    if again.status is not None and only_workers_busy:
        return warned(
            f"{seen}; then {again} after {again.reply.seconds:.2f} s",
            "One Check took longer than a probe waits (1 s by default in Kubernetes), the next one did not: health is "
            "slow while the server is busy.",
            _free_worker(method),
        )
    seen += f"; again {again}; a method that does not exist: {control}"
    if only_workers_busy:
        return failed(
            seen,
            f"All worker threads are busy with {method.name}, and Check waits in their queue. (Calls that need no "
            "worker are answered, such as the refusal of a method that does not exist.) A probe gives up after 1 s, "
            "and the platform takes the busy server for a dead one.",
            _free_worker(method),
        )
    return failed(
        seen,
        f"The event loop is blocked: {method.name} computes on it (or holds the interpreter lock), so nothing else is "
        "answered, not even a call of a method that does not exist. A probe gives up after 1 s, and the platform takes "
        "the busy server for a dead one.",
        f"""
        Compute in a thread, so that the event loop stays free:
            async def {method.name}(self, request, context):
                return await asyncio.get_running_loop().run_in_executor(self.executor, self.predict, request)
        Node: compute in a worker thread (worker_threads), or in a process of its own.
        """,
    )


def _watch(session: Session, prober: Session) -> Finding:
    """Whether Watch streams the status, and many open Watches block nothing.

    What fails may also be a server that stopped answering meanwhile: with all Watches cancelled, it is asked again.
    """
    if session.stopped and prober.health("").status == "NOT_SERVING":
        return passed("")  # a Watch that says the same is right
    finding = _judge_watches(session, prober)
    if finding.verdict is not Verdict.FAIL:
        return finding
    if (gone := stopping.server_is_gone(session, prober.health("").reply, 'after a Watch, Check of ""')) is not None:
        return gone
    method = _idle_method(session)
    if method is None:
        return finding
    reply = method_calls.call_alone(session, method, method_calls.timeout_for(session, _usual(session, method)))
    return finding if reply.ok else stopping.stopped_answering(session, method, reply, ", while Watch was tried")


def _idle_method(session: Session) -> Method | None:
    """A method that works and has no backlog, so that its silence means something."""
    working = method_calls.working_methods(session)
    return next((method for method in working if method.path not in session.backlogged), None)


def _usual(session: Session, method: Method) -> float:
    """How many seconds a call of the method takes."""
    return session.replies[method.path].seconds


def _judge_watches(session: Session, prober: Session) -> Finding:
    watches = [Watch(prober.client, "", 4 * WATCH_SECONDS)]
    try:
        if (bad := _one_watch(watches[0])) is not None:
            return bad
        watches += [Watch(prober.client, "", 4 * WATCH_SECONDS) for _ in range(WATCHES - 1)]
        deadline = time.monotonic() + WATCH_SECONDS
        answered = sum(watch.wait_for_message(max(0.0, deadline - time.monotonic())) for watch in watches)
        if (bad := _blocked_by_watches(session, prober, answered)) is not None:
            return bad
        if watches[0].end is not None:
            return _ended_watch("SERVING", watches[0].end)
    finally:
        for watch in watches:
            watch.cancel()
    after = prober.health("")
    if after.status is not None and after.status != "SERVING":
        return failed(
            f'Check of "", after {WATCHES} Watches were cancelled: {after}',
            f"Health changed to {after.status} in the course of this check.",
            "Look at the server's log for the reason. Watches must not change the status.",
        )
    if after.status is None:
        return failed(
            f'Check of "", after {WATCHES} Watches were cancelled: {after}',
            "A Watch whose client has gone still holds something that Check needs (a lock, a thread).",
            USE_STOCK,
        )
    return _watch_of_unknown_name(prober)


def _one_watch(watch: Watch) -> Finding | None:
    """What is wrong with the first message of a Watch, or with its end if it does not stay open."""
    arrived = watch.wait_for_message(WATCH_SECONDS)
    end = watch.wait_for_end(_STAYS_OPEN if arrived else 0)
    status = (watch.statuses[0] or "an invalid message") if arrived else None
    if end is not None:
        return _ended_watch(status, end)
    if status is None:
        return failed(
            f'Watch of "": no message within {WATCH_SECONDS:g} s',
            "Watch does not send the current status at once, as the protocol demands: it waits for a change before its "
            "first message, or sends nothing at all.",
            USE_STOCK,
        )
    if status == "SERVING":
        return None
    return failed(
        f'Watch of "": {status}, while Check says SERVING',
        "Watch and Check do not report the same status: only one of them learns of changes"
        + (", or Watch sends something other than a HealthCheckResponse." if watch.statuses[0] is None else "."),
        USE_STOCK,
    )


def _ended_watch(status: str | None, end: Reply) -> Finding:
    """The Watch ended, though it should stay open; `status` came before."""
    if end.code is grpc.StatusCode.UNIMPLEMENTED:
        return warned(
            f'Watch of "": {end}',
            "The health service has no Watch. Probes do not need it; clients that balance load by health do.",
            USE_STOCK,
        )
    if not end.ok:
        return failed(
            f'Watch of "": {f"{status}, then " if status else ""}{end}',
            "Watch raises an exception, or an interceptor breaks it: one that wraps handlers but does not support "
            "streams (or iterates over what the stock aio Watch returns).",
            USE_STOCK + "Let interceptors pass streaming methods through, or at least /grpc.health.v1.Health/.\n",
        )
    return failed(
        f'Watch of "": {status or "no message"}, then the stream ends with OK',
        "Watch answers once and ends. It must stay open and report every change; otherwise a client that balances load "
        "by health asks again and again, or considers the server unhealthy.",
        USE_STOCK,
    )


def _blocked_by_watches(session: Session, prober: Session, answered: int) -> Finding | None:
    """What the server no longer answers while many Watches are open."""
    health = prober.health("", WATCH_SECONDS)
    seen = f'{WATCHES} Watches open, {answered} of them answered; Check of "": {health}'
    method = _idle_method(session)
    blocked = answered < WATCHES or health.status is None
    if method is not None and health.status is not None:
        reply = method_calls.call_valid(session, method, method_calls.timeout_for(session, _usual(session, method)))
        seen += f"; {method.path}: {reply}"
        blocked = blocked or not reply.ok
    if not blocked:
        return None
    return failed(
        seen,
        "Each open Watch holds a worker thread for as long as it is open: with a few watching clients, the server no "
        "longer answers anybody.",
        USE_STOCK,
    )


def _watch_of_unknown_name(prober: Session) -> Finding:
    watch = Watch(prober.client, UNKNOWN_NAME, WATCH_SECONDS)
    arrived = watch.wait_for_message(WATCH_SECONDS / 2)
    status, end = watch.statuses[0] if arrived else None, watch.end
    watch.cancel()
    if status == "SERVICE_UNKNOWN" or (end is not None and end.code is grpc.StatusCode.NOT_FOUND):
        return passed(f"Watch says SERVING, also {WATCHES} at once")
    return warned(
        f'Watch of the unknown name "{UNKNOWN_NAME}": {status or end or "no valid message"}',
        "The protocol requires SERVICE_UNKNOWN, so that the client learns that the name is wrong or not yet known.",
        USE_STOCK,
    )


def _free_worker(method: Method) -> str:
    return f"""
    Let the method refuse requests that would have to wait for the model, so that a worker is always free:
{_room(method)}
    Have more workers than calls that may be in flight; or use grpc.aio, with the model in a thread of its own.
    """


def _limited_method(method: Method) -> str:
    return f"""
    Remove the limit of the whole server, and limit the method that needs the model:
{_room(method)}
    """


def _room(method: Method) -> str:
    return f"""\
        room = threading.BoundedSemaphore(8)
        server = grpc.server(ThreadPoolExecutor(max_workers=32))
        def {method.name}(self, request, context):
            if not room.acquire(blocking=False):
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests")
            try:
                return self.answer(request)
            finally:
                room.release()"""


CHECK = Check("health-honest", "health says SERVING only when it is true", run, after="health-serving", decisive=True)
