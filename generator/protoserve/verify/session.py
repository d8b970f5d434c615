"""What the checks of one run share: the connection, the contract, the requests, and how the server became ready."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from protoserve.verify.address import Address
from protoserve.verify.client import Client, Reply
from protoserve.verify.guessing import search
from protoserve.verify.interface import Interface, Method
from protoserve.verify.options import GRACE
from protoserve.verify.reflection import Reflection
from protoserve.verify.requests import Request, Requests, read
from protoserve.verify.targets import Started
from protoserve.verify.web import Web

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
HEALTH_TIMEOUT = 2.0
# An error of a method while health says SERVING may be the model still loading: it is asked again for so long.
SETTLING_SECONDS = 2.0
_POLL = 0.05  # seconds: a server that says SERVING a second too early is caught in the act
_AGAIN = 0.25  # each attempt that fails may leave a traceback in the server's log
BROKEN = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
_LOST = re.compile(r"failed to connect|socket closed|connection reset|goaway|connection refused|broken pipe", re.I)


@dataclass(frozen=True, slots=True)
class Health:
    """One answer of Check: the status by name (`SERVING`), None where the call failed or was no such message."""

    status: str | None
    reply: Reply

    @property
    def waits(self) -> bool:
        """Whether the server may still be starting."""
        return self.status == "NOT_SERVING" or self.reply.code is grpc.StatusCode.UNAVAILABLE

    def __str__(self) -> str:
        return self.status or str(self.reply)


@dataclass(slots=True)
class Readiness:
    """How the server became ready.

    `serving` tells after how many seconds health said SERVING under each name, `last` what it said last. `early` is
    what the first method answered to a call that was sent as soon as health said SERVING, None where it never did;
    `answer` is its answer once that had settled, after `answered` seconds; None without methods. `lied` is what the
    first method answered while health said SERVING, where that was not yet, or never, a real answer.
    """

    serving: dict[str, float] = field(default_factory=dict)
    last: dict[str, Health] = field(default_factory=dict)
    early: Reply | None = None
    answer: Reply | None = None
    answered: float = 0.0
    waited: float = 0.0
    lied: Reply | None = None

    @property
    def ready(self) -> bool:
        return self.answer is not None and self.answer.code is not grpc.StatusCode.UNAVAILABLE


@dataclass(slots=True)
class Session:
    """A run against one server. Times are in seconds; `ends` is `time.monotonic`'s."""

    address: Address
    client: Client
    timeout: float
    ends: float
    platform: str = "generic"
    process: Started | None = None  # what this run started, None for a server that ran before
    grace: float = GRACE  # what this run started may take to end
    interface: Interface | None = None  # None until one is known
    given: tuple[str, ...] = ()  # what --request said
    project: Path | None = None  # a project with sample requests
    requests: Requests | None = None
    reflection: Reflection | None = None  # None until the server was asked
    web: Web | None = None  # the HTTP side, where there is one to look at
    replies: dict[str, Reply] = field(default_factory=dict)  # by method's path: the answer to its settled request
    started: float = field(default_factory=time.monotonic)
    _readiness: Readiness | None = None

    def left(self) -> float:
        """How many seconds the run has still got."""
        return max(0.0, self.ends - time.monotonic())

    @property
    def methods(self) -> tuple[Method, ...]:
        return () if self.interface is None else self.interface.methods

    def reflect(self) -> None:
        """Asks the server what it offers; that is the contract where no other was given. Raises UsageError."""
        self.reflection = Reflection(self.client)
        if self.interface is None:
            self.interface = self.reflection.interface()
            self.set_requests()

    def set_requests(self) -> None:
        """Reads what requests were given for the interface. Raises UsageError."""
        if self.interface is not None:
            self.requests = Requests(self.interface, read(self.interface, self.given, self.project))

    def request(self, method: Method) -> Request:
        assert self.requests is not None
        return self.requests.of(method)

    def ask(self, method: Method, data: bytes, timeout: float | None = None) -> Reply:
        """One call of a method, with `--timeout` where no other is given."""
        wait = self.timeout if timeout is None else timeout
        return self.client.call(method.path, data, wait, stream=method.takes_stream, many=method.gives_stream)

    def health(self, service: str, timeout: float = HEALTH_TIMEOUT) -> Health:
        """One Check."""
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        return read_health(self.client.call(CHECK, request, timeout))

    def readiness(self) -> Readiness:
        """Waits, at most `timeout` seconds since the start, until health says SERVING and the methods answer."""
        if self.reflection is None:
            self.reflect()
        if self._readiness is None:
            self._readiness = self._wait()
        return self._readiness

    def answer_all(self) -> None:
        """Fills `replies`, once the server is ready. Raises UsageError."""
        self.readiness()
        for method in self.methods:
            if method.path not in self.replies:
                self.replies[method.path] = search(self, method)

    def wait_while_starting(self) -> None:
        """Waits while health says that the server still loads: one that this run started may yet end by itself."""
        until = self.started + self.timeout
        while time.monotonic() < until and self.left() and not self._has_ended():
            if not self.health("").waits:
                return
            time.sleep(min(_POLL, self.left()))

    def _wait(self) -> Readiness:
        found, until, began = Readiness(), self.started + self.timeout, time.monotonic()
        names = ("", *(self.interface.services if self.interface else ()))
        while True:
            for name in [name for name in names if name not in found.serving]:
                found.last[name] = self.health(name)
                if found.last[name].status == "SERVING":
                    found.serving[name] = time.monotonic() - self.started
            if found.serving and found.early is None and self.methods:
                found.early = search(self, self.methods[0])  # at once: this is what a platform's first caller meets
            waits = any(health.waits for health in found.last.values())
            if not waits or time.monotonic() >= until or not self.left() or self._has_ended():
                break
            time.sleep(min(_POLL, self.left()))
        found.waited = time.monotonic() - began if any(health.status for health in found.last.values()) else 0.0
        if self.methods:
            found.answer = self._settled(found.early, until)
            found.answered = time.monotonic() - self.started
            found.lied = _lie(found)
        return found

    def _settled(self, early: Reply | None, until: float) -> Reply:
        """The first method's answer, asked for again while it may still be loading."""
        settled = min(until, time.monotonic() + SETTLING_SECONDS)
        method = self.methods[0]
        reply = search(self, method) if early is None else early
        while reply.code in BROKEN and not lost(reply) and self.left() and not self._has_ended():
            now = time.monotonic()
            loading = reply.code is grpc.StatusCode.UNAVAILABLE
            if now >= (until if loading else settled) or (early is None and not loading):
                break  # where health never said SERVING, an error that is not UNAVAILABLE is the answer
            time.sleep(min(_AGAIN, self.left()))
            reply = self.ask(method, self.request(method).data)
        return reply

    def _has_ended(self) -> bool:
        return self.process is not None and self.process.ended()


def _lie(found: Readiness) -> Reply | None:
    """What the method answered while health said SERVING and it could not answer yet, or never could."""
    early, answer = found.early, found.answer
    if early is None or answer is None or lost(early) or lost(answer):
        return None
    if early.code in BROKEN and answer.code not in BROKEN:
        return early
    return answer if answer.code is grpc.StatusCode.UNAVAILABLE else None


def lost(reply: Reply) -> bool:
    """Whether the connection broke, as when the server ends: gRPC's client says UNAVAILABLE by itself then."""
    return reply.code is grpc.StatusCode.UNAVAILABLE and bool(_LOST.search(reply.details))


def read_health(reply: Reply) -> Health:
    """What an answer of the health service says."""
    if not reply.ok or len(reply.messages) != 1:
        return Health(None, reply)
    try:
        status = health_pb2.HealthCheckResponse.FromString(reply.messages[0]).status
        return Health(health_pb2.HealthCheckResponse.ServingStatus.Name(status), reply)
    except (ValueError, DecodeError):
        return Health(None, reply)
