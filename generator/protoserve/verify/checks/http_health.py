"""`http-health`: the HTTP route that says 200 when, and only when, the model can answer."""

from __future__ import annotations

import threading
import time
from typing import Any

from protoserve.verify.checks.base import Check
from protoserve.verify.checks.http import NO_HTTP, ONLY, absent, bodies
from protoserve.verify.http_side import HEALTH_SECONDS, Answer, HttpSide
from protoserve.verify.report import Finding, failed, passed, skipped, warned
from protoserve.verify.session import Session

# Load while health is asked: so many callers, each with at most so many requests, for so many seconds of a quick model.
CALLERS = 16
_EACH = 20
_LOADED_SECONDS = 0.5
_LOOKS = 10
_SETTLING = 2.0
_POLL = 0.1
_LAZY = 1.0
_OTHER_ROUTES = ("/health", "/healthz", "/ping", "/v1/health/ready", "/")


def run(session: Session) -> Finding:
    web = session.web
    if web is None:
        return skipped(NO_HTTP)
    if (why := absent(session, web)) is not None:
        return why
    start = web.started(session.started + session.timeout, lambda: _gone(session))
    if start.after is None:
        return (absent(session, web) if start.health.status is None else None) or _unhealthy(web, start.health)
    seen = f"GET {web.health_route}: 200 after {start.after:.2f} s"
    body = next(bodies(session, web), None)
    if body is None:
        return passed(seen)
    later, waited = _settled(web, session, body)
    first = start.early or waited[0]
    if lie := _lie(web, first, later):
        return lie
    if later.status != 200:
        return passed(f"{seen}; not asked under load, since {web.predict_route} answers {later.status or later.reason}")
    load = _Load(web, body)
    slowest, bad = load.run(session)
    if bad is not None:
        return _not_under_load(web, bad, load)
    told = f"{seen}; with {CALLERS} callers predicting, at most {slowest:.2f} s"
    if first.status == 200 and first.seconds > _LAZY and first.seconds > 10 * later.seconds:
        return warned(
            f"{told}; the first prediction took {first.seconds:.1f} s, a later one {later.seconds:.2f} s",
            "Health says 200 before the first prediction has done what only it does (loading, compiling): the first "
            "caller waits for that, and may see a timeout.",
            "Predict once before health says 200.",
        )
    return passed(told)


def _gone(session: Session) -> bool:
    return not session.left() or (session.process is not None and session.process.ended())


def _unhealthy(web: HttpSide, answer: Answer) -> Finding:
    """The story of a health route that never says 200."""
    route, status = web.health_route, answer.status
    seen = f"GET {route} at {web.address}: {answer}"
    if status is None:
        return failed(seen, *_SILENT)
    if status == 404:
        there = [
            other
            for other in _OTHER_ROUTES
            if other != route and web.ask("GET", other, HEALTH_SECONDS / 5).status == 200
        ]
        where = f"; {', '.join(there)} answers 200" if there else ""
        return failed(
            seen + where,
            f"The server has no route {route}: it does not read AIP_HEALTH_ROUTE, or serves health elsewhere.",
            f"""
            Serve health where the platform asks:
                @app.get(os.environ.get("AIP_HEALTH_ROUTE", "/health"))
                def health(): ...
            or name the server's route in the spec (and run this with AIP_HEALTH_ROUTE set to it):
                healthRoute: {there[0] if there else "/the/route"}
            """,
        )
    cause, remedy = _STATUSES.get(status) or _STATUSES.get(status // 100 * 100) or _STATUSES[200]
    return failed(seen, cause, remedy)


_SILENT = (
    "No HTTP answer comes: nothing listens on this port, the server is bound to another address or port, it speaks "
    "another protocol, or it hangs.",
    """
    Listen on the port that the platform gives, on all addresses:
        uvicorn.run(app, host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))
    """,
)
_STATUSES = {
    200: (
        "The route answers with a status that is not exactly 200, and the platform takes 200 alone for healthy.",
        """
        Answer 200, with or without a body:
            return Response(status_code=200)
        """,
    ),
    300: (
        "The health route answers with a redirect (to another path, with or without the last slash, or to https), and "
        "the platform follows none.",
        "Answer 200 on exactly this path, in plain HTTP; or name in the spec the path that answers.",
    ),
    400: (
        "The health route refuses the request: it wants a parameter, a body, or a Host header that it knows (Django's "
        "ALLOWED_HOSTS, a TrustedHostMiddleware).",
        """
        Take a plain GET without parameters, under any Host:
            ALLOWED_HOSTS = ["*"]
        """,
    ),
    401: (
        "The health route asks for credentials, and the platform has none.",
        "Leave the health route out of authentication: the platform is in front of the container already.",
    ),
    405: (
        "The route exists, and takes no GET.",
        '@app.get(os.environ["AIP_HEALTH_ROUTE"])    # and not @app.post',
    ),
    500: (
        "The health route fails with an exception of its own.",
        "Look at the server's log. A health route says 503 while the model loads, and 200 when it can answer.",
    ),
    503: (
        "The server says that it is not ready, and never becomes so: the model does not load, or nothing sets the "
        "state when it has.",
        "Look at the server's log. If loading takes this long, raise --timeout (and the spec's startup probe).",
    ),
}
_STATUSES[403] = _STATUSES[401]


def _settled(web: HttpSide, session: Session, body: Any) -> tuple[Answer, list[Answer]]:
    """What the predict route answers once it has settled, and all answers until then."""
    answers = [web.predict(body, session.timeout)]
    until = time.monotonic() + _SETTLING
    while (answers[-1].status or 500) >= 500 and time.monotonic() < until and session.left():
        time.sleep(_POLL)
        answers.append(web.predict(body, session.timeout))
    if answers[-1].seconds > _LAZY:  # whether every prediction takes so long
        answers.append(web.predict(body, session.timeout))
    return answers[-1], answers


def _lie(web: HttpSide, first: Answer, later: Answer) -> Finding | None:
    """Whether health said 200 while predictions could not be made yet, or never could."""
    early = (first.status or 503) >= 500 and later.status == 200
    if not early and later.status != 503:
        return None
    return failed(
        f"GET {web.health_route}: 200, and then POST {web.predict_route}: {first}"
        + (f"; later {later}" if early else ""),
        "Health says 200 as soon as the server listens, and not when its model can answer: the platform sends traffic "
        "that fails.",
        """
        Say 503 until the model is loaded, and has predicted once:
            @app.get(os.environ["AIP_HEALTH_ROUTE"])
            def health():
                return Response(status_code=200 if model.ready else 503)
        """,
    )


class _Load:
    """Callers that keep the predict route busy while health is looked at, one request at a time."""

    def __init__(self, web: HttpSide, body: Any) -> None:
        self._web, self._body = web, body
        self._stop = threading.Event()
        self.answers: list[Answer] = []

    def run(self, session: Session) -> tuple[float, Answer | None]:
        """The slowest answer of the health route, in seconds, and the first that was not 200."""
        callers = [threading.Thread(target=self._call, daemon=True) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        until = time.monotonic() + _LOADED_SECONDS
        slowest = 0.0
        try:
            for look in range(_LOOKS):
                if look and (time.monotonic() > until or not session.left()):
                    break
                time.sleep(_POLL / 2)
                answer = self._web.health(HEALTH_SECONDS)
                slowest = max(slowest, answer.seconds)
                if answer.status != 200:
                    return slowest, answer
            return slowest, None
        finally:
            self._stop.set()
            end = time.monotonic() + min(HEALTH_SECONDS, session.left())
            for caller in callers:  # what follows is not to meet this load
                caller.join(max(0.0, end - time.monotonic()))

    def _call(self) -> None:
        for _ in range(_EACH):
            if self._stop.is_set():
                return
            self.answers.append(self._web.predict(self._body, HEALTH_SECONDS * 2))


def _not_under_load(web: HttpSide, bad: Answer, load: _Load) -> Finding:
    seen = f"with {CALLERS} callers at {web.predict_route}, GET {web.health_route}: {bad}"
    if bad.status is not None:
        return failed(
            seen,
            "Health says that the server is not well while it is only busy: the platform takes it out of service, or "
            "restarts it, under load.",
            "Let health tell whether the model is loaded, and nothing about load; refuse predictions beyond a limit "
            "with 503 or 429 instead.",
        )
    return failed(
        seen,
        "All workers (or the event loop) are busy predicting, so that health waits behind predictions: the platform "
        f"gives up after {HEALTH_SECONDS:.0f} s, and restarts a server that is only busy.",
        """
        Keep the event loop free: `def` instead of `async def` for what computes (FastAPI then uses a thread), or
            return await asyncio.to_thread(model.predict, instances)
        With gunicorn, give threads: gunicorn --threads 8 ...
        """,
    )


CHECK = Check("http-health", "the HTTP health route says 200 when, and only when, it is ready", run, platforms=ONLY)
