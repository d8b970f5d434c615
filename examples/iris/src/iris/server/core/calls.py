"""A call from its bytes to its replies and its line in the log."""

import asyncio
import itertools
import math
import os
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from ...contract.methods import Method
from ..logs import logger
from ..texts import escaped
from .admission import Admission
from .decoding import TINY_REQUEST, Decoder
from .jobs import StreamJob, UnaryJob
from .memory import Memory, Reservation
from .model_thread import ModelThread
from .outcomes import CANNOT_ANSWER, Failure, Outcome, classify, failure_of
from .state import ServerState, State

A = TypeVar("A")
R = TypeVar("R")

WARM_UP_REPLIES = 3  # of a stream
PROBE_REPLIES = 100  # of a stream, at most
REQUEST_ID_BYTES = 128


@dataclass(slots=True)
class Call:
    """What the log says of one call. As a context manager it writes the line at the end, if that is wanted.

    `code` is the name of its outcome, or of a transport's own status for what never reached the core.
    """

    method: str
    request_id: str
    logged: bool
    transport: str = ""  # where it is not gRPC
    code: str = Outcome.CANCELLED.name  # until an outcome is known
    started: float = field(default_factory=time.perf_counter)

    def succeeded(self) -> None:
        self.code = Outcome.OK.name

    def failed(self, error: Exception) -> Failure:
        """What the caller gets for an error."""
        failure = failure_of(error, self.method, self.request_id)
        self.code = failure.outcome.name
        return failure

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self.logged:
            ms = (time.perf_counter() - self.started) * 1000
            extra = {"method": self.method, "code": self.code, "ms": round(ms, 2), "request_id": self.request_id}
            name = f"{self.transport} {self.method}".lstrip()
            logger.info("%s (request %s): %s, %.2f ms", name, self.request_id, self.code, ms, extra=extra)


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """No more replies: the stream failed, or came to its end."""

    failure: Failure | None


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How much callers may ask at a time, as in the settings."""

    max_in_flight: int
    max_in_flight_bytes: int
    max_request_elements: int


class Calls:
    """What every transport does with a call, on the event loop."""

    def __init__(self, state: ServerState, model: ModelThread, limits: Limits, *, log_requests: bool) -> None:
        self.admission = Admission(state, limits.max_in_flight)
        self.memory = Memory(limits.max_in_flight_bytes)
        self._decoder = Decoder(limits.max_request_elements)
        self._state, self._model, self._log_requests = state, model, log_requests
        self._open_batches: set[asyncio.Future[None]] = set()
        self._open_streams: set[asyncio.Queue[bytes | EndOfStream]] = set()
        self._new_ids = map(f"{os.urandom(4).hex()}-{{}}".format, itertools.count(1))

    def start(self, method: str, request_id: str, transport: str = "") -> Call:
        """A call that has arrived; `request_id` is the caller's, and if that is empty the call gets a new one."""
        return Call(method, escaped(request_id, REQUEST_ID_BYTES) or next(self._new_ids), self._log_requests, transport)

    async def unary(
        self, method: Method, data: bytes, request_id: str, deadline: float, *, is_probe: bool = False
    ) -> bytes:
        """The reply to a request of a unary method. Raises Failure and InvalidRequest."""
        if len(data) < TINY_REQUEST:
            request = method.decode(data)
            (result,) = await self.compute(method, [request], [request_id], deadline, is_probe=is_probe)
        else:
            with Reservation(self.memory, len(data)) as memory:
                request = await self._decoder.decode(method, data, memory)
                (result,) = await self.compute(
                    method, [request], [request_id], deadline, memory=memory, is_probe=is_probe
                )
        if isinstance(result, Failure):
            raise result
        return result

    async def stream(
        self, method: Method, data: bytes, request_id: str, deadline: float, *, is_probe: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The replies of a streaming method, at most `RUN_AHEAD` of which wait here. Closing this ends the stream.

        Raises Failure and InvalidRequest.
        """
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[bytes | EndOfStream] = asyncio.Queue()

        def on_end(failure: Failure | None) -> None:
            self.admission.held_requests -= 1
            memory.release()
            events.put_nowait(EndOfStream(failure))

        with Reservation(self.memory, len(data)) as memory:
            request = await self._decoder.decode(method, data, memory)
            self._refuse_if_hanging(is_probe)
            memory.hand_over()
        job = StreamJob(
            method=method,
            request=request,
            request_id=request_id,
            deadline=deadline,
            is_probe=is_probe,
            on_reply=lambda reply: loop.call_soon_threadsafe(events.put_nowait, reply),
            on_end=lambda failure: loop.call_soon_threadsafe(on_end, failure),
        )
        self.admission.held_requests += 1
        self._open_streams.add(events)
        self._model.submit([job])
        try:
            while True:
                event = await events.get()
                if isinstance(event, EndOfStream):
                    break
                yield event
                job.sent += 1
                job.sent_bytes += len(event)
                self._model.look_at_streams()
            if event.failure is not None:
                raise event.failure
        finally:
            self._open_streams.discard(events)
            job.cancelled = True
            self._model.look_at_streams()

    async def compute(
        self,
        method: Method,
        requests: Sequence[object],
        request_ids: Sequence[str],
        deadline: float,
        *,
        memory: Reservation | None = None,
        is_probe: bool = False,
    ) -> list[bytes | Failure]:
        """The replies to requests of a unary method, in order; a Failure where there is none. They are queued together.

        `memory` is theirs, and is given back when they are answered. When this is cancelled, those that still wait are
        not computed. Raises Failure if the model hangs.
        """
        self._refuse_if_hanging(is_probe)
        loop = asyncio.get_running_loop()
        complete = loop.create_future()
        results: dict[int, bytes | Failure] = {}

        def on_complete() -> None:
            self.admission.held_requests -= len(requests)
            if held is not None:
                held.release()
            if not complete.done():  # nobody may wait any more
                complete.set_result(None)

        def on_result(index: int, result: bytes | Failure) -> None:
            """In the model's thread, which comes back to the loop only once."""
            results[index] = result
            if len(results) == len(requests):
                loop.call_soon_threadsafe(on_complete)

        jobs = [
            UnaryJob(
                method=method,
                request=request,
                request_id=request_id,
                deadline=deadline,
                is_probe=is_probe,
                on_result=partial(on_result, index),
            )
            for index, (request, request_id) in enumerate(zip(requests, request_ids, strict=True))
        ]
        if not jobs:
            return []
        held = memory.hand_over() if memory else None
        self.admission.held_requests += len(jobs)
        self._open_batches.add(complete)
        self._model.submit(jobs)
        try:
            await complete
        finally:
            self._open_batches.discard(complete)
            for job in jobs:
                job.cancelled = True
        return [results[index] for index in range(len(jobs))]

    def give_up(self) -> None:
        """Ends all calls that wait for the model, which hangs; their requests are not computed when it comes back."""
        for complete in self._open_batches:
            if not complete.done():
                complete.set_exception(Failure(Outcome.UNAVAILABLE, CANNOT_ANSWER))
        for events in self._open_streams:
            events.put_nowait(EndOfStream(Failure(Outcome.UNAVAILABLE, CANNOT_ANSWER)))

    async def warm_up(self, method: Method) -> None:
        """Takes a sample request the whole way, of a stream up to three replies; raises Failure if that fails."""
        await self._compute_sample(method, "warm-up", WARM_UP_REPLIES)
        while self.admission.held_requests:  # until the model's thread has closed a stream that goes on
            await asyncio.sleep(0.001)

    async def probe(self, method: Method) -> Failure | None:
        """Whether the model answers a sample request, of a stream up to its end or 100 replies; if not, the failure.

        It is computed alone. A request that the model refuses is answered: only a model that works can judge it.
        """
        try:
            await self._compute_sample(method, "probe", PROBE_REPLIES, is_probe=True)
        except Exception as error:
            failure = classify(error)
            return failure if failure.is_the_models else None
        return None

    async def _compute_sample(
        self, method: Method, request_id: str, most_replies: int, *, is_probe: bool = False
    ) -> None:
        sample = method.sample()
        if not method.streaming:
            await self.unary(method, sample, request_id, math.inf, is_probe=is_probe)
            return
        async with aclosing(self.stream(method, sample, request_id, math.inf, is_probe=is_probe)) as replies:
            for _ in range(most_replies):
                if await anext(replies, None) is None:
                    return

    def _refuse_if_hanging(self, is_probe: bool) -> None:
        """For a call that was taken before the model hung, and decoded since: nobody would end it."""
        if self._state.current is State.NEEDS_RESTART and not is_probe:
            raise Failure(Outcome.UNAVAILABLE, CANNOT_ANSWER)


async def in_thread_if(large: bool, function: Callable[[A], R], argument: A) -> R:
    """Calls the function; in a thread if the argument is large, since health is answered on the event loop."""
    return await asyncio.to_thread(function, argument) if large else function(argument)


def deadline_in(seconds: float | None) -> float:
    """The time of `time.monotonic` in so many seconds; never, for None."""
    return math.inf if seconds is None else time.monotonic() + seconds
