"""HTTP servers with `/health` and `/predict`: healthy ones, and ones with a single fault."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from zoo_pb import zoo_pb2

from zoo import Row, base, server

# The instance that `--instance lists` of a row stands for.
LISTS = "[1, 2.5, 3]"
# Where a test posts the script of `http-scripted`.
BREAK = "/break"
PATIENCE = ("--timeout", "2")

ROWS = (
    Row("http-healthy"),
    Row("http-one-thread"),
    Row("http-slow-start"),
    Row("http-lists", options=("--instance", "lists")),
    Row("http-health-204", "http-health", ("other than exactly 200",)),
    Row("http-health-redirects", "http-health", ("redirect", "/health/")),
    Row("http-health-400", "http-health", ("ALLOWED_HOSTS",)),
    Row("http-health-401", "http-health", ("credentials",)),
    Row("http-health-elsewhere", "http-health", ("no route /health", "/healthz answers 200")),
    Row("http-health-405", "http-health", ("does not accept GET",)),
    Row("http-health-500", "http-health", ("itself raises an exception",), options=PATIENCE),
    Row("http-never-ready", "http-health", ("never becomes ready",), options=PATIENCE),
    Row("http-silent", "http-health", ("no HTTP answer",), options=PATIENCE),
    Row("http-that-is-grpc", "http-health", ("not HTTP/1.1",), options=PATIENCE),
    Row("http-early", "http-health", ("before the model can answer",)),
    Row("http-loads-for-ever", "http-health", ("before the model can answer",)),
    Row("http-lazy", warns=frozenset({"http-health"})),
    Row("http-busy", "http-health", ("busy predicting",)),
    Row("http-unwell-when-busy", "http-health", ("only busy",)),
    Row("http-predict-elsewhere", "http-predict", ("no POST /predict",)),
    Row("http-predict-redirects", "http-predict", ("redirect",)),
    Row("http-predict-401", asks="verify sent none. Give it what a caller sends with --metadata KEY=VALUE"),
    Row("http-text", "http-predict", ("not JSON",)),
    Row("http-nan", "http-predict", ("predictions[0].total is NaN", "allow_nan=False")),
    Row("http-infinity", "http-predict", ("with three instances", "predictions[1] is Infinity")),
    Row("http-twice", warns=frozenset({"http-predict"}), words=("predictions[0].total stands twice",)),
    Row("http-list", "http-predict", ("a list",)),
    Row("http-no-key", "http-predict", ("no `predictions` key", "results")),
    Row("http-no-list", "http-predict", ("`predictions` is not a list",)),
    Row("http-count", "http-predict", ("number of predictions", "2 predictions for 1 instance")),
    Row("http-first-alone", "http-predict", ("number of predictions", "1 predictions for 3 instances")),
    Row("http-only-one", "http-predict", ("several",)),
    Row("http-shuffled", "http-predict", ("another order",)),
    Row("http-parameters-wanted", "http-predict", ("requires `parameters`",)),
    Row("http-parameters-refused", "http-predict", ("refuses a body that has `parameters`",)),
    Row("http-raises", "http-predict", ("raised an exception",)),
    Row("http-gives-up", "http-predict", ("does not answer",)),
    Row("http-wrong-500", "http-predict", ("another type) raises an exception",)),
    Row("http-wrong-200", "http-predict", ("looks like success",)),
    Row("http-wrong-drops", "http-predict", ("its worker crashes",)),
    Row("http-no-json-500", "http-predict", ("not JSON) raises an exception",)),
    Row("http-fails-after-2", "http-health", ("no longer does", "Health says 200 all the same"), options=PATIENCE),
    Row("http-hangs-after-2", "http-health", ("no longer does", "no answer"), options=PATIENCE),
    Row("http-dies-after-2", "http-health", ("no longer does", "refused"), options=PATIENCE),
    Row("http-fails-after-40", "http-health", ("no longer does",), options=PATIENCE),
    Row("http-fails-in-parallel", "http-health", ("predictions failed", "alone is answered")),
    Row("http-plain-type", warns=frozenset({"http-predict"})),
    Row("http-refuses-guess", warns=frozenset({"http-predict"})),
    Row("http-refuses-given", "http-predict", ("should be valid",), options=("--instance", "lists")),
)


class Wrong(Exception):
    """A mistake of the caller."""


class Dropped(Exception):
    """The connection ends without an answer."""


class App:
    """A healthy app; the servers below override what they do differently."""

    health_route = "/health"
    predict_route = "/predict"
    content_type = "application/json"
    threads = True

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.busy = 0
        self.lock = threading.Lock()

    def age(self) -> float:
        return time.monotonic() - self.began

    def health(self) -> int:
        return 200

    def one(self, instance: Any) -> Any:
        """The prediction for one instance."""
        try:
            request = json_format.ParseDict(instance, zoo_pb2.PredictRequest())
        except (json_format.ParseError, TypeError, AttributeError) as error:
            raise Wrong(str(error)) from None
        return {"total": base.answer(request).scores[0]}

    def read(self, body: bytes) -> Any:
        try:
            return json.loads(body)
        except ValueError as error:
            raise Wrong(str(error)) from None

    def several(self, instances: list[Any]) -> list[Any]:
        return [self.one(instance) for instance in instances]

    def reply(self, body: dict[str, Any]) -> Any:
        if not isinstance(body, dict) or not isinstance(body.get("instances"), list):
            raise Wrong("instances is missing")
        return {"predictions": self.several(body["instances"])}

    def predict(self, body: bytes) -> tuple[int, bytes]:
        try:
            return 200, json.dumps(self.reply(self.read(body))).encode()
        except Wrong as error:
            return 400, json.dumps({"error": str(error)}).encode()
        except Dropped:
            raise
        except Exception:
            return 500, b"Internal Server Error"


class Handler(BaseHTTPRequestHandler):
    """Passes requests to the app."""

    app: App

    def do_GET(self) -> None:
        if self.path == self.app.health_route:
            self.send(self.app.health(), b"")
        else:
            self.send(404, b"not found")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.path == BREAK and isinstance(self.app, ScriptedApp):
            self.send(*self.app.rewrite(body))
            return
        if self.path != self.app.predict_route:
            self.send(404, b"not found")
            return
        with self.app.lock:
            self.app.busy += 1
        try:
            self.send(*self.app.predict(body))
        except Dropped:
            self.close_connection = True
        finally:
            with self.app.lock:
                self.app.busy -= 1

    def send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", self.app.content_type)
        self.send_header("Content-Length", str(len(body)))
        if 300 <= status < 400:
            self.send_header("Location", self.path + "/")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def app(name: str) -> Callable[[type[App]], type[App]]:
    """Makes a class the HTTP server of this name."""

    def keep(made: type[App]) -> type[App]:
        def run(port: int) -> None:
            kind = ThreadingHTTPServer if made.threads else HTTPServer
            handler = type("Bound", (Handler,), {"app": made()})
            made_server = type("Patient", (kind,), {"request_queue_size": 128, "daemon_threads": True})
            made_server(("0.0.0.0", port), handler).serve_forever()

        server(name)(run)
        return made

    return keep


@app("http-healthy")
class Healthy(App):
    pass


@app("http-one-thread")
class OneThread(App):
    threads = False


@app("http-slow-start")
class SlowStart(App):
    def health(self) -> int:
        return 200 if self.age() > 2 else 503

    def predict(self, body: bytes) -> tuple[int, bytes]:
        return super().predict(body) if self.age() > 2 else (503, b"loading")


@app("http-lists")
class Lists(App):
    """An older kind of server: an instance is a row of numbers, and there is no contract."""

    def one(self, instance: Any) -> Any:
        if not isinstance(instance, list) or len(instance) != 3:
            raise Wrong("an instance is 3 numbers")
        return [value * 2 for value in instance]


def unhealthy(status: int) -> type[App]:
    class Unhealthy(App):
        def health(self) -> int:
            return status

    return Unhealthy


for _name, _status in {
    "204": 204,
    "redirects": 307,
    "400": 400,
    "401": 401,
    "405": 405,
    "500": 500,
}.items():
    app(f"http-health-{_name}")(unhealthy(_status))
app("http-never-ready")(unhealthy(503))


@app("http-health-elsewhere")
class HealthElsewhere(App):
    health_route = "/healthz"


@app("http-early")
class Early(App):
    """Its model is there some time after the first prediction: one that is asked late is asked too early, too."""

    asked: float | None = None

    def predict(self, body: bytes) -> tuple[int, bytes]:
        self.asked = self.asked or time.monotonic()
        return super().predict(body) if time.monotonic() - self.asked > 2 else (503, b"loading")


@app("http-loads-for-ever")
class LoadsForEver(App):
    def predict(self, body: bytes) -> tuple[int, bytes]:
        return 503, b"loading"


@app("http-lazy")
class Lazy(App):
    """Loads its model with the first request, while the others wait."""

    loaded = False

    def one(self, instance: Any) -> Any:
        with self.lock:
            if not self.loaded:
                time.sleep(1.5)
            self.loaded = True
        return super().one(instance)


@app("http-busy")
class Busy(App):
    threads = False

    def one(self, instance: Any) -> Any:
        time.sleep(1)
        return super().one(instance)


@app("http-unwell-when-busy")
class UnwellWhenBusy(App):
    def health(self) -> int:
        return 503 if self.busy > 2 else 200

    def one(self, instance: Any) -> Any:
        time.sleep(0.1)
        return super().one(instance)


@app("http-predict-elsewhere")
class PredictElsewhere(App):
    predict_route = "/v1/models/model:predict"


@app("http-predict-redirects")
class PredictRedirects(App):
    def predict(self, body: bytes) -> tuple[int, bytes]:
        return 308, b""


@app("http-predict-401")
class PredictWantsCredentials(App):
    def predict(self, body: bytes) -> tuple[int, bytes]:
        return 401, b""


@app("http-text")
class Text(App):
    def predict(self, body: bytes) -> tuple[int, bytes]:
        return 200, b"high"


def replying(make: Callable[[list[Any]], Any]) -> type[App]:
    class Replying(App):
        def reply(self, body: dict[str, Any]) -> Any:
            return make(super().reply(body)["predictions"])

    return Replying


app("http-list")(replying(lambda predictions: predictions))
app("http-no-key")(replying(lambda predictions: {"results": predictions}))
app("http-no-list")(replying(lambda predictions: {"predictions": predictions[0]}))
app("http-count")(replying(lambda predictions: {"predictions": [*predictions, "low"]}))
app("http-first-alone")(replying(lambda predictions: {"predictions": predictions[:1]}))
app("http-nan")(replying(lambda predictions: {"predictions": [{"total": math.nan} for _ in predictions]}))
app("http-infinity")(replying(lambda predictions: {"predictions": [3.0, math.inf, 1.0][: len(predictions)]}))


@app("http-twice")
class Twice(App):
    def predict(self, body: bytes) -> tuple[int, bytes]:
        status, answer = super().predict(body)
        return status, answer.replace(b'{"total"', b'{"total": 0, "total"')


app("http-shuffled")(replying(lambda predictions: {"predictions": sorted(predictions, key=str)}))


@app("http-only-one")
class OnlyOne(App):
    def several(self, instances: list[Any]) -> list[Any]:
        (instance,) = instances
        return [self.one(instance)]


@app("http-parameters-wanted")
class ParametersWanted(App):
    def reply(self, body: dict[str, Any]) -> Any:
        if isinstance(body, dict) and "parameters" not in body:
            raise KeyError("parameters")
        return super().reply(body)


@app("http-parameters-refused")
class ParametersRefused(App):
    def reply(self, body: dict[str, Any]) -> Any:
        if isinstance(body, dict) and body.keys() - {"instances"}:
            raise Wrong("extra fields not permitted")
        return super().reply(body)


@app("http-raises")
class Raises(App):
    def one(self, instance: Any) -> Any:
        raise RuntimeError("no such column")


@app("http-gives-up")
class GivesUp(App):
    def one(self, instance: Any) -> Any:
        raise Dropped


def wrongly(error: Callable[[], Any]) -> type[App]:
    """A server that does not check its input."""

    class Unchecked(App):
        def one(self, instance: Any) -> Any:
            return super().one(instance) if isinstance(instance, dict) else error()

    return Unchecked


def fail() -> Any:
    raise TypeError("string indices must be integers")


def drop() -> Any:
    raise Dropped


app("http-wrong-500")(wrongly(fail))
app("http-wrong-200")(wrongly(lambda: {"error": "no such instance"}))
app("http-wrong-drops")(wrongly(drop))


@app("http-no-json-500")
class NoJson(App):
    def read(self, body: bytes) -> Any:
        return json.loads(body)


@app("http-plain-type")
class PlainType(App):
    content_type = "text/html; charset=utf-8"


def refuse(instance: Any) -> Any:
    raise Wrong("speed is missing")


@app("http-refuses-guess")
class RefusesGuess(App):
    def one(self, instance: Any) -> Any:
        return refuse(instance)


@app("http-refuses-given")
class RefusesGiven(RefusesGuess):
    pass


@app("http-scripted")
class ScriptedApp(App):
    """Breaks as the JSON says that is posted to BREAK: `{"how": "fails" or "hangs" or ..., "after": predictions}`."""

    how, after, predictions = "", 0, 0

    def predict(self, body: bytes) -> tuple[int, bytes]:
        with self.lock:
            self.predictions += 1
            how = self.how if self.predictions > self.after else ""
        if how == "dies":
            os._exit(139)
        if how == "hangs":
            threading.Event().wait(60)
        if how == "drops":
            raise Dropped
        return (500, b"the session is closed") if how == "fails" else super().predict(body)

    def rewrite(self, body: bytes) -> tuple[int, bytes]:
        script = json.loads(body)
        self.how, self.after, self.predictions = script["how"], script["after"], 0
        return 200, b"{}"


def scripted(name: str, how: str, after: int) -> None:
    app(name)(type("Preset", (ScriptedApp,), {"how": how, "after": after}))


for _how in ("fails", "hangs", "dies"):
    # The first prediction is that of http-health; the load on the server follows.
    scripted(f"http-{_how}-after-2", _how, 2)
scripted("http-fails-after-40", "fails", 40)


@app("http-fails-in-parallel")
class FailsInParallel(App):
    def predict(self, body: bytes) -> tuple[int, bytes]:
        if self.busy > 4:
            return 500, b"the model is in use"
        time.sleep(0.01)
        return super().predict(body)


@server("http-silent")
def silent(port: int) -> None:
    listening = socket.create_server(("0.0.0.0", port))
    held = []
    while True:
        held.append(listening.accept())


@server("http-that-is-grpc")
def that_is_grpc(port: int) -> None:
    base.serve(port)
