"""From the bytes of a request to what comes back for it, without waiting anywhere: each step calls the next one.

Any thread may bring requests. What comes back is handed over in the thread in which it is known, which is one of the
model's for what the model computed: whoever gets it must return at once.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from ...contract.methods import Method
from .admission import Admission
from .decoding import TINY_REQUEST, Decoder, Receiver
from .jobs import StreamJob, UnaryJob
from .memory import Memory, Reservation
from .outcomes import CANNOT_ANSWER, Failure, Outcome
from .runners import Runner
from .state import ServerState

Results = list[bytes | Failure]
"""The replies to requests of a unary method, in order; a Failure where there is none."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much callers may ask at a time, as in the settings."""

    max_in_flight: int
    max_in_flight_bytes: int
    max_request_elements: int


@dataclass(slots=True, eq=False, kw_only=True)
class Exchange:
    """What is asked of a method; `deadline` is a time of `time.monotonic`.

    It is over when it has ended, or when whoever asked does not wait any more. `jobs` are there from when it is decoded
    until it is over; they know the exchange, and would otherwise keep its memory until garbage is collected.
    """

    method: Method
    deadline: float
    is_probe: bool = False
    is_over: bool = False
    memory: Reservation | None = None
    jobs: Sequence[UnaryJob | StreamJob] = ()
    job_count: int = 0

    def release_memory(self) -> None:
        if self.memory is not None:
            self.memory.release()


@dataclass(slots=True, eq=False, kw_only=True)
class UnaryExchange(Exchange):
    """Requests of a unary method, which are queued together, each with an id for the log.

    `on_end` is called once, unless the exchange is cancelled before: with the results, or with why there are none.
    """

    request_ids: Sequence[str]
    on_end: Callable[[Results | Exception], object]
    results: dict[int, bytes | Failure] = field(default_factory=dict)  # by the places of the requests


@dataclass(slots=True, eq=False, kw_only=True)
class StreamExchange(Exchange):
    """A request with a stream of replies: `on_reply` gets the bytes of each.

    `on_end` is called once, unless the exchange is cancelled before: with why the stream failed, or None. Whoever sends
    the replies to the client reports each by `Exchanges.sent`, which makes room for another.
    """

    request_id: str
    on_reply: Callable[[bytes], object]
    on_end: Callable[[Exception | None], object]


class Exchanges:
    """Takes requests to the model, and what comes back to whoever asked.

    `runner_of` says what computes a method. `send` is called after an exchange has ended in another thread than the
    model's, which call it by themselves.
    """

    def __init__(
        self,
        state: ServerState,
        runner_of: Callable[[Method], Runner],
        admission: Admission,
        limits: Limits,
        send: Callable[[], object],
    ) -> None:
        self._state, self._runner_of, self._admission, self._send = state, runner_of, admission, send
        self.memory = Memory(limits.max_in_flight_bytes)
        self._decoder = Decoder(limits.max_request_elements)
        self._waiting: set[UnaryExchange | StreamExchange] = set()  # for the model
        self._lock = threading.Lock()  # for that, and for what is over

    def begin(self, exchange: UnaryExchange | StreamExchange, data: bytes) -> None:
        """Has a request decoded and computed. Whatever is wrong with it ends the exchange."""
        try:
            if len(data) < TINY_REQUEST and isinstance(exchange, UnaryExchange):
                request = exchange.method.decode(data)
            else:
                exchange.memory = Reservation(self.memory, len(data))
                self._decode(exchange, exchange.memory, data)
                return
        except Exception as error:
            self._fail(exchange, error)
        else:
            self.begin_decoded(exchange, [request])

    def begin_decoded(self, exchange: UnaryExchange | StreamExchange, requests: Sequence[object]) -> None:
        """Has requests computed, together; a stream has one."""
        jobs = self._jobs(exchange, requests)
        with self._lock:
            if not exchange.is_over:
                exchange.jobs, exchange.job_count = jobs, len(jobs)
                self._waiting.add(exchange)
        if self._state.needs_restart and not exchange.is_probe:  # nobody would end it
            self._fail(exchange, Failure(Outcome.UNAVAILABLE, CANNOT_ANSWER))
        if exchange.is_over:
            exchange.release_memory()
            return
        self._admission.hold(len(jobs))
        self._runner_of(exchange.method).submit(jobs)

    def cancel(self, exchange: UnaryExchange | StreamExchange) -> bool:
        """Nobody waits for the exchange any more: what the model has not computed yet it will not compute.

        False if the exchange has ended already; otherwise `on_end` will not be called.
        """
        jobs = self._end(exchange)
        if jobs:
            self._runner_of(exchange.method).look_at(jobs)
        return jobs is not None

    def sent(self, exchange: StreamExchange, size: int) -> None:
        """A reply of a stream, with so many bytes, was sent."""
        for job in exchange.jobs:
            assert isinstance(job, StreamJob)
            job.sent += 1
            job.sent_bytes += size
        if exchange.jobs:
            self._runner_of(exchange.method).look_at(exchange.jobs)

    def fail_waiting(self, hangs: Callable[[UnaryJob | StreamJob], bool]) -> None:
        """Ends what waits for the model and hangs; it is not computed when the model comes back."""
        with self._lock:
            waiting = [exchange for exchange in self._waiting if any(map(hangs, exchange.jobs))]
        for exchange in waiting:
            self._fail(exchange, Failure(Outcome.UNAVAILABLE, CANNOT_ANSWER))

    def _decode(self, exchange: UnaryExchange | StreamExchange, memory: Reservation, data: bytes) -> None:
        def on_error(error: Exception) -> None:
            exchange.release_memory()
            self._fail(exchange, error)

        receiver = Receiver(
            on_request=lambda request: self.begin_decoded(exchange, [request]),
            on_error=on_error,
            is_cancelled=lambda: exchange.is_over,
        )
        self._decoder.decode(exchange.method, data, memory, receiver)

    def _jobs(
        self, exchange: UnaryExchange | StreamExchange, requests: Sequence[object]
    ) -> Sequence[UnaryJob | StreamJob]:
        if isinstance(exchange, StreamExchange):
            (request,) = requests
            return [
                StreamJob(
                    method=exchange.method,
                    request=request,
                    request_id=exchange.request_id,
                    deadline=exchange.deadline,
                    is_probe=exchange.is_probe,
                    on_reply=exchange.on_reply,
                    on_end=partial(self._end_stream, exchange),
                )
            ]
        return [
            UnaryJob(
                method=exchange.method,
                request=request,
                request_id=request_id,
                deadline=exchange.deadline,
                is_probe=exchange.is_probe,
                on_result=partial(self._take_result, exchange, index),
            )
            for index, (request, request_id) in enumerate(zip(requests, exchange.request_ids, strict=True))
        ]

    def _take_result(self, exchange: UnaryExchange, index: int, result: bytes | Failure) -> None:
        """In the model's thread, for each request."""
        results = exchange.results
        results[index] = result
        if len(results) == exchange.job_count:
            self._release(exchange)
            if self._end(exchange) is not None:
                exchange.on_end([results[each] for each in range(exchange.job_count)])

    def _end_stream(self, exchange: StreamExchange, failure: Failure | None) -> None:
        """In the model's thread."""
        self._release(exchange)
        if self._end(exchange) is not None:
            exchange.on_end(failure)

    def _release(self, exchange: UnaryExchange | StreamExchange) -> None:
        """The model has answered all of an exchange."""
        self._admission.release(exchange.job_count)
        exchange.release_memory()

    def _fail(self, exchange: UnaryExchange | StreamExchange, error: Exception) -> None:
        """Ends an exchange that the model has not answered."""
        if self.cancel(exchange):
            exchange.on_end(error)
            self._send()

    def _end(self, exchange: UnaryExchange | StreamExchange) -> Sequence[UnaryJob | StreamJob] | None:
        """The exchange is over from now on; returns its jobs, or None if it was over before."""
        with self._lock:
            if exchange.is_over:
                return None
            exchange.is_over = True
            self._waiting.discard(exchange)
            jobs, exchange.jobs = exchange.jobs, ()
        for job in jobs:
            job.cancelled = True
        return jobs
