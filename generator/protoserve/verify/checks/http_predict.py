"""`http-predict`: the HTTP route that turns instances into predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protoserve.verify import json_text
from protoserve.verify.checks import credentials
from protoserve.verify.checks.check import Check
from protoserve.verify.checks.http_requests import (
    ONLY,
    not_judged,
    predict_alone,
    request_bodies,
    stopped_predicting,
    unary,
)
from protoserve.verify.grpc_client import clipped
from protoserve.verify.http_client import Answer, HttpClient
from protoserve.verify.json_compare import close, reordered, scaled
from protoserve.verify.report import Finding, failed, passed, skipped, unjudged, warned
from protoserve.verify.session import Session

# Requests that are a caller's mistake: a description, and the body.
_WRONG_BODIES: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("an instance of another type", lambda instance: {"instances": [_of_another_type(instance)]}),
    ("a body without instances", lambda instance: {"verify": 1}),
    ("a body that is not JSON", lambda instance: b"this is not JSON"),
)


def run(session: Session) -> Finding:
    if finding := not_judged(session):
        return finding
    assert session.web is not None
    first = _first_prediction(session, session.web)
    if first is None:
        return _nothing_to_send(session.web)
    route = _PredictRoute(session, session.web, *first)
    finding = route.judge_one_instance() or route.judge_more()
    return finding or passed(
        f"POST {route.path}: one prediction for each instance, in order, with and without parameters; "
        f"{len(_WRONG_BODIES)} wrong requests were refused; {route.answer.seconds:.2f} s each"
    )


def _nothing_to_send(web: HttpClient) -> Finding:
    """Without gRPC, nothing that predicts was judged then."""
    give = "Give it an instance that the model can answer with --instance FILE.json, or the contract with --proto FILE."
    return unjudged("nothing to send", give) if web.alone else skipped(f"nothing to send. {give}")


def _first_prediction(session: Session, web: HttpClient) -> tuple[Any, Answer] | None:
    """The first instance that is answered with 200 and the answer, else the first of all; None if there is none."""
    first: tuple[Any, Answer] | None = None
    for body in request_bodies(session):
        answer = web.predict(body, session.timeout)
        if first is None or answer.status == 200:
            first = body["instances"][0], answer
        if answer.status in (None, 200, 404, 405) or not session.left():
            break
    return first


@dataclass(frozen=True, slots=True)
class _PredictRoute:
    """The predict route, with an instance and the answer to it. Each method judges one requirement."""

    session: Session
    web: HttpClient
    instance: Any
    answer: Answer

    @property
    def path(self) -> str:
        return self.web.predict_route

    def _post(self, body: Any) -> Answer:
        return self.web.predict(body, self.session.timeout)

    def judge_one_instance(self) -> Finding | None:
        seen = f"POST {self.path} with one instance: {self.answer}"
        if self.answer.status == 200:
            return _judge_predictions(seen, self.answer, 1)
        if self.answer.status in (400, 422, 500):
            with_parameters = self._post({"instances": [self.instance], "parameters": {}})
            if with_parameters.status == 200:
                return failed(
                    f'{seen}; with "parameters": {{}} it answers 200',
                    "The server requires `parameters`, but the platform sends it only if the caller does.",
                    'parameters = body.get("parameters") or {}      # pydantic: parameters: dict | None = None',
                )
        return self._judge_error(seen)

    def _judge_error(self, seen: str) -> Finding:
        status = self.answer.status
        if self.answer.too_large:
            return failed(
                seen,
                "The server answers one instance with a body that is longer than a platform passes on: on Vertex AI a "
                "reply has at most 1.5 MB, or 10 MB at a dedicated endpoint.",
                "Shorten the prediction: return what callers need.",
            )
        if status is None:
            how = (
                "it hangs, or takes longer than --timeout" if self.answer.timed_out else "its worker ends, or closes it"
            )
            return failed(
                seen,
                f"The server accepts the request but does not answer: {how}.",
                "Look at the server's log, and send the same request with curl.",
            )
        if status in (404, 405):
            return failed(
                seen,
                f"The server has no POST {self.path}: it does not read AIP_PREDICT_ROUTE, or serves predictions "
                "elsewhere.",
                """
                Serve predictions at the route that the platform uses:
                    @app.post(os.environ.get("AIP_PREDICT_ROUTE", "/predict"))
                or name the server's route in the specification (and run this command with AIP_PREDICT_ROUTE set to it):
                    predictRoute: /the/route
                """,
            )
        if 300 <= status < 400:
            return failed(
                seen,
                "The predict route answers with a redirect, and the platform does not follow redirects.",
                "Answer on exactly this path, in plain HTTP, with or without a trailing slash as in the specification.",
            )
        return self._judge_refusal(seen) if status < 500 else self._judge_exception(seen)

    def _judge_refusal(self, seen: str) -> Finding:
        if self.answer.status in credentials.HTTP_REFUSALS:
            what = credentials.wanted(self.session, "credentials")
            return unjudged(f"{seen}: the server asks its callers for {what}", credentials.give(self.session))
        if self._is_guess():
            return warned(
                f"{seen}, to an instance that was made from the types",
                "The server refuses an instance that was made from the types: it needs something that these do not "
                "show.",
                "Give an instance that the model can answer: --instance FILE.json",
            )
        return failed(
            seen,
            "The server refuses an instance that should be valid: it expects instances in another form, or under "
            'another name than {"instances": [...]}.',
            """
            Read what the platform sends:
                body = await request.json()
                instances = body["instances"]          # a list; each item is one instance
            """,
        )

    def _judge_exception(self, seen: str) -> Finding:
        guess = ", or it cannot use a generated instance (then use --instance)" if self._is_guess() else ""
        return failed(
            seen,
            f"The server fails to answer a valid request: it raised an exception{guess}.",
            "Look at the server's log for the exception.",
        )

    def _is_guess(self) -> bool:
        method = next(unary(self.session.methods), None)
        if self.web.instance is not None or method is None or self.session.requests is None:
            return False
        return self.session.requests.of(method).guess

    def judge_more(self) -> Finding | None:
        """What else a route must do that answers one instance; it must answer that one to the end."""
        parts: tuple[tuple[str, Callable[[], Finding | None]], ...] = (
            ("one with parameters", self.judge_parameters),
            ("several instances", self.judge_three_instances),
            ("wrong requests", self.judge_wrong_bodies),
        )
        for description, judge in parts:
            finding = judge()
            alone = predict_alone(self.web, self.session, {"instances": [self.instance]})
            if alone.status != 200:
                return stopped_predicting(self.web, self.session, alone, f"after {description}")
            if finding is not None:
                return finding
        return self.judge_repeated_keys() or self.judge_content_type()

    def judge_parameters(self) -> Finding | None:
        answer = self._post({"instances": [self.instance], "parameters": {}})
        if answer.status == 200:
            return None
        return failed(
            f'POST {self.path} with "parameters": {{}}: {answer}; without them it answers 200',
            "The server refuses a body that has `parameters`, which the platform sends if the caller does.",
            "Ignore `parameters` if the model does not need them (pydantic: parameters: dict | None = None).",
        )

    def judge_three_instances(self) -> Finding | None:
        """Three instances give three predictions, in the order of the instances."""
        instances = [self.instance, scaled(self.instance, 0.9), scaled(self.instance, 0.8)]
        alone = [self._post({"instances": [instance]}) for instance in instances]
        if any(answer.status != 200 for answer in alone):  # the scaled instances violate a limit of the model
            instances, alone = [self.instance] * 3, [alone[0]] * 3
        answer = self._post({"instances": instances})
        seen = f"POST {self.path} with three instances: {answer}"
        if answer.status != 200:
            return failed(
                seen,
                "The server answers one instance, but fails for several in one request.",
                "Predict for every item of instances: predictions = model.predict(np.array(instances)).tolist()",
            )
        if finding := _judge_predictions(seen, answer, 3):
            return finding
        expected = [each.json()["predictions"][0] for each in alone if _has_one_prediction(each)]
        predictions = answer.json()["predictions"]
        again = self._post({"instances": instances[:1]})
        deterministic = (
            len(expected) == 3 and _has_one_prediction(again) and close(again.json()["predictions"][0], expected[0])
        )
        if deterministic and not close(predictions, expected) and reordered(predictions, expected):
            return failed(
                seen,
                "The predictions belong to the instances, but are in another order: callers match them by position.",
                "Return the predictions in the order of the instances: no set, no as_completed(), no sorting.",
            )
        return None

    def judge_wrong_bodies(self) -> Finding | None:
        """A mistake of the caller is answered with 4xx."""
        for description, body in _WRONG_BODIES:
            answer = self._post(body(self.instance))
            seen = f"POST {self.path} with {description}: {answer}"
            if answer.status is None:
                how = "hangs" if answer.timed_out else "crashes or hangs up"
                cause = f"The server does not answer a wrong request ({description}): its worker {how}."
            elif answer.status >= 500:
                cause = (
                    f"A wrong request ({description}) raises an exception, and the server answers {answer.status}: the "
                    "caller does not learn what is wrong, and the platform counts a failure of the server."
                )
            elif answer.status < 400:
                cause = (
                    f"The server answers {answer.status} to a wrong request ({description}): an error in the body of a "
                    "200, or a prediction from nothing, looks like success to every caller."
                )
            else:
                continue
            return failed(seen, cause, _ANSWER_400)
        return None

    def judge_repeated_keys(self) -> Finding | None:
        key = json_text.repeated_key(self.answer.json())
        if key is None:
            return None
        return warned(
            f"POST {self.path}: {self.answer}; {key} stands twice",
            "An object of the answer has one key twice: some clients read the first value, some the last, some none.",
            "Write each key once. A dict cannot have it twice, so build the answer as a dict.",
        )

    def judge_content_type(self) -> Finding | None:
        if self.answer.content_type.partition(";")[0].strip().lower() == "application/json":
            return None
        return warned(
            f"POST {self.path}: Content-Type is {self.answer.content_type or 'missing'!r}",
            "The body is JSON, but its Content-Type does not say so: clients that rely on it do not parse the body.",
            "Answer with Content-Type: application/json (Flask: jsonify(...), FastAPI: return the dict).",
        )


def _of_another_type(instance: Any) -> Any:
    return [] if isinstance(instance, str) else "this is not an instance of the model"


def _judge_predictions(seen: str, answer: Answer, count: int) -> Finding | None:
    """What is wrong with the body of a 200; None if it has `count` predictions."""
    try:
        body = answer.json()
    except ValueError as error:
        return _not_json(f"{seen}; {clipped(str(error))}", error)
    if isinstance(body, list):
        return failed(seen, "The body is a list, but must be an object with `predictions`.", _RETURN_PREDICTIONS)
    if not isinstance(body, dict) or "predictions" not in body:
        keys = ", ".join(map(str, body)) if isinstance(body, dict) else type(body).__name__
        return failed(f"{seen}; it has {keys or 'nothing'}", "The body has no `predictions` key.", _RETURN_PREDICTIONS)
    predictions = body["predictions"]
    if not isinstance(predictions, list):
        return failed(seen, "`predictions` is not a list.", _RETURN_PREDICTIONS)
    if len(predictions) != count:
        return failed(
            f"{seen}; {len(predictions)} predictions for {count} instance{'s' * (count > 1)}",
            "The number of predictions differs from the number of instances: the server answers only the first, or "
            "returns the model's whole output, whose first dimension is not the batch.",
            _RETURN_PREDICTIONS,
        )
    return None


def _not_json(seen: str, error: ValueError) -> Finding:
    if not isinstance(error, json_text.ConstantError):
        return failed(seen, "The body is not JSON.", _RETURN_PREDICTIONS)
    return failed(
        seen,
        "The body is not JSON, which has no NaN and no Infinity, although Python writes and reads them. Other readers "
        "refuse the whole answer.",
        """
        Let such a number be an error of the server:
            json.dumps(answer, allow_nan=False)
        or return null in its place: None if math.isnan(value) else value
        """,
    )


def _has_one_prediction(answer: Answer) -> bool:
    return answer.status == 200 and _judge_predictions("", answer, 1) is None


_ANSWER_400 = """
    Check the request before the model sees it, and answer 400 with what is wrong:
        try:
            instances = [parse(item) for item in json.loads(body)["instances"]]
        except (ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": str(error)}, status_code=400)
    """
_RETURN_PREDICTIONS = 'Return an object: {"predictions": [one for each instance, in their order]}'

CHECK = Check(
    "http-predict",
    "the HTTP predict route turns instances into predictions",
    run,
    after="http-health",
    platforms=ONLY,
    decisive=True,
)
