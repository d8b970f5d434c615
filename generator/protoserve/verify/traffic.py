"""Load on a server: callers that keep valid calls in flight, and a timer of how fast the server accepts calls."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Self

import grpc

from protoserve.verify.grpc_client import USUAL_BYTES, Call, Client, Reply
from protoserve.verify.interface import Method
from protoserve.verify.session import Session

# A method that no server has. A server that is not blocked refuses it at once, without a worker.
NO_SUCH_METHOD = "/protoserve.verify.v1.Nothing/Nothing"
_ACCEPT_SECONDS = 1.0
_ACCEPT_PAUSE = 0.01
_REFUSAL_PAUSE = 0.05  # a refusal costs a server next to nothing: without a pause thousands of calls would follow
_CALLERS_OF_LARGE = 2
_MOST_REFUSALS = 3  # in a row, after which a caller gives up


@dataclass(frozen=True, slots=True)
class SentCall:
    """One call: when it was sent (`time.monotonic`), how it ended, and which of several callers sent it."""

    at: float
    reply: Reply
    caller: int = 0

    @property
    def ended_at(self) -> float:
        return self.at + self.reply.seconds


@dataclass(slots=True)
class Traffic:
    """`callers` threads, each of which repeats the method's valid request as soon as it is answered, `most` times.

    They stop at the end of the `with` block, which cancels the calls in flight; those are not in `sent`.
    """

    session: Session
    method: Method
    callers: int
    most: int
    pause: float = 0.0  # seconds between an answer and the next call
    patient: bool = True  # False: a caller gives up when the server no longer accepts its calls
    sent: list[SentCall] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _open: set[Call] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Self:
        data = self.session.request(self.method).data
        # Replies that are larger than usual could fill the memory of this machine.
        are_large = self.session.reply_bytes(self.method) > USUAL_BYTES
        for caller in range(min(self.callers, _CALLERS_OF_LARGE) if are_large else self.callers):
            self._threads.append(threading.Thread(target=self._call_repeatedly, args=(caller, data), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        with self._lock:
            for call in self._open:
                call.cancel()
        for thread in self._threads:
            thread.join(2)

    def settle(self, seconds: float) -> None:
        """Sends no more, and waits so long for the calls in flight to end.

        A call that is cancelled has ended for its caller, while the server may still work on it.
        """
        self._stop.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(until - time.monotonic(), 0))

    def running(self) -> bool:
        """Whether any caller still sends calls."""
        return any(thread.is_alive() for thread in self._threads)

    def in_flight(self) -> int:
        with self._lock:
            return len(self._open)

    def _call_repeatedly(self, caller: int, data: bytes) -> None:
        refusals = 0
        for _ in range(self.most):
            with self._lock:
                if self._stop.is_set():
                    return
                at = time.monotonic()
                call = self.session.start(self.method, data, self.session.timeout)
                self._open.add(call)
            reply = call.reply()
            with self._lock:
                self._open.discard(call)
                if not self._stop.is_set():
                    self.sent.append(SentCall(at, replace(reply, messages=()), caller))  # messages may be large
            refusals = refusals + 1 if reply.code is grpc.StatusCode.UNAVAILABLE else 0
            if refusals >= _MOST_REFUSALS and not self.patient:
                return
            if self._stop.wait(self.pause if reply.ok else max(self.pause, _REFUSAL_PAUSE)):
                return


class AcceptTimer:
    """Measures how long the server takes to accept a call, by calling NO_SUCH_METHOD again and again.

    It ends with the traffic, or when the calls fail in another way: a server that stops may wait for the last call.
    """

    def __init__(self, client: Client, traffic: Traffic) -> None:
        self._client, self._traffic = client, traffic
        self._calls: list[SentCall] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._measure, daemon=True)
        self._thread.start()

    def slowest(self, before: float = math.inf) -> float:
        """The most seconds that a call took, of those that ended before then (`time.monotonic`)."""
        return max((call.reply.seconds for call in list(self._calls) if call.ended_at < before), default=0.0)

    def close(self) -> None:
        """Stops calling, and returns when the last call has ended."""
        self._stop.set()
        self._thread.join(2 * _ACCEPT_SECONDS)

    def _measure(self) -> None:
        refusals = 0
        while refusals < _MOST_REFUSALS and self._traffic.running() and not self._stop.wait(_ACCEPT_PAUSE):
            at = time.monotonic()
            reply = self._client.call(NO_SUCH_METHOD, b"", _ACCEPT_SECONDS)
            self._calls.append(SentCall(at, reply))
            refusals = 0 if reply.code is grpc.StatusCode.UNIMPLEMENTED else refusals + 1
