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
from typing import Self

from ...contract.methods import Method
from ..logs import logger
from ..texts import escaped
from .admission import Admission
from .exchanges import Exchanges, Limits, Results, StreamExchange, UnaryExchange
from .outbox import Outbox
from .outcomes import Failure, Outcome, classify, failure_of
from .runners import Runner
from .state import ServerState

WARM_UP_REPLIES = 3  # of a stream
PROBE_REPLIES = 100  # of a stream, at most
REQUEST_ID_BYTES = 128
OK = Outcome.OK.name


@dataclass(slots=True)
class Call:
    """What the log says of one call. `end` writes the line, if that is wanted; so does the end of a `with` statement.

    `code` is the name of its outcome, or of a transport's own status for what never reached the core.
    """

    method: str
    request_id: str
    logged: bool
    transport: str = ""  # where it is not gRPC
    code: str = Outcome.CANCELLED.name  # until an outcome is known
    started: float = field(default_factory=time.perf_counter)

    def succeeded(self) -> None:
        self.code = OK

    def failed(self, error: Exception) -> Failure:
        """What the caller gets for an error."""
        failure = failure_of(error, self.method, self.request_id)
        self.code = failure.outcome.name
        return failure

    def end(self) -> None:
        """The call has its reply, or nobody waits for one any more."""
        if self.logged:
            ms = (time.perf_counter() - self.started) * 1000
            extra = {"method": self.method, "code": self.code, "ms": round(ms, 2), "request_id": self.request_id}
            name = f"{self.transport} {self.method}".lstrip()
            logger.info("%s (request %s): %s, %.2f ms", name, self.request_id, self.code, ms, extra=extra)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.end()


@dataclass(frozen=True, slots=True)
class EndOfStream:
    """No more replies: the stream failed, or came to its end."""

    error: Exception | None


class Calls:
    """What a transport on the event loop does with a call."""

    def __init__(
        self,
        state: ServerState,
        runner_of: Callable[[Method], Runner],
        outbox: Outbox,
        limits: Limits,
        *,
        log_requests: bool,
    ) -> None:
        self.admission = Admission(state, limits.max_in_flight)
        self.exchanges = Exchanges(state, runner_of, self.admission, limits, outbox.send)
        self._outbox, self._log_requests = outbox, log_requests
        self._new_ids = map(f"{os.urandom(4).hex()}-{{}}".format, itertools.count(1))

    def start(self, method: str, request_id: str, transport: str = "") -> Call:
        """A call that has arrived; `request_id` is the caller's, and if that is empty the call gets a new one."""
        return Call(method, escaped(request_id, REQUEST_ID_BYTES) or next(self._new_ids), self._log_requests, transport)

    async def unary(
        self, method: Method, data: bytes, request_id: str, deadline: float, *, is_probe: bool = False
    ) -> bytes:
        """The reply to a request of a unary method. Raises Failure and InvalidRequest."""
        ending = asyncio.get_running_loop().create_future()
        exchange = UnaryExchange(
            method=method,
            request_ids=[request_id],
            deadline=deadline,
            is_probe=is_probe,
            on_end=partial(self._outbox.add, _settle, ending),
        )
        self.exchanges.begin(exchange, data)
        (result,) = await self._results(exchange, ending)
        if isinstance(result, Failure):
            raise result
        return result

    async def compute(
        self, method: Method, requests: Sequence[object], request_ids: Sequence[str], deadline: float
    ) -> Results:
        """The replies to requests of a unary method, in order; a Failure where there is none. They are queued together.

        When this is cancelled, those that still wait are not computed. Raises Failure if the model hangs.
        """
        if not requests:
            return []
        ending = asyncio.get_running_loop().create_future()
        exchange = UnaryExchange(
            method=method,
            request_ids=request_ids,
            deadline=deadline,
            on_end=partial(self._outbox.add, _settle, ending),
        )
        self.exchanges.begin_decoded(exchange, requests)
        return await self._results(exchange, ending)

    async def _results(self, exchange: UnaryExchange, ending: asyncio.Future[Results | Exception]) -> Results:
        try:
            results = await ending
        except BaseException:  # nobody waits any more
            self.exchanges.cancel(exchange)
            raise
        if isinstance(results, Exception):
            raise results
        return results

    async def stream(
        self, method: Method, data: bytes, request_id: str, deadline: float, *, is_probe: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """The replies of a streaming method, at most `RUN_AHEAD` of which wait here. Closing this ends the stream.

        Raises Failure and InvalidRequest.
        """
        events: asyncio.Queue[bytes | EndOfStream] = asyncio.Queue()
        exchange = StreamExchange(
            method=method,
            request_id=request_id,
            deadline=deadline,
            is_probe=is_probe,
            on_reply=partial(self._outbox.add, events.put_nowait),
            on_end=lambda error: self._outbox.add(events.put_nowait, EndOfStream(error)),
        )
        self.exchanges.begin(exchange, data)
        try:
            while True:
                event = await events.get()
                if isinstance(event, EndOfStream):
                    break
                yield event
                self.exchanges.sent(exchange, len(event))
            if event.error is not None:
                raise event.error
        finally:
            self.exchanges.cancel(exchange)

    async def warm_up(self, method: Method) -> None:
        """Takes a sample request the whole way, of a stream up to three replies; raises Failure if that fails."""
        await self._compute_sample(method, "warm-up", WARM_UP_REPLIES)
        while self.admission.held_requests:  # until the model has closed a stream that goes on
            await asyncio.sleep(0.001)

    async def probe(self, method: Method) -> Failure | None:
        """Whether the model answers a sample request, of a stream up to its end or 100 replies; if not, the failure.

        In the model's thread it is computed alone. A request that the model refuses is answered: only a model that
        works can judge it.
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


def _settle(ending: asyncio.Future[Results | Exception], results: Results | Exception) -> None:
    if not ending.done():  # nobody may wait any more
        ending.set_result(results)


def deadline_in(seconds: float | None) -> float:
    """The time of `time.monotonic` in so many seconds; never, for None."""
    return math.inf if seconds is None else time.monotonic() + seconds
