"""The methods: bytes in, bytes out, within limits and with checks, which large requests get outside of the loop."""

import asyncio
import itertools
import math
import os
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from typing import Any

import grpc

from ..contract import served
from .batcher import Batcher, Job
from .errors import Failure, failure
from .logs import logger


class Servicer:
    """Answers the contract's methods on the running event loop, unless `refusal` says why not."""

    def __init__(self, batcher: Batcher, max_in_flight: int, log_requests: bool) -> None:
        self.refusal: str | None = "the model is still loading"
        self.calls = 0  # taken and not yet answered
        self.in_flight = 0  # jobs that the model's thread has: also those that nobody waits for any more
        self.batcher, self._max_in_flight, self._log_requests = batcher, max_in_flight, log_requests
        self.new_ids = map(f"{os.urandom(4).hex()}-{{}}".format, itertools.count(1))

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        """The methods, without (de)serializers: for bytes that are no message gRPC would answer UNKNOWN."""
        make: Any = {True: grpc.unary_stream_rpc_method_handler, False: grpc.unary_unary_rpc_method_handler}
        rpcs = {m.path: make[m.streaming](partial(self._call, m)) for m in served.METHODS}
        bind = grpc.method_handlers_generic_handler
        return [bind(name, {m.name: rpcs[m.path] for m in methods}) for name, methods in served.SERVICES.items()]

    async def warm_up(self, method: served.Method) -> None:
        """Takes a sample request through the whole path (of a stream, three replies); raises Failure if that fails."""
        job = Job(method, method.decode(method.sample()), "warm-up", math.inf)
        async with aclosing(self._replies(job)) as replies:
            for _ in range(3 if method.streaming else 1):
                await anext(replies, None)
        while self.in_flight:  # until the model's thread has closed the stream, if it goes on
            await asyncio.sleep(0.001)

    @contextmanager
    def admitted(self) -> Iterator[None]:
        """Counts a call until its end, which a stop waits for; raises Failure where no call is taken."""
        if self.refusal is not None:
            raise Failure(grpc.StatusCode.UNAVAILABLE, self.refusal)
        if (in_flight := max(self.in_flight, self.calls)) >= self._max_in_flight:
            raise Failure(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{in_flight} requests are in flight already")
        self.calls += 1
        try:
            yield
        finally:
            self.calls -= 1

    async def _call(self, method: served.Method, data: bytes, context: Any) -> bytes | None:
        """A call from its bytes to its end: returns the reply's bytes (a stream writes them), or aborts."""
        started = time.perf_counter()
        given = (str(value)[:128] for key, value in context.invocation_metadata() if key == "x-request-id")
        request_id = next(given, "") or next(self.new_ids)
        code = grpc.StatusCode.CANCELLED  # unless it comes to its end
        try:
            with self.admitted():
                request = method.decode(data) if len(data) < 2**16 else await asyncio.to_thread(method.decode, data)
                left = context.time_remaining()
                job = Job(method, request, request_id, math.inf if left is None else time.monotonic() + left)
                async with aclosing(self._replies(job)) as replies:
                    async for reply in replies:
                        if not method.streaming:
                            code = grpc.StatusCode.OK
                            return reply
                        await context.write(reply)
            code = grpc.StatusCode.OK
        except Exception as error:
            why = failure(error, method.label, request_id)
            code = why.code
            await context.abort(code, why.details, why.metadata)
        finally:
            if self._log_requests:
                ms = (time.perf_counter() - started) * 1000
                extra = {"method": method.label, "code": code.name, "ms": round(ms, 2), "request_id": request_id}
                logger.info("%s (request %s): %s, %.2f ms", method.label, request_id, code.name, ms, extra=extra)
        return None

    async def _replies(self, job: Job) -> AsyncGenerator[bytes, None]:
        """Has `job` computed; raises Failure. Who stops asking for replies makes the model stop, too."""
        outcomes: asyncio.Queue[Any] = asyncio.Queue()

        def settle(outcome: Any) -> None:
            self.in_flight -= not (job.method.streaming and isinstance(outcome, bytes))
            outcomes.put_nowait(outcome)

        job.answer = partial(asyncio.get_running_loop().call_soon_threadsafe, settle)  # type: ignore[arg-type]
        self.in_flight += 1
        self.batcher.put((job,))
        try:
            while isinstance(outcome := await outcomes.get(), bytes):
                yield outcome
                job.sent += 1
                self.batcher.put(())
            if outcome is not None:
                raise outcome
        finally:
            job.cancelled = True
            if job.method.streaming:
                self.batcher.put(())
