"""`health-honest`: health says SERVING only when it is true, under load too, and its Watch works."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from protoserve.verify.checks.base import Check
from protoserve.verify.checks.health import elsewhere
from protoserve.verify.client import Client, Reply
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, Verdict, failed, passed, skipped, warned
from protoserve.verify.session import Health, Session, lost
from protoserve.verify.traffic import NOTHING, Traffic, Watch

UNKNOWN_NAME = "protoserve.verify.v1.NoSuchService"
CONTROLS = 4
CHECKS = 3  # at least
_AT_ONCE = 0.15  # seconds: what waits for a thread is refused sooner than what waits for a blocked event loop
PROBE_SECONDS = 1.0  # Kubernetes' default timeout of a probe
IN_FLIGHT = 32
LOAD_SECONDS = 0.8
MOST_CALLS = 64  # of each caller
_PAUSE = 0.05
WATCHES = 12
WATCH_SECONDS = 2.0
_STAYS_OPEN = 0.2
_QUICKER = 10  # so many times quicker than the first call are later ones of a server that was still loading


def run(session: Session) -> Finding:
    found: list[Finding] = []
    with _prober(session) as prober:
        for part in (_early, _unknown, _loaded, _watched):
            found.append(part(session, prober))
            if found[-1].verdict in (Verdict.FAIL, Verdict.SKIP):
                return found[-1]
    if told := next((finding for finding in found if finding.verdict is Verdict.WARN), None):
        return told
    return passed("; ".join(finding.seen for finding in found if finding.seen))


@contextmanager
def _prober(session: Session) -> Iterator[Session]:
    """The session with a connection of its own, as a platform's probe has one."""
    client = Client(session.address, session.left)
    try:
        yield Session(session.address, client, session.timeout, session.ends)
    finally:
        session.client.requests += client.requests
        client.close()


def _early(session: Session, _: Session) -> Finding:
    """Whether SERVING was said before the first method could answer."""
    readiness = session.readiness()
    if not readiness.serving or readiness.early is None or readiness.answer is None:
        return passed("")
    method, said = session.methods[0], min(readiness.serving.values())
    if readiness.lied is not None:
        until = f"at {readiness.answered:.2f} s {readiness.answer.code.name}"
        return failed(
            f"health says SERVING at {said:.2f} s, and {method.path} then answers {readiness.lied}; {until}",
            f"Health says SERVING before {method.name} can answer: the stock health servicer starts with SERVING under "
            'the name "", and nothing says otherwise while the model loads (or whatever it needs is not there). A '
            "platform sends requests from then on, and they fail.",
            _LATER.format(service=method.service),
        )
    if not readiness.early.ok or readiness.early.seconds < PROBE_SECONDS:
        return passed("")
    usual = session.ask(method, session.request(method).data)
    if not usual.ok or usual.seconds * _QUICKER > readiness.early.seconds:
        return passed("")  # the model is always that slow
    seen = (
        f"health says SERVING at {said:.2f} s; a call of {method.path} that was sent then took "
        f"{readiness.early.seconds:.2f} s, and the next one {usual.seconds:.2f} s"
    )
    cause = (
        f"The first call of {method.name} waits for something that later ones do not wait for: the model was still "
        "loading while health said SERVING, or it loads (or compiles) at the first call."
    )
    tell = warned if session.process is None else failed
    return tell(seen, cause, _LATER.format(service=method.service))


def _unknown(session: Session, _: Session) -> Finding:
    health = session.health(UNKNOWN_NAME)
    seen = f'Check of the unknown name "{UNKNOWN_NAME}": {health}'
    if health.reply.code is grpc.StatusCode.NOT_FOUND:
        return passed("NOT_FOUND for an unknown name")
    if (why := elsewhere(session, health.reply)) is not None:
        return skipped(why)
    if health.status == "SERVING":
        return failed(
            seen,
            "Check answers SERVING whatever name it is asked for: a probe with a wrong name, or for a service that "
            "this server does not have, is told that all is well.",
            _STATES,
        )
    if health.status is not None:
        return warned(
            seen,
            "Check answers OK with a status for a name that it does not know. The protocol wants NOT_FOUND: what asks "
            "for a wrong name then finds out.",
            _STATES,
        )
    return failed(
        seen,
        "Check raises an exception for a name that it does not know (such as KeyError), in place of NOT_FOUND.",
        _STATES,
    )


def _loaded(session: Session, prober: Session) -> Finding:
    """Whether Check answers in time while the method is saturated."""
    session.answer_all()  # with --only nobody has asked yet
    method = next((m for m in session.methods if session.replies[m.path].ok), None)
    if method is None:
        return passed("no load, since no method has answered with OK")
    slowest, count = 0.0, 0
    with Traffic(session, method, IN_FLIGHT, MOST_CALLS) as traffic:
        started = time.monotonic()
        time.sleep(_PAUSE)
        while (count < CHECKS or time.monotonic() < started + LOAD_SECONDS) and traffic.going() and session.left():
            health = prober.health("", PROBE_SECONDS)
            if health.status != "SERVING":
                return _overrun(method, prober, health)
            slowest, count = max(slowest, health.reply.seconds), count + 1
            time.sleep(_PAUSE)
        sent = len(traffic.sent) + traffic.in_flight()
    _settle(session, method)
    return passed(
        f"{count} Checks while {sent} calls of {method.name} ran, {IN_FLIGHT} at once: "
        f"SERVING within {slowest * 1000:.0f} ms"
    )


def _overrun(method: Method, prober: Session, health: Health) -> Finding:
    """What was wrong with an answer of Check under load."""
    reply = health.reply
    seen = f'with {IN_FLIGHT} calls of {method.path} in flight, Check of "": {health}'
    if lost(reply):
        return skipped(f"the server takes no connection any more under load: {reply}")
    if health.status is not None:
        return failed(
            seen,
            f"Health changes to {health.status} because the server is busy. A platform then sends no requests, or "
            "restarts the container, and the others get its load on top of theirs.",
            "Say SERVING as long as the model can answer. Refuse what is too much in the method itself, with "
            "RESOURCE_EXHAUSTED.",
        )
    if reply.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return failed(
            seen,
            "A limit of calls in flight for the whole server (maximum_concurrent_rpcs, a limiting interceptor) counts "
            "the health service too, so that a busy server looks dead.",
            """
            Limit in the method, and not in the server:
                if not self.room.acquire(blocking=False):      # threading.Semaphore(16)
                    context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests in flight")
            """,
        )
    if reply.code is not grpc.StatusCode.DEADLINE_EXCEEDED:
        return failed(seen, "Check fails while the server is busy.", "Let Check only read a value, and fail never.")
    controls = [prober.client.call(NOTHING, b"", PROBE_SECONDS) for _ in range(CONTROLS)]
    control = sorted(controls, key=lambda control: control.seconds)[CONTROLS // 2]  # a busy machine may hold one up
    again = prober.health("", PROBE_SECONDS)
    at_once = control.code is grpc.StatusCode.UNIMPLEMENTED and control.seconds < _AT_ONCE
    if again.status is not None and at_once:
        return warned(
            f"{seen}; then {again} after {again.reply.seconds:.2f} s",
            "One Check took longer than a probe waits (1 s by default in Kubernetes), the next one did not: health is "
            "slow when the server is busy.",
            _WORKERS,
        )
    seen += f"; again {again}; a method that does not exist: {control}"
    if at_once:
        return failed(
            seen,
            f"All worker threads are busy with {method.name}, and Check waits in their queue. (What needs no worker is "
            "answered: the refusal of a method that does not exist.) A probe gives up after 1 s, and the platform "
            "takes a busy server for a dead one.",
            _WORKERS,
        )
    return failed(
        seen,
        f"The event loop is blocked: {method.name} computes on it (or holds the interpreter's lock), and nothing else "
        "is answered meanwhile, not even a method that does not exist. A probe gives up after 1 s, and the platform "
        "takes a busy server for a dead one.",
        """
        Compute in a thread, and keep the event loop free:
            async def Predict(self, request, context):
                return await asyncio.get_running_loop().run_in_executor(self.executor, self.predict, request)
        Node: compute in a worker thread (worker_threads), or in a process of its own.
        """,
    )


def _settle(session: Session, method: Method) -> None:
    """Waits until the server has worked off what it had been given."""
    session.ask(method, session.request(method).data, min(session.timeout, 10.0))


def _watched(session: Session, prober: Session) -> Finding:
    """Whether Watch streams the state, and holds nothing up."""
    watches = [Watch(prober.client, "", 4 * WATCH_SECONDS)]
    try:
        first = watches[0].first(WATCH_SECONDS)
        end = watches[0].ended(_STAYS_OPEN if first is not None else 0)
        if first != "SERVING" or end is not None:
            return _bad_watch(first, end)
        watches += [Watch(prober.client, "", 4 * WATCH_SECONDS) for _ in range(WATCHES - 1)]
        deadline = time.monotonic() + WATCH_SECONDS
        opened = sum(watch.first(max(0.0, deadline - time.monotonic())) is not None for watch in watches)
        if (bad := _held_up(session, prober, opened)) is not None:
            return bad
        if (end := watches[0].ended(0)) is not None:
            return _bad_watch(first, end)
    finally:
        for watch in watches:
            watch.cancel()
    after = prober.health("")
    if after.status != "SERVING":
        return failed(
            f'Check of "", when {WATCHES} Watches had been cancelled: {after}',
            "A Watch whose caller has gone goes on holding something that Check needs (a lock, a thread).",
            _STOCK,
        )
    return _unknown_watch(prober)


def _bad_watch(first: str | None, end: Reply | None) -> Finding:
    if end is not None and end.code is grpc.StatusCode.UNIMPLEMENTED:
        return warned(
            f'Watch of "": {end}',
            "The health service has no Watch. Probes do without, clients that balance by health need it.",
            _STOCK,
        )
    if end is not None and not end.ok:
        return failed(
            f'Watch of "": {f"{first}, then " if first else ""}{end}',
            "Watch raises an exception, or an interceptor breaks it: one that wraps handlers and knows no streams (or "
            "iterates what the stock aio Watch returns).",
            _STOCK + "Let interceptors pass on methods that stream, or at least /grpc.health.v1.Health/.\n",
        )
    if end is not None:
        return failed(
            f'Watch of "": {first or "no message"}, then the stream ends with OK',
            "Watch answers once and ends. It must stay open and tell each change; a client that balances by health "
            "asks again and again, or takes the server for unhealthy.",
            _STOCK,
        )
    if first is None:
        return failed(
            f'Watch of "": nothing within {WATCH_SECONDS:g} s',
            "Watch does not tell the present state at once: it waits for a change before its first message.",
            _STOCK,
        )
    return failed(
        f'Watch of "": {first}, while Check says SERVING',
        "Watch and Check do not tell the same state: only one of them learns of changes"
        + (", or Watch sends something that is no HealthCheckResponse." if first == "?" else "."),
        _STOCK,
    )


def _held_up(session: Session, prober: Session, opened: int) -> Finding | None:
    """What no longer answers while many Watches are open."""
    health = prober.health("", WATCH_SECONDS)
    seen = f'{WATCHES} Watches open, {opened} of them answered; Check of "": {health}'
    method = next((m for m in session.methods if (r := session.replies.get(m.path)) is not None and r.ok), None)
    if method is not None and health.status is not None:
        usual = session.replies[method.path].seconds
        reply = session.ask(method, session.request(method).data, min(session.timeout, 4 * usual + WATCH_SECONDS))
        if reply.code is not grpc.StatusCode.DEADLINE_EXCEEDED and opened == WATCHES:
            return None
        seen += f"; {method.path}: {reply}"
    elif opened == WATCHES and health.status is not None:
        return None
    return failed(
        seen,
        "Each open Watch holds a worker thread for as long as it is open: a few callers that watch, and the server "
        "answers nobody any more.",
        _STOCK,
    )


def _unknown_watch(prober: Session) -> Finding:
    watch = Watch(prober.client, UNKNOWN_NAME, WATCH_SECONDS)
    first, end = watch.first(WATCH_SECONDS / 2), watch.ended(0)
    watch.cancel()
    if first == "SERVICE_UNKNOWN" or (end is not None and end.code is grpc.StatusCode.NOT_FOUND):
        return passed(f"Watch says SERVING, {WATCHES} at once too")
    return warned(
        f'Watch of the unknown name "{UNKNOWN_NAME}": {first or end or "nothing"}',
        "The protocol wants SERVICE_UNKNOWN there, so that the caller learns that the name is wrong, or not there yet.",
        _STOCK,
    )


_LATER = """
    Say NOT_SERVING before the server starts, and SERVING when the model is loaded and one request went through it:
        names = ("", "{service}")
        for name in names:
            checks.set(name, health_pb2.HealthCheckResponse.NOT_SERVING)    # grpc.aio: await checks.set(...)
        server.start()
        model = load()
        model.predict(sample)
        for name in names:
            checks.set(name, health_pb2.HealthCheckResponse.SERVING)
    """
_STATES = """
    Use the stock servicer of your gRPC library in place of one of your own. If you keep yours:
        if request.service not in self.states:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")      # grpc.aio: await context.abort(...)
    """
_WORKERS = """
    Let the method refuse what the model cannot take soon, so that a worker is always free:
        room = threading.BoundedSemaphore(8)
        server = grpc.server(ThreadPoolExecutor(max_workers=32))
        def Predict(self, request, context):
            if not room.acquire(blocking=False):
                context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many requests in flight")
            try:
                return self.answer(request)
            finally:
                room.release()
    with more workers than calls that may be in flight; or use grpc.aio, with the model in a thread of its own.
    """
_STOCK = """
    Use the stock servicer of your gRPC library, which streams without holding a thread:
        from grpc_health.v1 import health
        checks = health.HealthServicer()      # grpc.aio: health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    """

CHECK = Check("health-honest", "health says SERVING only when it is true", run, after="health-serving")
