"""Valid calls kept in flight, open health Watches, and calls of nothing: what a server must bear, and how it does."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Self

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from protoserve.verify.client import Call, Client, Reply
from protoserve.verify.interface import Method
from protoserve.verify.session import WATCH, Session

# A method that no server has. One that is not blocked says UNIMPLEMENTED at once, without a worker.
NOTHING = "/protoserve.verify.v1.Nothing/Nothing"
_NOTHING_SECONDS = 1.0
_NOTHING_PAUSE = 0.01
_GIVES_UP = 3  # so many calls in a row that a server no longer takes end a caller


@dataclass(frozen=True, slots=True)
class Sent:
    """One call: when it was sent (`time.monotonic`), how it ended, and which of several callers sent it."""

    at: float
    reply: Reply
    caller: int = 0


@dataclass(slots=True)
class Traffic:
    """`callers` threads that each send the method's valid request again as soon as it is answered, `most` times.

    They end when the block is left: what is in flight then is cancelled and not in `sent`.
    """

    session: Session
    method: Method
    callers: int
    most: int
    pause: float = 0.0  # seconds between an answer and the next call
    patient: bool = True  # False: a caller ends when the server no longer takes its calls
    sent: list[Sent] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _open: set[Call] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        data = self.session.request(self.method).data
        for caller in range(self.callers):
            self._threads.append(threading.Thread(target=self._loop, args=(caller, data), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._lock:
            for call in self._open:
                call.cancel()
        for thread in self._threads:
            thread.join(2)

    def going(self) -> bool:
        """Whether any caller still sends."""
        return any(thread.is_alive() for thread in self._threads)

    def in_flight(self) -> int:
        with self._lock:
            return len(self._open)

    def _loop(self, caller: int, data: bytes) -> None:
        method, refused = self.method, 0
        for _ in range(self.most):
            with self._lock:
                if self._stop.is_set():
                    return
                at = time.monotonic()
                call = self.session.client.start(
                    method.path, data, self.session.timeout, stream=method.takes_stream, many=method.gives_stream
                )
                self._open.add(call)
            reply = call.reply()
            with self._lock:
                self._open.discard(call)
                if not self._stop.is_set():
                    self.sent.append(Sent(at, replace(reply, messages=()), caller))  # large ones would fill the memory
            refused = refused + 1 if reply.code is grpc.StatusCode.UNAVAILABLE else 0
            if refused >= _GIVES_UP and not self.patient:
                return
            # A refusal costs a server next to nothing, so that without a pause we would send thousands.
            if self._stop.wait(self.pause if reply.ok else max(self.pause, 0.05)):
                return


class Taking:
    """How long the server needs to take a call, on this machine as busy as it is: asks for NOTHING again and again.

    It ends with the traffic, and when it is refused otherwise: a server that stops may wait until nobody calls it.
    """

    def __init__(self, client: Client, traffic: Traffic) -> None:
        self._client, self._traffic = client, traffic
        self._asked: list[Sent] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._ask, daemon=True)
        self._thread.start()

    def slowest(self, before: float = math.inf) -> float:
        """The longest that one took, in seconds, of those that had ended by then (`time.monotonic`)."""
        return max((one.reply.seconds for one in list(self._asked) if one.at + one.reply.seconds < before), default=0.0)

    def close(self) -> None:
        """Returns when nothing is asked any more."""
        self._over.set()
        self._thread.join(2 * _NOTHING_SECONDS)

    def _ask(self) -> None:
        refused = 0
        while refused < _GIVES_UP and self._traffic.going() and not self._over.wait(_NOTHING_PAUSE):
            at = time.monotonic()
            reply = self._client.call(NOTHING, b"", _NOTHING_SECONDS)
            self._asked.append(Sent(at, reply))
            refused = 0 if reply.code is grpc.StatusCode.UNIMPLEMENTED else refused + 1


class Watch:
    """An open health Watch: the statuses that came, by name (`?` for bytes that are none), and how it ended."""

    def __init__(self, client: Client, service: str, timeout: float) -> None:
        self.statuses: list[str] = []
        self.end: Reply | None = None  # None while it is open
        self._news = threading.Condition()
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        self._call = client.start(WATCH, request, timeout, many=True)
        threading.Thread(target=self._read, daemon=True).start()

    def first(self, timeout: float) -> str | None:
        """The first status, None where none came in time or the stream ended without one."""
        with self._news:
            self._news.wait_for(lambda: self.statuses or self.end, timeout)
            return self.statuses[0] if self.statuses else None

    def ended(self, timeout: float) -> Reply | None:
        """How it ended, None where it is still open after `timeout` seconds."""
        with self._news:
            self._news.wait_for(lambda: self.end is not None, timeout)
            return self.end

    def cancel(self) -> None:
        self._call.cancel()

    def _read(self) -> None:
        for data in self._call.messages():
            with self._news:
                self.statuses.append(_status(data))
                self._news.notify_all()
        end = self._call.reply()  # of a stream that has ended: its status, at once
        with self._news:
            self.end = end
            self._news.notify_all()


def _status(data: bytes) -> str:
    try:
        number = health_pb2.HealthCheckResponse.FromString(data).status
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(number))
    except (ValueError, DecodeError):
        return "?"
