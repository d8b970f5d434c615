"""`http-predict`: the HTTP route that makes predictions of instances."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from protoserve.verify.checks.base import Check
from protoserve.verify.checks.http import NO_HTTP, ONLY, absent, bodies, unary
from protoserve.verify.http_side import Answer, HttpSide
from protoserve.verify.report import Finding, failed, passed, skipped, warned
from protoserve.verify.session import Session

_NO_INSTANCE = (
    "there is nothing to send: give an instance that the model can answer with --instance FILE.json, or the contract"
)


def run(session: Session) -> Finding:
    web = session.web
    if web is None:
        return skipped(NO_HTTP)
    if (why := absent(session, web)) is not None:
        return why
    answer, instance = None, None
    for body in bodies(session, web):
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


@dataclass
class _Predictions:
    """What the predict route must do, beginning with its answer to one instance."""

    session: Session
    web: HttpSide
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


CHECK = Check("http-predict", "instances to predictions over HTTP", run, after="http-health", platforms=ONLY)
