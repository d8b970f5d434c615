"""`shutdown`: on SIGTERM, health says NOT_SERVING first, calls in flight are answered, and the process exits with 0."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field

import grpc

from protoserve.verify import health_client
from protoserve.verify.checks import method_calls, stopping
from protoserve.verify.checks.check import Check
from protoserve.verify.grpc_client import Client
from protoserve.verify.health_client import Watch
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, deferred, failed, passed, skipped, warned
from protoserve.verify.session import Session
from protoserve.verify.targets.crash_causes import crash_cause
from protoserve.verify.traffic import AcceptTimer, SentCall, Traffic

CALLERS = 8
MOST_CALLS = 250  # of each caller
_PAUSE = 0.02
_RESERVED = 2.0  # seconds of the run that are kept for its end
# A call that was sent less than _RACE seconds before the signal may not have been accepted yet, and one that breaks
# after more than _ACCEPTED was being answered. On a busy machine both are _FACTOR times the slowest other call.
_RACE = 0.05
_ACCEPTED = 0.1
_FACTOR = 2
_LAST_MESSAGES = 1.0  # seconds for what the server said just before it ended to arrive
_WATCH_TIMEOUT = 2.0
_ORDERLY = 0.5  # seconds: a process that SIGTERM kills is gone sooner
_SIGNALLED = 128
_TERMINATED = _SIGNALLED + signal.SIGTERM
_BROKEN_CONNECTION = re.compile(r"socket closed|connection reset|broken pipe|stream removed|rst_stream", re.I)
_ANSWERS = (grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED)
# A server that stops must not end calls with these.
_WRONG_CODES = (
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)


@dataclass(slots=True)
class Shutdown:
    """What was observed of one shutdown. Times are seconds since SIGTERM."""

    grace: float  # how long it may take
    exit_code: int | None = None  # None if the process never ended
    seconds: float = 0.0
    last_words: str = ""  # exit code and last lines of the log
    health_method: str = ""  # how health was observed: "Watch" or "Check"; empty if it was not
    not_serving_after: float | None = None
    in_flight: int = 0
    answered_later: int = 0  # calls that were sent after SIGTERM
    lost: list[SentCall] = field(default_factory=list)  # calls that the server had accepted
    cancelled: list[SentCall] = field(default_factory=list)  # calls that it had not accepted, and did not refuse either
    failed_before: list[SentCall] = field(default_factory=list)  # calls that ended with an error before SIGTERM
    still_answering: bool = False  # whether calls were still answered after the process's end, or the grace time

    @property
    def silent(self) -> bool:
        """Whether health was observed and never said NOT_SERVING."""
        return bool(self.health_method) and self.not_serving_after is None

    @property
    def orderly(self) -> bool:
        """Whether the server handled SIGTERM, even if it exits with 143, as a JVM does after its shutdown hooks."""
        if self.lost:
            return False
        return not self.silent if self.health_method else self.seconds > _ORDERLY


def run(session: Session) -> Finding:
    if session.process is None:
        return skipped("this run did not start the server, so it must not stop it")
    if session.server_ended():
        return _already_ended(session)
    method = next(iter(method_calls.working_methods(session)), None)
    if method is not None and method.path not in session.backlogged:
        timeout = method_calls.timeout_for(session, session.replies[method.path].seconds)
        reply = method_calls.call_alone(session, method, timeout)
        if finding := stopping.error_of_valid_request(session, method, reply):
            return finding
    shutdown = _shut_down(session, method)
    return _already_ended(session) if shutdown is None else judge(shutdown, method)


def _already_ended(session: Session) -> Finding:
    """The server ended before it was stopped: left to the check that saw it."""
    assert session.process is not None
    last_words = session.process.exit_report()
    cause, remedy = crash_cause(last_words)
    failure = failed(
        f"the server has already ended; {last_words}", f"The server ended by itself, before SIGTERM. {cause}", remedy
    )
    return deferred(session.unresponsive, failure) if session.unresponsive else failure


def _shut_down(session: Session, method: Method | None) -> Shutdown | None:
    """Sends SIGTERM while calls are in flight, and observes what happens; None if the server ended before that."""
    assert session.process is not None
    shutdown, client = Shutdown(session.grace), Client(session.address, session.left, session.metadata)
    traffic, timer = None, None
    try:
        health = _HealthObserver(session, client)
        shutdown.health_method = health.method
        with ExitStack() as stack:
            if method is not None:
                traffic = stack.enter_context(Traffic(session, method, CALLERS, MOST_CALLS, patient=False))
                timer = stack.enter_context(closing(AcceptTimer(session.client, traffic)))
                _wait_for_traffic(session, method, traffic)
                traffic.pause = _PAUSE
                shutdown.in_flight = traffic.in_flight()
            if session.server_ended():
                return None
            sigterm_at = time.monotonic()
            session.process.terminate()
            _observe(session, shutdown, sigterm_at, traffic, health)
            if shutdown.exit_code in (None, _TERMINATED):
                shutdown.still_answering = _answers(session, method)
        if traffic is not None and timer is not None:
            classify_calls(shutdown, sigterm_at, traffic.sent, timer)
        if health.not_serving_at is not None:
            shutdown.not_serving_after = max(0.0, health.not_serving_at - sigterm_at)
        shutdown.last_words = session.process.exit_report()
    finally:
        session.client.requests += client.requests
        client.close()
    return shutdown


def _answers(session: Session, method: Method | None) -> bool:
    if method is None:
        return session.health("").status == "SERVING"
    return method_calls.call_valid(session, method, 2.0).ok


def _wait_for_traffic(session: Session, method: Method, traffic: Traffic) -> None:
    """Waits until every caller has a call in flight and, if the model is slow, is being answered."""
    deadline = time.monotonic() + 1.0
    while traffic.in_flight() < CALLERS and len(traffic.sent) < 2 * CALLERS and time.monotonic() < deadline:
        time.sleep(0.005)
    time.sleep(min(1.0, max(0.1, session.replies[method.path].seconds / 2)))


def _observe(
    session: Session, shutdown: Shutdown, sigterm_at: float, traffic: Traffic | None, health: _HealthObserver
) -> None:
    """Waits for the process to end, at most for the grace time."""
    assert session.process is not None
    deadline = sigterm_at + min(session.grace, max(1.0, session.left() - _RESERVED))
    while shutdown.exit_code is None and time.monotonic() < deadline:
        shutdown.exit_code = session.process.wait(0.05)
        # An open Watch keeps many servers from ending: close it once it has said NOT_SERVING or all calls have ended.
        if health.not_serving_at is not None or traffic is None or not traffic.running():
            health.close_soon()
    shutdown.seconds = time.monotonic() - sigterm_at
    if shutdown.exit_code is not None:
        while traffic is not None and traffic.in_flight() and time.monotonic() < sigterm_at + shutdown.seconds + 1.0:
            time.sleep(0.01)  # these calls end when the connection breaks
        health.read_last_messages()
    health.close()


class _HealthObserver:
    """Observes health in a thread, by Watch if the server has one, else by repeated Checks.

    `not_serving_at` is when it said NOT_SERVING (`time.monotonic`). `method` is "Watch" or "Check", or empty if health
    does not say SERVING at the beginning, so that there is nothing to observe.
    """

    def __init__(self, session: Session, client: Client) -> None:
        self.not_serving_at: float | None = None
        self.method = ""
        self._client = client
        self._close_at: float | None = None
        self._closed = threading.Event()
        self._watch: Watch | None = None
        if health_client.check(client, "").status != "SERVING":
            return
        watch = Watch(client, "", session.left())
        if watch.wait_for_message(_WATCH_TIMEOUT) and watch.statuses[0] == "SERVING" and watch.end is None:
            self.method, self._watch = "Watch", watch
            threading.Thread(target=self._follow_watch, args=(watch,), daemon=True).start()
        else:
            watch.cancel()
            self.method = "Check"
            threading.Thread(target=self._repeat_check, daemon=True).start()

    def close_soon(self) -> None:
        """Closes half a second after the first call of this method; to be called repeatedly."""
        now = time.monotonic()
        self._close_at = self._close_at or now + 0.5
        if now >= self._close_at:
            self.close()

    def read_last_messages(self) -> None:
        """After the end of the server: waits for what it said before."""
        watch = self._watch
        if watch is not None and watch.wait_for_end(_LAST_MESSAGES) is not None and "NOT_SERVING" in watch.statuses:
            self.not_serving_at = self.not_serving_at or time.monotonic()

    def close(self) -> None:
        self._closed.set()
        if self._watch is not None:
            self._watch.cancel()

    def _follow_watch(self, watch: Watch) -> None:
        ended = False
        while not self._closed.is_set() and not ended:
            ended = watch.wait_for_end(0.01) is not None
            if "NOT_SERVING" in watch.statuses:
                self.not_serving_at = time.monotonic()
                return

    def _repeat_check(self) -> None:
        while not self._closed.is_set():
            if health_client.check(self._client, "", 1.0).status == "NOT_SERVING":
                self.not_serving_at = time.monotonic()
                return
            self._closed.wait(0.02)


def classify_calls(shutdown: Shutdown, sigterm_at: float, sent: list[SentCall], timer: AcceptTimer) -> None:
    """Sorts the calls: failed before SIGTERM, lost after they were accepted, cancelled, and the rest.

    When a server stops, gRPC cancels the calls that it has not accepted yet. Their age tells them from those that were
    being answered.
    """
    race = max(_RACE, _FACTOR * timer.slowest(before=sigterm_at))
    accepted = max(_ACCEPTED, race, _FACTOR * timer.slowest())
    for call in sent:
        code, seconds = call.reply.code, call.reply.seconds
        if call.ended_at < sigterm_at and not call.reply.ok and not method_calls.is_busy(call.reply):
            shutdown.failed_before.append(call)
            continue
        if call.ended_at < sigterm_at or code in _ANSWERS:
            shutdown.answered_later += call.at >= sigterm_at and call.reply.ok
            continue
        broke = bool(_BROKEN_CONNECTION.search(call.reply.details))
        if call.at < sigterm_at:
            in_race = call.at > sigterm_at - race and seconds < accepted and not broke
            if not in_race or code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
                shutdown.lost.append(call)
            elif code is grpc.StatusCode.CANCELLED:
                shutdown.cancelled.append(call)
        elif seconds > accepted and (code in _WRONG_CODES or broke):
            shutdown.lost.append(call)
        elif code in _WRONG_CODES:
            shutdown.cancelled.append(call)


def judge(shutdown: Shutdown, method: Method | None) -> Finding:
    """The finding for what was observed; `method` is the one that was called, if any."""
    seen = _seen(shutdown, method)
    if shutdown.exit_code is None:
        return _ignores_sigterm(seen) if shutdown.still_answering else _never_ends(seen)
    if shutdown.exit_code == _TERMINATED and shutdown.still_answering:
        return _signal_not_passed_on(seen)
    if shutdown.exit_code == _TERMINATED and not shutdown.orderly:
        return failed(
            seen,
            "SIGTERM itself killed the process: the server does not handle the signal. Every stop, restart and rollout "
            "cuts off the calls in flight.",
            _HANDLE_SIGTERM,
        )
    if shutdown.exit_code not in (0, _TERMINATED):
        return _wrong_exit_code(shutdown.exit_code, f"{seen}; {shutdown.last_words}")
    if shutdown.failed_before:
        return failed(
            seen,
            "Calls failed before SIGTERM was sent: the method cannot take so many at a time, or it stopped answering.",
            "Look in the server's log for the first error.",
        )
    if shutdown.lost:
        return _loses_calls(shutdown, seen)
    if shutdown.silent:
        return failed(
            seen,
            "The server stops without having said NOT_SERVING: whoever relies on health sends it requests until the "
            "end.",
            _HANDLE_SIGTERM,
        )
    if _same_caller_twice(shutdown.cancelled):
        return _cancels_late_calls(shutdown, seen)
    return passed(seen)


def _wrong_exit_code(code: int, seen: str) -> Finding:
    cause = (
        f"The server ends with exit code {code} after SIGTERM: an exception was raised while it stopped (see the last "
        "lines of its log), or it called sys.exit with that code."
    )
    if code > _SIGNALLED:
        cause = f"The process ends with exit code {code} after SIGTERM, as if by signal {code - _SIGNALLED}."
    return failed(
        seen,
        f"{cause} Platforms count this as a crash.",
        "Fix what the log reports, and exit with 0: return from main, or call sys.exit(0).",
    )


def _same_caller_twice(cancelled: list[SentCall]) -> bool:
    """Whether a caller was cancelled more than once. Once is normal: gRPC cancels what nobody had time to accept."""
    return any(count > 1 for count in Counter(call.caller for call in cancelled).values())


def _ignores_sigterm(seen: str) -> Finding:
    return failed(
        seen,
        "The server ignores SIGTERM. As process 1 of a container, Python (like most programs) ignores it unless a "
        "handler is installed. A shell that starts the server (`CMD python server.py`, a script without `exec`) does "
        "not pass the signal on.",
        _HANDLE_SIGTERM + 'Start it without a shell: CMD ["python", "server.py"], or `exec python server.py`.\n',
    )


def _signal_not_passed_on(seen: str) -> Finding:
    return failed(
        f"{seen}; after the end of the process a call is still answered",
        "SIGTERM ended the process that was started, and the server, which is another one, did not get the signal: a "
        "shell or a script does not pass it on. In a container the server is then killed at once.",
        'Start the server itself: CMD ["python", "server.py"], or `exec python server.py` at the end of a script.',
    )


def _never_ends(seen: str) -> Finding:
    return failed(
        seen,
        "The server stops answering, but its process does not end: a non-daemon thread is still running, a call in "
        "flight never ends, or the stop waits without a limit (for open Watches, or for a queue).",
        """
        Limit how long the stop may take, and let no thread prevent the end:
            server.stop(grace=20).wait()
            threading.Thread(target=work, daemon=True)
        """,
    )


def _loses_calls(shutdown: Shutdown, seen: str) -> Finding:
    codes = sorted({call.reply.code.name for call in shutdown.lost})
    return failed(
        seen,
        f"Calls that the server had accepted are not answered ({', '.join(codes)}): it ends, or cancels them, without "
        "waiting for them (server.stop without a grace time, sys.exit in the signal handler, a grace time shorter than "
        "the model takes).",
        _HANDLE_SIGTERM,
    )


def _cancels_late_calls(shutdown: Shutdown, seen: str) -> Finding:
    return warned(
        seen,
        "Calls that arrived during the shutdown ended, for the same caller more than once, with "
        f"{shutdown.cancelled[0].reply.code.name} instead of UNAVAILABLE. Callers know that they may retry after "
        "UNAVAILABLE.",
        """
        After NOT_SERVING, answer new calls for one more second. Then refuse them, and stop the server when no call is
        in flight:
            if self.stopping:
                context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        """,
    )


def _seen(shutdown: Shutdown, method: Method | None) -> str:
    code, seconds = shutdown.exit_code, shutdown.seconds
    ended = f"still running {seconds:.0f} s" if code is None else f"exit code {code} {seconds:.2f} s"
    parts = [f"{ended} after SIGTERM (limit {shutdown.grace:g} s)"]
    if method is None:
        parts.append("no calls in flight, since no method has answered with OK")
    else:
        lost = f"{len(shutdown.lost)} lost, such as {shutdown.lost[0].reply}" if shutdown.lost else "none lost"
        parts.append(f"{shutdown.in_flight} calls in flight, {lost}; {shutdown.answered_later} later ones answered")
    if shutdown.failed_before:
        parts.append(f"{len(shutdown.failed_before)} failed before it, such as {shutdown.failed_before[0].reply}")
    if shutdown.cancelled:
        parts.append(f"{len(shutdown.cancelled)} not accepted, ended with {shutdown.cancelled[0].reply}")
    if shutdown.not_serving_after is not None:
        parts.append(f"NOT_SERVING after {shutdown.not_serving_after:.2f} s")
    elif shutdown.silent:
        parts.append(f"no NOT_SERVING (observed with {shutdown.health_method})")
    return "; ".join(parts)


_HANDLE_SIGTERM = """
    Handle SIGTERM: say NOT_SERVING, answer new calls for one more second, then stop, with time for the calls in flight:
        stopping = threading.Event()          # grpc.aio: asyncio.Event(), and loop.add_signal_handler(...)
        signal.signal(signal.SIGTERM, lambda *_: stopping.set())
        server.start()
        stopping.wait()
        checks.enter_graceful_shutdown()      # grpc.aio: await checks.enter_graceful_shutdown()
        time.sleep(1)                         # grpc.aio: await asyncio.sleep(1)
        server.stop(grace=20).wait()          # grpc.aio: await server.stop(20)
    Go: server.GracefulStop(); Java: server.shutdown().awaitTermination(...); Node: server.tryShutdown(callback).
    """

CHECK = Check(
    "shutdown", "on SIGTERM: NOT_SERVING, replies in flight, exit 0", run, after="implemented", ends_server=True
)
