"""`http-health` and `http-predict`: the two HTTP routes that Vertex AI asks a container for."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from google.protobuf import json_format

from protoserve.verify.checks.base import Check
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, passed, skipped, warned
from protoserve.verify.session import Session
from protoserve.verify.targets.image import ImageServer
from protoserve.verify.web import HEALTH_SECONDS, Answer, Web

# Load while health is asked: so many callers, each with at most so many requests, for so many seconds of a quick model.
CALLERS = 16
_EACH = 20
_LOADED_SECONDS = 0.5
_LOOKS = 10
_SETTLING = 2.0
_POLL = 0.1
_LAZY = 1.0
_OTHER_ROUTES = ("/health", "/healthz", "/ping", "/v1/health/ready", "/")
_NO_HTTP = "no HTTP server was named; give --http HOST:PORT where there is one"
_NO_INSTANCE = (
    "there is nothing to send: give an instance that the model can answer with --instance FILE.json, or the contract"
)


def health(session: Session) -> Finding:
    web = session.web
    if web is None:
        return skipped(_NO_HTTP)
    if (why := _absent(session, web)) is not None:
        return why
    start = web.started(session.started + session.timeout, lambda: _gone(session))
    if start.after is None:
        return (_absent(session, web) if start.health.status is None else None) or _unhealthy(web, start.health)
    seen = f"GET {web.health_route}: 200 after {start.after:.2f} s"
    body = next(_bodies(session, web), None)
    if body is None:
        return passed(seen)
    later, waited = _settled(web, session, body)
    first = start.early or waited[0]
    if lie := _lie(web, first, later):
        return lie
    if later.status != 200:
        return passed(f"{seen}; not asked under load, since {web.predict_route} answers {later.status or later.said}")
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


def predict(session: Session) -> Finding:
    web = session.web
    if web is None:
        return skipped(_NO_HTTP)
    if (why := _absent(session, web)) is not None:
        return why
    answer, instance = None, None
    for body in _bodies(session, web):
        reply = web.predict(body, session.timeout)
        if answer is None or reply.status == 200:
            answer, instance = reply, body["instances"][0]
        if reply.status in (None, 200, 404, 405) or not session.left():
            break
    if answer is None:
        return skipped(_NO_INSTANCE)
    found = _Predictions(session, web, instance)
    for finding in found.findings(answer):
        if finding is not None:
            return finding
    return passed(
        f"POST {web.predict_route}: one prediction for each instance, in order, with and without parameters; "
        f"{found.refused} wrong requests were refused; {answer.seconds:.2f} s each"
    )


def _absent(session: Session, web: Web) -> Finding | None:
    """Where no HTTP server is to be judged: why. Or where it listens instead."""
    server = session.process
    if not isinstance(server, ImageServer):
        return None
    if server.ended():
        return skipped("the container has ended; `reachable` or `shutdown` tells about that")
    sockets = server.sockets()
    if sockets is None or server.http is None:
        return None
    hosts = [host for host, port in sockets if port == server.http]
    if not server.grpc:
        return None if any(not host.is_loopback for host in hosts) else skipped("reachable failed")
    if server.inside == server.http:
        return skipped(f"port {server.http} speaks gRPC")
    if not hosts:
        return skipped(
            f"nothing listens on AIP_HTTP_PORT={server.http}: with grpcPorts in the spec, Vertex AI asks by gRPC alone"
        )
    if all(host.is_loopback for host in hosts):
        return failed(
            f"inside the container, HTTP listens on 127.0.0.1:{server.http}",
            "The HTTP server is bound to the loopback: nothing outside of its container reaches it.",
            """
            Bind to all addresses:
                uvicorn.run(app, host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))
            """,
        )
    return None


def _gone(session: Session) -> bool:
    return not session.left() or (session.process is not None and session.process.ended())


def _unhealthy(web: Web, answer: Answer) -> Finding:
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


def _settled(web: Web, session: Session, body: Any) -> tuple[Answer, list[Answer]]:
    """What the predict route answers once it has settled, and all answers until then."""
    answers = [web.predict(body, session.timeout)]
    until = time.monotonic() + _SETTLING
    while (answers[-1].status or 500) >= 500 and time.monotonic() < until and session.left():
        time.sleep(_POLL)
        answers.append(web.predict(body, session.timeout))
    if answers[-1].seconds > _LAZY:  # whether every prediction takes so long
        answers.append(web.predict(body, session.timeout))
    return answers[-1], answers


def _lie(web: Web, first: Answer, later: Answer) -> Finding | None:
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

    def __init__(self, web: Web, body: Any) -> None:
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


def _not_under_load(web: Web, bad: Answer, load: _Load) -> Finding:
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


def _bodies(session: Session, web: Web) -> Iterator[dict[str, Any]]:
    """Bodies with one instance, in the order in which to try them: the given one, or what the contract suggests."""
    if web.instance is not None:
        yield {"instances": [web.instance]}
        return
    method = next(unary(session.methods), None)
    if method is None or session.requests is None:
        return
    for request in session.requests.candidates(method):
        yield {"instances": [as_json(method, request.data)]}


def unary(methods: Iterable[Method]) -> Iterator[Method]:
    """Those that take and give one message: the predict route stands for the first."""
    return (method for method in methods if not (method.takes_stream or method.gives_stream))


def as_json(method: Method, data: bytes) -> Any:
    """A request of the method as an instance: protobuf's JSON, with the fields' own names."""
    message = method.request()
    message.ParseFromString(data)
    return json_format.MessageToDict(message, preserving_proto_field_name=True)


@dataclass
class _Predictions:
    """What the predict route must do, beginning with its answer to one instance."""

    session: Session
    web: Web
    instance: Any
    refused: int = 0

    def findings(self, answer: Answer) -> Iterator[Finding | None]:
        """One after the other; None for what is right."""
        yield self._one(answer)
        yield self._with_parameters()
        yield self._several()
        yield from self._wrong()
        yield self._form(answer)

    def _ask(self, body: Any) -> Answer:
        return self.web.predict(body, self.session.timeout)

    def _one(self, answer: Answer) -> Finding | None:
        seen = f"POST {self.web.predict_route} with one instance: {answer}"
        if answer.status == 200:
            return _no_predictions(seen, answer, 1)
        if answer.status in (400, 422, 500):
            given = self._ask({"instances": [self.instance], "parameters": {}})
            if given.status == 200:
                return failed(
                    f'{seen}; with "parameters": {{}} it answers 200',
                    "The server makes `parameters` mandatory, and the platform sends it only where the caller gave it.",
                    'parameters = body.get("parameters") or {}      # pydantic: parameters: dict | None = None',
                )
        return self._refused(seen, answer)

    def _refused(self, seen: str, answer: Answer) -> Finding:
        status, route = answer.status, self.web.predict_route
        if status is None:
            return failed(
                seen,
                "The server takes the request and gives no answer: its worker dies, hangs, or takes longer than "
                "--timeout.",
                "Look at the server's log, and send the same request by hand with curl.",
            )
        if status in (404, 405):
            return failed(
                seen,
                f"The server has no POST {route}: it does not read AIP_PREDICT_ROUTE, or serves predictions elsewhere.",
                """
                Serve predictions where the platform sends them:
                    @app.post(os.environ.get("AIP_PREDICT_ROUTE", "/predict"))
                or name the server's route in the spec (and run this with AIP_PREDICT_ROUTE set to it):
                    predictRoute: /the/route
                """,
            )
        if 300 <= status < 400:
            return failed(
                seen,
                "The predict route answers with a redirect, and the platform follows none.",
                "Answer on exactly this path, in plain HTTP, without or with the last slash as the spec has it.",
            )
        guess = self.web.instance is None and self._guessed()
        if guess and status < 500:
            return warned(
                f"{seen}, to an instance that was made from the types",
                "The model wants something that its types do not tell, and refuses what was made up, as it should.",
                "Give an instance that the model can answer: --instance FILE.json",
            )
        if status < 500:
            return failed(
                seen,
                "The server refuses an instance that should be valid: it expects another form of instance, or "
                '`instances` under another name than {"instances": [...]}.',
                """
                Read what the platform sends:
                    body = await request.json()
                    instances = body["instances"]          # a list; each item is one instance
                """,
            )
        return failed(
            seen,
            "The server fails to answer a valid request: it raised an exception"
            + (", or it cannot use what was made up from the types (then give --instance)." if guess else "."),
            "Look at the server's log for the exception.",
        )

    def _guessed(self) -> bool:
        method = next(unary(self.session.methods), None)
        return method is not None and self.session.requests is not None and self.session.requests.of(method).guess

    def _with_parameters(self) -> Finding | None:
        answer = self._ask({"instances": [self.instance], "parameters": {}})
        if answer.status == 200:
            return None
        return failed(
            f'POST {self.web.predict_route} with "parameters": {{}}: {answer}; without them it answers 200',
            "The server refuses a body that has `parameters`, which the platform sends where a caller gives them.",
            "Ignore `parameters` where the model needs none (pydantic: parameters: dict | None = None).",
        )

    def _several(self) -> Finding | None:
        """Three instances give three predictions, in the order of the instances where that can be told."""
        instances = [self.instance, _scaled(self.instance, 0.9), _scaled(self.instance, 0.8)]
        alone = [self._ask({"instances": [instance]}) for instance in instances]
        if any(answer.status != 200 for answer in alone):  # a limit of the model that scaling has left
            instances, alone = [self.instance] * 3, [alone[0]] * 3
        answer = self._ask({"instances": instances})
        seen = f"POST {self.web.predict_route} with three instances: {answer}"
        if answer.status != 200:
            return failed(
                seen,
                "The server answers one instance, and fails when there are several in one request.",
                "Predict for every item of instances: predictions = model.predict(np.array(instances)).tolist()",
            )
        if finding := _no_predictions(seen, answer, 3):
            return finding
        wanted = [prediction.json()["predictions"][0] for prediction in alone if _predictions(prediction)]
        found = answer.json()["predictions"]
        again = self._ask({"instances": instances[:1]})
        steady = len(wanted) == 3 and _predictions(again) and _close(again.json()["predictions"][0], wanted[0])
        if steady and not _close(found, wanted) and _shuffled(found, wanted):
            return failed(
                seen,
                "The predictions are those of the instances, and in another order: callers match them by position.",
                "Return the predictions in the order of instances: no set, no as_completed(), no sorting on the way.",
            )
        return None

    def _wrong(self) -> Iterator[Finding | None]:
        """What the caller did wrong is the caller's error: 4xx."""
        instance: Any = [] if isinstance(self.instance, str) else "this is no instance of the model"
        bodies = {
            "an instance of another type": {"instances": [instance]},
            "a body without instances": {"verify": 1},
            "a body that is no JSON": b"this is no JSON",
        }
        for what, body in bodies.items():
            answer = self._ask(body)
            seen = f"POST {self.web.predict_route} with {what}: {answer}"
            if answer.status is None:
                yield failed(
                    seen,
                    "The server gives no answer to a wrong request: its worker dies or hangs on it.",
                    _ANSWER_400,
                )
            elif answer.status >= 500:
                yield failed(
                    seen,
                    f"A wrong request ({what}) raises an exception in the server, which answers {answer.status}: the "
                    "caller does not learn what is wrong, and the platform counts a failure of the server.",
                    _ANSWER_400,
                )
            elif answer.status < 400:
                yield failed(
                    seen,
                    f"The server answers {answer.status} to a wrong request ({what}): an error in the body of a 200, "
                    "or a prediction from nothing, looks like success to every caller.",
                    _ANSWER_400,
                )
            self.refused += 1

    def _form(self, answer: Answer) -> Finding | None:
        """What is right, and said wrongly."""
        if answer.content_type.partition(";")[0].strip().lower() == "application/json":
            return None
        return warned(
            f"POST {self.web.predict_route}: Content-Type is {answer.content_type or 'missing'!r}",
            "The body is JSON, and its Content-Type does not say so: clients that go by it do not parse it.",
            "Answer with Content-Type: application/json (Flask: jsonify(...), FastAPI: return the dict).",
        )


_ANSWER_400 = """
    Check what comes in before the model sees it, and answer 400 with what is wrong:
        try:
            instances = [parse(item) for item in json.loads(body)["instances"]]
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
    """
_RETURN = 'Return an object: {"predictions": [one for each instance, in their order]}'


def _no_predictions(seen: str, answer: Answer, count: int) -> Finding | None:
    """What is wrong with the body of a 200; None where it has so many predictions."""
    try:
        body = answer.json()
    except ValueError:
        return failed(seen, "The body is no JSON.", _RETURN)
    if isinstance(body, list):
        return failed(seen, "The body is a list, where the platform wants an object with `predictions`.", _RETURN)
    if not isinstance(body, dict) or "predictions" not in body:
        keys = ", ".join(map(str, body)) if isinstance(body, dict) else type(body).__name__
        return failed(f"{seen}; it has {keys or 'nothing'}", "The body has no `predictions` key.", _RETURN)
    found = body["predictions"]
    if not isinstance(found, list):
        return failed(seen, "`predictions` is no list.", _RETURN)
    if len(found) != count:
        return failed(
            f"{seen}; {len(found)} predictions for {count} instance{'s' * (count > 1)}",
            "The number of predictions is not the number of instances: the server answers the first alone, or returns "
            "the model's whole output, whose first dimension is not the batch.",
            _RETURN,
        )
    return None


def _predictions(answer: Answer) -> bool:
    return answer.status == 200 and _no_predictions("", answer, 1) is None


def _scaled(value: Any, factor: float) -> Any:
    """The value with its numbers made smaller, which most limits allow."""
    if isinstance(value, dict):
        return {key: _scaled(item, factor) for key, item in value.items()}
    if isinstance(value, list):
        return [_scaled(item, factor) for item in value]
    return value * factor if isinstance(value, float) else value


def _close(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal, numbers but for their last digits: batches change those."""
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_close(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_close, one, other))
    if isinstance(one, int | float) and isinstance(other, int | float):
        return math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-6)
    return bool(one == other)


def _shuffled(found: list[Any], wanted: list[Any]) -> bool:
    """Whether it is the same predictions in another order."""
    rest = list(wanted)
    for prediction in found:
        same = next((index for index, item in enumerate(rest) if _close(prediction, item)), None)
        if same is None:
            return False
        del rest[same]
    return True


HTTP = ("http-health", "http-predict")
_ONLY = ("vertex",)
HEALTH = Check(
    "http-health", "the HTTP health route says 200 when, and only when, it is ready", health, platforms=_ONLY
)
PREDICT = Check("http-predict", "instances to predictions over HTTP", predict, after="http-health", platforms=_ONLY)
