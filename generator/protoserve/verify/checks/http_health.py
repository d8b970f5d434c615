"""`http-health`: the HTTP health route says 200 when, and only when, the model can answer."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

from protoserve.verify.checks import credentials
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.http_requests import (
    LISTEN,
    ONLY,
    OVERLOAD,
    not_judged,
    predict_alone,
    request_bodies,
    stopped_predicting,
)
from protoserve.verify.http_client import HEALTH_SECONDS, Answer, HttpClient
from protoserve.verify.protocol_detection import NOTHING_LISTENS
from protoserve.verify.report import Deferral, Finding, Verdict, failed, passed, warned
from protoserve.verify.session import Session

# The load during which health is checked; of a quick model, it ends after _LOAD_SECONDS.
CALLERS = 16
_CALLS_EACH = 20
_LOAD_SECONDS = 0.5
_HEALTH_CHECKS = 10
_SETTLING_SECONDS = 2.0
_PAUSE = 0.1
_SLOW = 1.0  # seconds: a first prediction that takes longer is compared with later ones
_OTHER_ROUTES = ("/health", "/healthz", "/ping", "/v1/health/ready", "/")


def run(session: Session) -> Finding:
    if finding := not_judged(session):
        return finding
    web = session.web
    assert web is not None
    start = web.started(session.started + session.timeout, lambda: _is_over(session))
    if start.after is None:
        return (not_judged(session) if start.health.status is None else None) or _never_healthy(web, start.health)
    seen = f"GET {web.health_route}: 200 after {start.after:.2f} s"
    body = next(request_bodies(session), None)
    if body is None:
        return passed(seen)
    predictions = _predict_until_settled(web, session, body)
    first, settled = start.early or predictions[0], predictions[-1]
    if finding := _healthy_too_early(web, first, settled):
        return finding
    if settled.status != 200:
        return _not_under_load(web, seen, settled)
    load = _check_health_under_load(web, session, body)
    if load.unhealthy is not None and load.predicts_meanwhile:
        return _unhealthy_under_load(web, load.unhealthy)
    last = predict_alone(web, session, body)
    if last.status != 200:
        return stopped_predicting(web, session, last, f"after {CALLERS} callers at a time")
    if load.unhealthy is not None:
        return _unhealthy_under_load(web, load.unhealthy)
    seen = f"{seen}; with {CALLERS} callers predicting, at most {load.slowest:.2f} s"
    if load.failures:
        return _fails_under_load(web, seen, load)
    if first.status == 200 and first.seconds > _SLOW and first.seconds > 10 * settled.seconds:
        return warned(
            f"{seen}; the first prediction took {first.seconds:.1f} s, a later one {settled.seconds:.2f} s",
            "Health says 200 before the work of the first prediction (loading, compiling) is done: the first caller "
            "waits for it, and may get a timeout.",
            "Predict once before health says 200.",
        )
    return passed(seen)


def _is_over(session: Session) -> bool:
    return not session.left() or session.server_ended()


def _predict_until_settled(web: HttpClient, session: Session, body: Any) -> list[Answer]:
    """The answers of the predict route, until it does not fail any more; the last one is the settled one."""
    answers = [web.predict(body, session.timeout)]
    deadline = time.monotonic() + _SETTLING_SECONDS
    while (answers[-1].status or 500) >= 500 and time.monotonic() < deadline and session.left():
        time.sleep(_PAUSE)
        answers.append(web.predict(body, session.timeout))
    if answers[-1].seconds > _SLOW:  # is every prediction that slow?
        answers.append(web.predict(body, session.timeout))
    return answers


@dataclass(slots=True)
class _Load:
    """What was seen under load: the slowest answer of the health route in seconds, and the first that was not 200; how
    many predictions were made, and those that failed, which no overload explains."""

    slowest: float = 0.0
    unhealthy: Answer | None = None
    predictions: int = 0
    failures: list[Answer] = field(default_factory=list)
    last_prediction: float = 0.0  # when the last one was answered with 200 (`time.monotonic`)
    unhealthy_since: float = 0.0

    @property
    def predicts_meanwhile(self) -> bool:
        """Whether predictions were answered while health was not."""
        return self.last_prediction > self.unhealthy_since


def _check_health_under_load(web: HttpClient, session: Session, body: Any) -> _Load:
    """Asks for health while CALLERS predict."""
    load, stop, lock = _Load(), threading.Event(), threading.Lock()

    def predict_repeatedly() -> None:
        for _ in range(_CALLS_EACH):
            if stop.is_set():
                return
            answer = web.predict(body, HEALTH_SECONDS * 2)
            with lock:
                load.predictions += 1
                if answer.status == 200:
                    load.last_prediction = time.monotonic()
                if answer.status != 200 and answer.status not in OVERLOAD:
                    load.failures.append(answer)

    callers = [threading.Thread(target=predict_repeatedly, daemon=True) for _ in range(CALLERS)]
    for caller in callers:
        caller.start()
    load_ends = time.monotonic() + _LOAD_SECONDS
    try:
        for number in range(_HEALTH_CHECKS):
            if number and (time.monotonic() > load_ends or not session.left()):
                break
            time.sleep(_PAUSE / 2)
            answer = web.health(HEALTH_SECONDS)
            load.slowest = max(load.slowest, answer.seconds)
            if answer.status != 200:
                load.unhealthy, load.unhealthy_since = answer, time.monotonic() - answer.seconds
                break
    finally:
        stop.set()
        deadline = time.monotonic() + min(HEALTH_SECONDS, session.left())
        for caller in callers:  # later checks must not meet this load
            caller.join(max(0.0, deadline - time.monotonic()))
    return load


def _not_under_load(web: HttpClient, seen: str, settled: Answer) -> Finding:
    """Predictions fail: that is the fault that http-predict reports, if it is one."""
    answer = settled.status or settled.reason
    seen_without_load = f"{seen}; not checked under load, since {web.predict_route} answers {answer}"
    if settled.status in credentials.HTTP_REFUSALS:
        return passed(seen_without_load)
    failure = failed(
        f"{seen}; then POST {web.predict_route}: {settled}",
        "The prediction fails, and health says 200.",
        "Look at the server's log, and send the same request with curl.",
    )
    return Finding(Verdict.PASS, seen_without_load, deferrals=(Deferral("http-predict", failure),))


def _fails_under_load(web: HttpClient, seen: str, load: _Load) -> Finding:
    return failed(
        f"{seen}; {len(load.failures)} of {load.predictions} predictions failed, such as {load.failures[0]}; one "
        "alone is answered",
        f"Health says 200 while POST {web.predict_route} fails: the model, or what it uses, does not support "
        f"{CALLERS} requests at a time.",
        "Let one request at a time use what is shared (a lock, one thread that owns the model), and refuse what is too "
        "much with 503 or 429.",
    )


def _never_healthy(web: HttpClient, answer: Answer) -> Finding:
    """The health route never answers 200."""
    route, status = web.health_route, answer.status
    seen = f"GET {route} at {web.address}: {answer}"
    if status is None:
        return failed(seen, _why_no_answer(answer), LISTEN)
    if status == 404:
        return _no_route(web, seen)
    cause, remedy = _STATUSES.get(status) or _STATUSES.get(status // 100 * 100) or _STATUSES[200]
    return failed(seen, cause, remedy)


def _why_no_answer(answer: Answer) -> str:
    if answer.too_large:
        return "The health route sends a body of any length; a platform reads the status, and may give up on the rest."
    if answer.timed_out:
        return "No HTTP answer comes: something listens on this port, and hangs or speaks another protocol."
    if answer.reason == NOTHING_LISTENS:
        return "No HTTP answer comes: nothing listens on this port; the server uses another port or another address."
    return "No HTTP answer comes: what listens on this port speaks another protocol, or ends the connection."


def _no_route(web: HttpClient, seen: str) -> Finding:
    route = web.health_route
    others = [other for other in _OTHER_ROUTES if other != route]
    healthy = [other for other in others if web.ask("GET", other, HEALTH_SECONDS / 5).status == 200]
    return failed(
        f"{seen}; {', '.join(healthy)} answers 200" if healthy else seen,
        f"The server has no route {route}: it does not read AIP_HEALTH_ROUTE, or serves health elsewhere.",
        f"""
        Serve health at the route that the platform uses:
            @app.get(os.environ.get("AIP_HEALTH_ROUTE", "/health"))
            def health(): ...
        or name the server's route in the specification (and run this command with AIP_HEALTH_ROUTE set to it):
            healthRoute: {healthy[0] if healthy else "/the/route"}
        """,
    )


def _healthy_too_early(web: HttpClient, first: Answer, settled: Answer) -> Finding | None:
    """Whether health said 200 before predictions could be made, or although they never can be."""
    works_later = (first.status or 503) >= 500 and settled.status == 200
    if not works_later and settled.status != 503:
        return None
    return failed(
        f"GET {web.health_route}: 200, and then POST {web.predict_route}: {first}"
        + (f"; later {settled}" if works_later else ""),
        "Health says 200 before the model can answer, as if listening were enough: the platform sends requests that "
        "fail.",
        """
        Say 503 until the model has loaded and predicted once:
            @app.get(os.environ["AIP_HEALTH_ROUTE"])
            def health():
                return Response(status_code=200 if model.ready else 503)
        """,
    )


def _unhealthy_under_load(web: HttpClient, answer: Answer) -> Finding:
    seen = f"with {CALLERS} callers at {web.predict_route}, GET {web.health_route}: {answer}"
    if answer.status is None and not answer.timed_out:
        return failed(
            seen,
            "Under load the connection breaks before health answers: a worker ends, or the queue of connections that "
            "wait to be accepted is full.",
            "Look at the server's log. Accept more connections (uvicorn: --backlog), and refuse what is too much with "
            "503.",
        )
    if answer.status is not None:
        return failed(
            seen,
            "Health says that the server is not healthy when it is only busy: under load, the platform takes it out of "
            "service or restarts it.",
            "Let health report whether the model is loaded, regardless of the load. Refuse predictions beyond a limit "
            "with 503 or 429 instead.",
        )
    return failed(
        seen,
        "All workers (or the event loop) are busy predicting, so health has to wait: the platform gives up after "
        f"{HEALTH_SECONDS:.0f} s, and restarts a server that is only busy.",
        """
        Keep the event loop free: use `def` instead of `async def` for what computes (FastAPI then uses a thread), or
            return await asyncio.to_thread(model.predict, instances)
        With gunicorn, use threads: gunicorn --threads 8 ...
        """,
    )


_NEEDS_CREDENTIALS = (
    "The health route requires credentials, and the platform has none.",
    "Exempt the health route from authentication: the platform already protects the container.",
)
# Cause and remedy by status, or by class of statuses (300 for all of 3xx).
_STATUSES = {
    200: (
        "The route answers with a status other than exactly 200, and the platform considers only 200 healthy.",
        """
        Answer 200, with or without a body:
            return Response(status_code=200)
        """,
    ),
    300: (
        "The health route answers with a redirect (to another path, with or without a trailing slash, or to https), "
        "and the platform does not follow redirects.",
        "Answer 200 on exactly this path, in plain HTTP; or name the path that answers in the specification.",
    ),
    400: (
        "The health route refuses the request: it needs a parameter, a body, or a Host header that it accepts "
        "(Django's ALLOWED_HOSTS, a TrustedHostMiddleware).",
        """
        Accept a plain GET without parameters, under any Host:
            ALLOWED_HOSTS = ["*"]
        """,
    ),
    401: _NEEDS_CREDENTIALS,
    403: _NEEDS_CREDENTIALS,
    405: (
        "The route exists, but does not accept GET.",
        '@app.get(os.environ["AIP_HEALTH_ROUTE"])    # not @app.post',
    ),
    500: (
        "The health route itself raises an exception.",
        "Look at the server's log. A health route says 503 while the model loads, and 200 when it can answer.",
    ),
    503: (
        "The server says that it is not ready, and never becomes ready: the model does not load, or the status is not "
        "changed when it has.",
        "Look at the server's log. If loading takes this long, raise --timeout (and the startup probe of the "
        "specification).",
    ),
}

CHECK = Check(
    "http-health", "the HTTP health route says 200 when, and only when, it is ready", run, platforms=ONLY, decisive=True
)
