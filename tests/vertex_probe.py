"""What the tests of Vertex AI share: a probe with an HTTP side, and a client of it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from serving import PATIENCE, SCHEMA, Probe, Server, make_probe, starting
from support import create

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Answer:
    status: int
    body: Any
    headers: http.client.HTTPMessage

    @property
    def violations(self) -> list[tuple[str, str]]:
        found = self.body["error"]["details"][0]["fieldViolations"]
        return [(item["field"], item["description"]) for item in found]

    @property
    def message(self) -> str:
        return str(self.body["error"]["message"])


class Http:
    """The HTTP side of a server. Calls may run beside the test."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._pool = ThreadPoolExecutor(16)

    @property
    def port(self) -> int:
        line = self.server.log.wait(lambda line: line["message"].startswith("HTTP: listening"))[0]
        return int(line["message"].rpartition(" ")[2])

    def ask(self, method: str, path: str, body: bytes | None = None, headers: dict[str, str] = JSON) -> Answer:
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)) as connection:
            connection.request(method, path, body, headers)
            reply = connection.getresponse()
            text = reply.read()
            return Answer(reply.status, json.loads(text) if text else None, reply.headers)

    def health(self, path: str = "/health") -> int:
        return self.ask("GET", path).status

    def predict(self, *instances: Any, path: str = "/predict", **more: Any) -> Answer:
        return self.ask("POST", path, json.dumps({"instances": instances, **more}).encode())

    def predict_soon(self, *instances: Any, **more: Any) -> Future[Answer]:
        return self._pool.submit(self.predict, *instances, **more)

    def close(self) -> None:
        self._pool.shutdown()


def row(value: float, mode: str = "plain", **more: Any) -> dict[str, Any]:
    return {"value": value, "mode": mode, "points": [], **more}


def make_vertex_probe(template: Path, folder: Path) -> Probe:
    """The probe of tests/serving.py in a project with the answer vertex-ai."""
    (folder / "schema.yaml").write_text(SCHEMA, encoding="utf-8")
    answers = {"project_name": "Probe", "package": "probe", "framework": "python", "platforms": ["vertex-ai"]}
    return make_probe(create(template, folder / "probe", **answers, schema=str(folder / "schema.yaml")))


@contextmanager
def loading(probe: Probe, **settings: str) -> Iterator[Http]:
    """A server that was just started, with its HTTP on a free port."""
    with starting(probe, **{"AIP_HTTP_PORT": "0", **settings}) as server:
        web = Http(server)
        try:
            yield web
        finally:
            server.process.kill()  # what still waits for an answer gets none
            web.close()


@contextmanager
def running(probe: Probe, **settings: str) -> Iterator[Http]:
    with loading(probe, **settings) as web:
        web.server.until_serving()
        yield web
