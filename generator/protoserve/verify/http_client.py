"""The HTTP side of a model server, as Vertex AI uses it: a health route and a predict route."""

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

from protoserve.verify import json_text
from protoserve.verify.address import Address
from protoserve.verify.grpc_client import clipped
from protoserve.verify.metadata import NONE, Metadata
from protoserve.verify.protocol_detection import NOTHING_LISTENS, refuse_itself

ROUTES = {"AIP_HEALTH_ROUTE": "/health", "AIP_PREDICT_ROUTE": "/predict"}
HEALTH_SECONDS = 10.0  # how long Vertex AI waits for an answer of the health route
_MAX_BYTES = 8 << 20  # of a body; parsed JSON takes twenty times as much memory
_POLL_SECONDS = 0.05
_MISSING_SECONDS = 1.0  # a starting server may lack a route for this long


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one request. `status` is None if no HTTP answer came, and `reason` then says why; `timed_out` is
    whether we gave up waiting for one, `too_large` whether the body was longer than we read.
    """

    status: int | None
    reason: str
    body: bytes
    seconds: float
    content_type: str = ""
    location: str = ""
    timed_out: bool = False
    too_large: bool = False

    def json(self) -> Any:
        """The body. Raises ValueError, with the place, if it is not JSON."""
        return json_text.parse(self.body)

    def __str__(self) -> str:
        if self.status is None:
            return f"{self.reason} after {self.seconds:.2f} s"
        body = f" {clipped(self.body[:400].decode('utf-8', 'replace'), 160)!r}" if self.body else ""
        where = f", Location: {clipped(self.location)}" if self.location else ""
        return f"{self.status} {self.reason}{where}{body} after {self.seconds:.2f} s".replace("  ", " ")


@dataclass(slots=True)
class Start:
    """How the server became ready: `health` is the last answer, `after` the seconds until it was 200.

    `early` is what the predict route answered at that moment, None if there was nothing to send.
    """

    health: Answer
    after: float | None = None
    early: Answer | None = None


class HttpClient:
    """The routes at an address. Every request has a deadline and is counted; `alone` says that there is no gRPC."""

    def __init__(
        self,
        address: Address,
        left: Callable[[], float],
        *,
        alone: bool = False,
        instance: Any = None,
        metadata: Metadata = NONE,
    ) -> None:
        """`instance` is a JSON value that the model accepts, None if it is not known; `metadata` become headers."""
        self._headers = metadata.headers
        self.address, self.alone, self.instance = address, alone, instance
        self.health_route, self.predict_route = (routes()[name] for name in ROUTES)
        self.requests = 0
        self._left = left
        self._stop = threading.Event()
        self._watching: threading.Thread | None = None
        self._start: Start | None = None

    def ask(self, method: str, route: str, timeout: float, body: bytes | None = None) -> Answer:
        """One request on a connection of its own; `timeout` seconds for all of it, even if data arrives slowly."""
        self.requests += 1
        started = time.monotonic()
        timeout = max(0.001, min(timeout, self._left()))
        connection = http.client.HTTPConnection(self.address.host, self.address.port, timeout=timeout)
        deadline: threading.Timer | None = None
        timed_out = threading.Event()
        try:
            connection.connect()
            if refuse_itself(connection.sock):
                raise ConnectionRefusedError
            deadline = threading.Timer(timeout, _shut_down, (connection.sock, timed_out))
            deadline.daemon = True
            deadline.start()
            content_type_header = {"Content-Type": "application/json"} if body is not None else {}
            connection.request(method, route, body, {**self._headers, **content_type_header})
            response = connection.getresponse()
            data = response.read(_MAX_BYTES + 1)
            if timed_out.is_set():  # the body is what came until then
                raise TimeoutError
            if len(data) > _MAX_BYTES:
                seconds = time.monotonic() - started
                return Answer(None, f"more than {_MAX_BYTES >> 20} MiB in the body", b"", seconds, too_large=True)
            content_type, location = response.getheader("Content-Type", ""), response.getheader("Location", "")
            seconds = time.monotonic() - started
            return Answer(response.status, response.reason, data, seconds, content_type, location)
        except (OSError, http.client.HTTPException, ValueError) as error:
            gave_up = timed_out.is_set() or isinstance(error, TimeoutError)
            return Answer(None, _failure(error, gave_up), b"", time.monotonic() - started, timed_out=gave_up)
        finally:
            if deadline is not None:
                deadline.cancel()
            connection.close()

    def health(self, timeout: float) -> Answer:
        return self.ask("GET", self.health_route, timeout)

    def predict(self, body: Any, timeout: float) -> Answer:
        """`body` is sent as JSON; bytes are sent unchanged."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.ask("POST", self.predict_route, timeout, data)

    def watch(self, until: float) -> None:
        """Polls the health route from now on, until it answers 200: for a server that was just started."""
        self._watching = threading.Thread(target=self._poll_health, args=(until, time.monotonic()), daemon=True)
        self._watching.start()

    def started(self, until: float, gone: Callable[[], bool]) -> Start:
        """How it became ready: waits until `until`, or until `gone` says that the server has ended."""
        if self._watching is None:
            self.watch(until)
        while self._is_watching() and not gone():
            time.sleep(_POLL_SECONDS / 5)
        return self._start or Start(Answer(None, "no answer", b"", 0.0))

    def settled(self) -> bool:
        """Whether its health has answered 200, or something else that will not change any more."""
        return self._start is not None and (self._start.after is not None or not self._is_watching())

    def answers(self) -> bool:
        """Whether it has answered in HTTP."""
        return self._start is not None and self._start.health.status is not None

    def close(self) -> None:
        self._stop.set()

    def _is_watching(self) -> bool:
        return self._watching is not None and self._watching.is_alive()

    def _poll_health(self, until: float, began: float) -> None:
        while True:
            answer = self.health(min(HEALTH_SECONDS, max(_MISSING_SECONDS, until - time.monotonic())))
            self._start = Start(answer)
            if answer.status == 200:
                body = {"instances": [self.instance]}
                early = None if self.instance is None else self.predict(body, HEALTH_SECONDS)
                self._start = Start(answer, time.monotonic() - began, early)
                return
            # A server that is loading may answer so for a while; other statuses will not change.
            is_loading = answer.status is None or answer.status >= 500 or answer.status == 429
            give_up = until if is_loading else min(until, began + _MISSING_SECONDS)
            if time.monotonic() >= give_up or self._stop.wait(_POLL_SECONDS) or not self._left():
                return


def routes() -> dict[str, str]:
    """The routes, by the variable in which a platform sets them: from this environment, else the usual ones."""
    return {name: os.environ.get(name) or usual for name, usual in ROUTES.items()}


def _shut_down(connection: socket.socket, timed_out: threading.Event) -> None:
    timed_out.set()
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def _failure(error: Exception, timed_out: bool) -> str:
    """Why no answer came."""
    if timed_out:
        return "no answer"
    if isinstance(error, ConnectionRefusedError):
        return NOTHING_LISTENS
    if isinstance(error, ConnectionResetError | BrokenPipeError | http.client.RemoteDisconnected):
        return "the connection was closed without an answer"
    if isinstance(error, http.client.HTTPException):
        return f"the answer is not HTTP/1.1 ({type(error).__name__}: {clipped(str(error), 80)})"
    return f"no connection: {error}"
