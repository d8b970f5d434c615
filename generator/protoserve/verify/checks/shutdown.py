"""`shutdown`: SIGTERM gives NOT_SERVING first, replies in flight arrive, and the process ends with 0 in time."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field

import grpc

from protoserve.verify.checks.base import Check
from protoserve.verify.client import Client
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, passed, skipped, warned
from protoserve.verify.session import Health, Session
from protoserve.verify.traffic import Sent, Taking, Traffic, Watch

CALLERS = 8
MOST_CALLS = 250  # of each caller
_PAUSE = 0.02
_KEPT = 2.0  # seconds that are left of a run for its end
# A call that was sent less than _RACE seconds before the signal may not have been taken yet, and one that breaks after
# more than _ACCEPTED was being answered; on a busy machine both are _TIMES what it took to take the slowest other call.
_RACE = 0.05
_ACCEPTED = 0.1
_TIMES = 2
_CLOSING = 1.0  # seconds in which what a server said before its end arrives
_WATCH_SECONDS = 2.0
_ORDERLY = 0.5  # seconds: what SIGTERM kills is gone sooner
_TERMINATED = 143  # 128 + SIGTERM
_BROKEN = re.compile(r"socket closed|connection reset|broken pipe|stream removed|rst_stream", re.I)
_OWN_END = (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED)
_NEVER = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


@dataclass(slots=True)
class _Stop:
    """What was seen of one stop. Times are seconds since SIGTERM."""

    grace: float  # how long it may take
    code: int | None = None  # of the process; None where it never ended
    seconds: float = 0.0
    told: str = ""
    said: float | None = None  # when health said NOT_SERVING
    watched: str = ""  # how health was asked, empty where it was not
    in_flight: int = 0
    answered_later: int = 0
    lost: list[Sent] = field(default_factory=list)  # calls that the server had taken
    odd: list[Sent] = field(default_factory=list)  # others, that ended in another way than a refusal
    late: bool = False  # whether calls were still answered at the end


def run(session: Session) -> Finding:
    if session.process is None:
        return skipped("this run did not start the server, and must not stop it")
    if session.process.ended():
        return skipped(f"the server has ended before: {session.process.told()}")
    method = next((m for m in session.methods if (r := session.replies.get(m.path)) is not None and r.ok), None)
    return _judged(_stopped(session, method), method)


def _stopped(session: Session, method: Method | None) -> _Stop:
    """Sends SIGTERM while calls are in flight and health is looked at, and tells what happens."""
    assert session.process is not None
    stop, client = _Stop(session.grace), Client(session.address, session.left)
    try:
        health = _Health(session, client)
        stop.watched = health.how
        if method is None:
            at = time.monotonic()
            session.process.terminate()
            _wait(session, stop, at, None, health, method)
        else:
            with (
                Traffic(session, method, CALLERS, MOST_CALLS, patient=False) as traffic,
                closing(Taking(session.client, traffic)) as taking,
            ):
                _under_way(session, method, traffic)
                traffic.pause = _PAUSE
                stop.in_flight = traffic.in_flight()
                at = time.monotonic()
                session.process.terminate()
                _wait(session, stop, at, traffic, health, method)
            _sort(stop, at, traffic.sent, taking)
        stop.said = None if health.seen is None else max(0.0, health.seen - at)
        stop.told = session.process.told()
    finally:
        session.client.requests += client.requests
        client.close()
    return stop


def _under_way(session: Session, method: Method, traffic: Traffic) -> None:
    """Waits until every caller has a call in flight; of a slow model, until it is at work."""
    until = time.monotonic() + 1.0
    while traffic.in_flight() < CALLERS and len(traffic.sent) < 2 * CALLERS and time.monotonic() < until:
        time.sleep(0.005)
    time.sleep(min(1.0, max(0.1, session.replies[method.path].seconds / 2)))


def _wait(
    session: Session, stop: _Stop, at: float, traffic: Traffic | None, health: _Health, method: Method | None
) -> None:
    assert session.process is not None
    until = at + min(session.grace, max(1.0, session.left() - _KEPT))
    while stop.code is None and time.monotonic() < until:
        stop.code = session.process.wait(0.05)
        # An open Watch would keep many servers from ending: it is closed when it has told, or nothing is answered.
        if health.seen is not None or traffic is None or not traffic.going():
            health.close_soon()
    stop.seconds = time.monotonic() - at
    if stop.code is not None and traffic is not None:
        while traffic.in_flight() and time.monotonic() < at + stop.seconds + 1.0:
            time.sleep(0.01)  # how these calls end is told when the connection breaks
    if stop.code is not None:
        health.read()
    health.close()
    if stop.code is None:
        last = session.health("") if method is None else session.ask(method, session.request(method).data, 2.0)
        stop.late = last.status == "SERVING" if isinstance(last, Health) else last.ok


class _Health:
    """Looks at health from now on, by Watch where there is one, else by Check again and again.

    `seen` is when it said NOT_SERVING (`time.monotonic`); `how` is empty where health does not say SERVING now.
    """

    def __init__(self, session: Session, client: Client) -> None:
        self.seen: float | None = None
        self.how = ""
        self._ends: float | None = None
        self._over = threading.Event()
        self._watch: Watch | None = None
        prober = Session(session.address, client, session.timeout, session.ends)
        if prober.health("").status != "SERVING":
            return
        watch = Watch(client, "", session.left())
        if watch.first(_WATCH_SECONDS) == "SERVING" and watch.ended(0) is None:
            self.how, self._watch = "Watch", watch
            threading.Thread(target=self._look, args=(watch,), daemon=True).start()
        else:
            watch.cancel()
            self.how = "Check"
            threading.Thread(target=self._ask, args=(prober,), daemon=True).start()

    def close_soon(self) -> None:
        """Ends it half a second after this was first said."""
        now = time.monotonic()
        self._ends = self._ends or now + 0.5
        if now >= self._ends:
            self.close()

    def read(self) -> None:
        """Of a server that has ended: waits for what it had said before."""
        watch = self._watch
        if watch is not None and watch.ended(_CLOSING) is not None and "NOT_SERVING" in watch.statuses:
            self.seen = self.seen or time.monotonic()

    def close(self) -> None:
        self._over.set()
        if self._watch is not None:
            self._watch.cancel()

    def _look(self, watch: Watch) -> None:
        while not self._over.is_set():
            if "NOT_SERVING" in watch.statuses:
                self.seen = time.monotonic()
                return
            if watch.ended(0.01) is not None and "NOT_SERVING" not in watch.statuses:
                return

    def _ask(self, prober: Session) -> None:
        while not self._over.is_set():
            if prober.health("", 1.0).status == "NOT_SERVING":
                self.seen = time.monotonic()
                return
            self._over.wait(0.02)


def _sort(stop: _Stop, at: float, sent: list[Sent], taking: Taking) -> None:
    """Tells which calls were lost: the server had taken them, and did not answer.

    gRPC cancels calls that a server has not taken when it stops; what was sent at that moment is told from what was
    being answered by its age.
    """
    race = max(_RACE, _TIMES * taking.slowest(before=at))
    accepted = max(_ACCEPTED, race, _TIMES * taking.slowest())
    for one in sent:
        code, seconds = one.reply.code, one.reply.seconds
        if one.at + seconds < at or code in _OWN_END:
            stop.answered_later += one.at >= at and one.reply.ok
            continue
        broke = bool(_BROKEN.search(one.reply.details))
        if one.at < at:
            young = one.at > at - race and seconds < accepted and not broke
            if not young or code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                stop.lost.append(one)
            elif code is grpc.StatusCode.CANCELLED:
                stop.odd.append(one)
        elif seconds > accepted and (code in _NEVER or broke):
            stop.lost.append(one)
        elif code in _NEVER:
            stop.odd.append(one)


def _judged(stop: _Stop, method: Method | None) -> Finding:
    seen = _seen(stop, method)
    unsaid = bool(stop.watched) and stop.said is None
    # A JVM ends with 143 after its shutdown hooks, in good order.
    orderly = not stop.lost and (stop.said is not None if stop.watched else stop.seconds > _ORDERLY)
    if stop.code is None:
        return _endless(stop, seen)
    if stop.code == _TERMINATED and not orderly:
        return failed(
            seen,
            "SIGTERM itself killed the process: nothing in the server handles it. Every stop, restart and rollout cuts "
            "off the requests in flight.",
            _HANDLE,
        )
    if stop.code not in (0, _TERMINATED):
        return failed(
            f"{seen}; {stop.told}",
            f"The server handles SIGTERM and ends with exit code {stop.code}: an exception while it stops (the last "
            "lines of its log have it), or sys.exit with that code. Platforms count it as a crash.",
            "Mend what the log says, and let the process end with 0: return from main, or sys.exit(0).",
        )
    if stop.lost:
        return _lossy(stop, seen)
    if unsaid:
        return failed(
            seen,
            "The server stops without having said NOT_SERVING: who asks for health sends it requests until the end.",
            _HANDLE,
        )
    if _again(stop.odd):
        return warned(
            seen,
            "Calls that arrived while the server stopped ended, of one caller again and again, with "
            f"{stop.odd[0].reply.code.name} in place of UNAVAILABLE, which callers know that they may repeat.",
            """
            After NOT_SERVING, and a second in which new calls are still answered, let the methods refuse them, and stop
            the server when none is in flight:
                if self.stopping:
                    context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
            """,
        )
    return passed(seen)


def _again(odd: list[Sent]) -> bool:
    """Whether a caller met it twice. Once is the moment of the stop: gRPC cancels what nobody had time to take."""
    return any(count > 1 for count in Counter(one.caller for one in odd).values())


def _endless(stop: _Stop, seen: str) -> Finding:
    if stop.late:
        return failed(
            seen,
            "The server ignores SIGTERM. As process 1 of a container Python (like most programs) does so unless it has "
            "a handler; and a shell that starts the server (`CMD python server.py`, a script without `exec`) does not "
            "pass the signal on.",
            _HANDLE + 'Start it without a shell: CMD ["python", "server.py"], or `exec python server.py`.\n',
        )
    return failed(
        seen,
        "The server stops to answer, and its process does not end: a thread that is no daemon still runs, a call in "
        "flight has no end, or the stop waits without a limit (for open Watches, for a queue).",
        """
        Give the stop a limit, and let no thread hold up the end:
            server.stop(grace=20).wait()
            threading.Thread(target=work, daemon=True)
        """,
    )


def _lossy(stop: _Stop, seen: str) -> Finding:
    codes = sorted({one.reply.code.name for one in stop.lost})
    return failed(
        seen,
        f"Requests that the server had taken are not answered ({', '.join(codes)}): it ends, or cancels them, without "
        "waiting for them (server.stop without a grace time, sys.exit in the handler of the signal, a grace that is "
        "shorter than the model takes).",
        _HANDLE,
    )


def _seen(stop: _Stop, method: Method | None) -> str:
    ended = f"runs on {stop.seconds:.0f} s" if stop.code is None else f"exit code {stop.code} {stop.seconds:.2f} s"
    parts = [f"{ended} after SIGTERM (limit {stop.grace:g} s)"]
    if method is None:
        parts.append("no calls in flight, since no method has answered with OK")
    else:
        lost = "none lost" if not stop.lost else f"{len(stop.lost)} lost, such as {stop.lost[0].reply}"
        parts.append(f"{stop.in_flight} calls in flight, {lost}; {stop.answered_later} later ones answered")
    if stop.odd:
        parts.append(f"{len(stop.odd)} that it had not taken ended like {stop.odd[0].reply}")
    if stop.said is not None:
        parts.append(f"NOT_SERVING after {stop.said:.2f} s")
    elif stop.watched:
        parts.append(f"no NOT_SERVING (by {stop.watched})")
    return "; ".join(parts)


_HANDLE = """
    Handle SIGTERM: say NOT_SERVING, answer what arrives for another second, then stop, with time for what is in flight:
        stopping = threading.Event()          # grpc.aio: asyncio.Event(), and loop.add_signal_handler(...)
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        server.start()
        stopping.wait()
        checks.enter_graceful_shutdown()      # grpc.aio: await checks.enter_graceful_shutdown()
        time.sleep(1)                         # grpc.aio: await asyncio.sleep(1)
        server.stop(grace=20).wait()          # grpc.aio: await server.stop(20)
    Go: server.GracefulStop(); Java: server.shutdown().awaitTermination(...); Node: server.tryShutdown(callback).
    """

CHECK = Check("shutdown", "SIGTERM: NOT_SERVING, replies in flight, exit 0", run, after="implemented")
