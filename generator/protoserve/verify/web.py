"""The HTTP side of a model server, as Vertex AI asks it: a health route, and one that predicts."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from protoserve.verify.address import Address
from protoserve.verify.client import clipped

ROUTES = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": "/predict"}
_MOST_BYTES = 64 << 20
_POLL = 0.05
_IMPATIENT = 1.0  # so long a route may be missing that is still to come
# Vertex AI waits so many seconds for an answer of the health route.
HEALTH_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came to one request; `status` is None where no HTTP answer came, and `said` then tells why."""

    status: int | None
    said: str
    body: bytes
    seconds: float
    content_type: str = ""
    location: str = ""

    def json(self) -> Any:
        """The body. Raises ValueError where it is no JSON."""
        return json.loads(self.body)

    def __str__(self) -> str:
        if self.status is None:
            return f"{self.said} after {self.seconds:.2f} s"
        body = f" {clipped(self.body[:400].decode('utf-8', 'replace'), 160)!r}" if self.body else ""
        where = f", Location: {clipped(self.location)}" if self.location else ""
        return f"{self.status} {self.said}{where}{body} after {self.seconds:.2f} s".replace("  ", " ")


@dataclass(slots=True)
class Start:
    """How the server became ready: `health` is the last answer, `after` how many seconds until it was 200.

    `early` is what the predict route answered then and there, None where there was nothing to send.
    """

    health: Answer
    after: float | None = None
    early: Answer | None = None


class Web:
    """The routes at an address. Every request has an end, and is counted; `alone` says that no gRPC is beside it."""

    def __init__(
        self, address: Address, left: Callable[[], float], *, alone: bool = False, instance: Any = None
    ) -> None:
        """`instance` is a JSON value that the model can answer, None where none was given."""
        self.address, self.alone, self.instance = address, alone, instance
        self.health_route, self.predict_route = (routes()[name] for name in ROUTES)
        self.requests = 0
        self._left = left
        self._stop = threading.Event()
        self._watching: threading.Thread | None = None
        self._start: Start | None = None

    def ask(self, method: str, route: str, timeout: float, body: bytes | None = None) -> Answer:
        """One request on a connection of its own; `timeout` seconds are for all of it, however slowly it trickles."""
        self.requests += 1
        started = time.monotonic()
        timeout = max(0.001, min(timeout, self._left()))
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=timeout)
        cut: threading.Timer | None = None
        late = threading.Event()
        try:
            connection.connect()
            cut = threading.Timer(timeout, _cut, (connection.sock, late))
            cut.daemon = True
            cut.start()
            headers = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, route, body, headers)
            got = connection.getresponse()
            data = got.read(_MOST_BYTES)
            kind, where = got.getheader("Content-Type", ""), got.getheader("Location", "")
            return Answer(got.status, got.reason, data, time.monotonic() - started, kind, where)
        except (OSError, http.client.HTTPException, ValueError) as error:
            seconds = time.monotonic() - started
            return Answer(None, _why(error, late.is_set() or isinstance(error, TimeoutError)), b"", seconds)
        finally:
            if cut is not None:
                cut.cancel()
            connection.close()

    def health(self, timeout: float) -> Answer:
        return self.ask("GET", self.health_route, timeout)

    def predict(self, body: Any, timeout: float) -> Answer:
        """`body` is sent as JSON, and as it is where it is bytes already."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", self.predict_route, timeout, data)

    def watch(self, until: float) -> None:
        """Looks at the health route from now on, until it says 200: for a server that was just started."""
        self._watching = threading.Thread(target=self._look, args=(until, time.monotonic()), daemon=True)
        self._watching.start()

    def started(self, until: float, gone: Callable[[], bool]) -> Start:
        """How it became ready: waits for that until then, or until the server is `gone`."""
        if self._watching is None:
            self.watch(until)
        while self._alive() and not gone():
            time.sleep(_POLL / 5)
        return self._start or Start(Answer(None, "no answer", b"", 0.0))

    def settled(self) -> bool:
        """Whether its health has said 200, or something else that it will go on saying."""
        return self._start is not None and (self._start.after is not None or not self._alive())

    def answers(self) -> bool:
        """Whether anything that is HTTP has come from it."""
        return self._start is not None and self._start.health.status is not None

    def close(self) -> None:
        self._stop.set()

    def _alive(self) -> bool:
        return self._watching is not None and self._watching.is_alive()

    def _look(self, until: float, began: float) -> None:
        while True:
            answer = self.health(min(HEALTH_SECONDS, max(_IMPATIENT, until - time.monotonic())))
            self._start = Start(answer)
            if answer.status == 200:
                body = {"instances": [self.instance]}
                early = None if self.instance is None else self.predict(body, HEALTH_SECONDS)
                self._start = Start(answer, time.monotonic() - began, early)
                return
            # What a loading server may say for a while; a client's error stays what it is.
            loading = answer.status is None or answer.status >= 500 or answer.status == 429
            patient = until if loading else min(until, began + _IMPATIENT)
            if time.monotonic() >= patient or self._stop.wait(_POLL) or not self._left():
                return


def routes() -> dict[str, str]:
    """The routes by the name of the variable that a platform gives them in: from this environment, else the usual."""
    return {name: os.environ.get(name) or usual for name, usual in ROUTES.items()}


def _cut(connection: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _why(error: Exception, late: bool) -> str:
    if late:
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return "the connection is refused: nothing listens there"
    if isinstance(error, ConnectionResetError | BrokenPipeError | http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.HTTPException):
        return f"what came is no HTTP/1.1 ({type(error).__name__}: {clipped(str(error), 80)})"
    return f"no connection: {error}"
