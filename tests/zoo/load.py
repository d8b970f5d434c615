"""Servers for bad input, expired deadlines, large messages and parallel requests."""

from __future__ import annotations

import asyncio
import os
import queue
import random
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
from zoo_pb import zoo_pb2

from zoo import Row, base, server

# The zoo's contract with limits, in the form of a protoserve project.
_PROJECT = ("--project", "{zoo}/bounded")
_ROOM = (("grpc.max_receive_message_length", 16 * 2**20),)
# More workers than health-honest has calls in flight, so that a slow model does not hold up health.
_WORKERS = 64

ROWS = (
    Row("bounded", options=_PROJECT),
    Row("bounded-aio", options=_PROJECT),
    Row("slow-sync", reflects=False),
    Row("slow-aio", reflects=False),
    Row("slow-and-busy", reflects=False),
    Row("slow-queue", reflects=False),
    Row("random-answers"),
    Row("refuses-overload"),
    Row("leaks-exception", "bad-input", ("an empty request", "raises an exception")),
    Row("leaks-exception-aio", "bad-input", ("an empty request", "raises an exception")),
    Row("ok-to-garbage", "bad-input", ("random bytes", "never parses")),
    Row("dies-of-bad-input", "bad-input", ("ends the server's process",)),
    Row("hangs-on-bad-input", "bad-input", ("never ends for this request",), options=("--timeout", "3")),
    Row("spoilt-by-bad-input", "bad-input", ("leaves something behind",)),
    Row(
        "accepts-anything",
        "bad-input",
        ("contract forbids", "height missing", "got nan", '"height: is required"'),
        options=_PROJECT,
    ),
    Row(
        "internal-for-callers-fault", None, ('"height: is required"',), warns=frozenset({"bad-input"}), options=_PROJECT
    ),
    Row("computes-expired", "deadline", ("given up", "queue"), reflects=False),
    Row("worker-dies-of-cancel", "deadline", ("never answers again", "InvalidStateError"), reflects=False),
    Row("misreads-deadline", "deadline", ("long before the deadline",)),
    Row("small-limit", "message-size", ("smaller than what the contract allows", "4.00 MiB"), options=_PROJECT),
    Row("mixed-up", "concurrency", ("answers of other callers", "the answer of request")),
    Row("mixed-up-aio", "concurrency", ("answers of other callers",)),
    Row("sums-up-aio", "concurrency", ("that none of them gets alone",)),
    Row("errors-together", "concurrency", ("called in parallel", "INTERNAL")),
    # The load of `health-honest` has ended, also at the server, before a call counts as one alone.
    Row(
        "errors-together-slow",
        "concurrency",
        ("called in parallel", "INTERNAL"),
        options=("--skip", "deadline"),
        reflects=False,
    ),
    Row("loses-replies-aio", "concurrency", ("get lost", "no answer in")),
    Row("dies-together", "concurrency", ("the server's process ended",)),
)


def sync_that(predict: Any, port: int, **options: Any) -> None:
    """A healthy sync server whose Predict is this function of servicer, request and context."""

    class Changed(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            return predict(self, request, context)

    base.serve(port, Changed(), workers=_WORKERS, **options)


def aio_that(predict: Any, port: int, **options: Any) -> None:
    """The same with grpc.aio and a coroutine."""

    class Changed(base.AioServicer):
        async def Predict(self, request: Any, context: Any) -> Any:
            return await predict(self, request, context)

    base.serve_aio(port, Changed(), **options)


# Healthy.


def problem(request: Any) -> str | None:
    """Violations of the limits of bounded/schema.yaml, checked by hand."""
    for name, most in (("height", 30), ("weight", 500)):
        if not request.HasField(name):
            return f"{name}: is required"
        if not 0 <= getattr(request, name) <= most:
            return f"{name}: must be from 0 to {most}"
    if len(request.name) > 1000:
        return "name: must have at most 1000 characters"
    if not 1 <= len(request.values) <= 2_000_000:
        return "values: must have from 1 to 2000000 items"
    if any(value != value or value in (float("inf"), -float("inf")) for value in request.values):
        return "values: must be finite numbers"
    return None


class Bounded(base.Servicer):
    def Predict(self, request: Any, context: Any) -> Any:
        if (wrong := problem(request)) is not None:
            context.abort(self.code, wrong)
        return base.answer(request)

    def Explain(self, request: Any, context: Any) -> Iterator[Any]:
        if (wrong := problem(request)) is not None:
            context.abort(self.code, wrong)
        yield from base.reasons(request)

    code = grpc.StatusCode.INVALID_ARGUMENT


class AioBounded(base.AioServicer):
    async def Predict(self, request: Any, context: Any) -> Any:
        if (wrong := problem(request)) is not None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, wrong)
        return base.answer(request)

    async def Explain(self, request: Any, context: Any) -> AsyncIterator[Any]:
        if (wrong := problem(request)) is not None:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, wrong)
        for reason in base.reasons(request):
            yield reason


@server("bounded")
def bounded(port: int) -> None:
    base.serve(port, Bounded(), options=_ROOM)


@server("bounded-aio")
def bounded_aio(port: int) -> None:
    base.serve_aio(port, AioBounded(), options=_ROOM)


@server("slow-sync")
def slow_sync(port: int) -> None:
    def predict(self: Any, request: Any, context: Any) -> Any:
        time.sleep(0.3)
        return base.answer(request)

    sync_that(predict, port)


@server("slow-aio")
def slow_aio(port: int) -> None:
    """A model in an executor with one thread, as in most aio servers."""
    executor = ThreadPoolExecutor(1)

    def compute(request: Any) -> Any:
        time.sleep(0.1)
        return base.answer(request)

    async def predict(self: Any, request: Any, context: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(executor, compute, request)

    aio_that(predict, port)


@server("slow-and-busy")
def slow_and_busy(port: int) -> None:
    """A model in pure Python: calls that run together share the interpreter, and all become slow."""

    def predict(self: Any, request: Any, context: Any) -> Any:
        end = time.thread_time() + 0.1
        while time.thread_time() < end:
            pass
        return base.answer(request)

    sys.setswitchinterval(0.0005)  # or health would wait for its turn behind all of them
    sync_that(predict, port)


@server("slow-queue")
def slow_queue(port: int) -> None:
    """A worker with a queue, which drops requests whose caller has gone."""
    sync_that(_queued(looks=True), port)


def _queued(looks: bool) -> Any:
    jobs: queue.Queue[tuple[Any, Any, Future[Any]]] = queue.Queue()

    def work() -> None:
        while True:
            request, context, future = jobs.get()
            if looks and not context.is_active():
                continue
            time.sleep(0.1)
            future.set_result(base.answer(request))

    threading.Thread(target=work, daemon=True).start()

    def predict(self: Any, request: Any, context: Any) -> Any:
        future: Future[Any] = Future()
        jobs.put((request, context, future))
        while context.is_active():
            try:
                return future.result(0.05)
            except TimeoutError:
                continue
        return zoo_pb2.PredictResponse()

    return predict


@server("random-answers")
def random_answers(port: int) -> None:
    def predict(self: Any, request: Any, context: Any) -> Any:
        return zoo_pb2.PredictResponse(label="high", scores=[random.random()])

    sync_that(predict, port)


@server("refuses-overload")
def refuses_overload(port: int) -> None:
    free = threading.BoundedSemaphore(4)

    def predict(self: Any, request: Any, context: Any) -> Any:
        if not free.acquire(blocking=False):
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "4 requests are in flight already")
        try:
            time.sleep(0.005)
            return base.answer(request)
        finally:
            free.release()

    sync_that(predict, port)


# Bad input.


@server("leaks-exception")
def leaks_exception(port: int) -> None:
    def predict(self: Any, request: Any, context: Any) -> Any:
        return zoo_pb2.PredictResponse(label="high", scores=[1 / request.height])

    sync_that(predict, port)


@server("leaks-exception-aio")
def leaks_exception_aio(port: int) -> None:
    async def predict(self: Any, request: Any, context: Any) -> Any:
        return zoo_pb2.PredictResponse(label="high", scores=[1 / request.height])

    aio_that(predict, port)


@server("ok-to-garbage")
def ok_to_garbage(port: int) -> None:
    reply = zoo_pb2.PredictResponse(label="high").SerializeToString()
    explain = grpc.unary_stream_rpc_method_handler(
        base.Servicer().Explain, zoo_pb2.PredictRequest.FromString, zoo_pb2.Reason.SerializeToString
    )
    methods = {"Predict": grpc.unary_unary_rpc_method_handler(lambda data, context: reply), "Explain": explain}
    handlers = (grpc.method_handlers_generic_handler(base.SERVICE, methods),)
    base.serve(port, register=lambda servicer, server: server.add_generic_rpc_handlers(handlers))


@server("dies-of-bad-input")
def dies_of_bad_input(port: int) -> None:
    def predict(self: Any, request: Any, context: Any) -> Any:
        if not request.values:
            os._exit(139)
        return base.answer(request)

    sync_that(predict, port)


@server("hangs-on-bad-input")
def hangs_on_bad_input(port: int) -> None:
    def predict(self: Any, request: Any, context: Any) -> Any:
        while not request.values:
            time.sleep(0.1)
        return base.answer(request)

    sync_that(predict, port)


@server("spoilt-by-bad-input")
def spoilt_by_bad_input(port: int) -> None:
    state = {"values": 1}

    def predict(self: Any, request: Any, context: Any) -> Any:
        state["values"] = min(state["values"], len(request.values))
        if not state["values"]:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: is required")
        return base.answer(request)

    sync_that(predict, port)


@server("accepts-anything")
def accepts_anything(port: int) -> None:
    base.serve(port, options=_ROOM)


@server("internal-for-callers-fault")
def internal_for_callers_fault(port: int) -> None:
    class Rude(Bounded):
        code = grpc.StatusCode.INTERNAL

    base.serve(port, Rude(), options=_ROOM)


# Deadlines.


@server("computes-expired")
def computes_expired(port: int) -> None:
    sync_that(_queued(looks=False), port)


@server("worker-dies-of-cancel")
def worker_dies_of_cancel(port: int) -> None:
    jobs: asyncio.Queue[tuple[Any, asyncio.Future[Any]]] = asyncio.Queue()
    workers: list[Any] = []

    async def work() -> None:
        while True:
            request, future = await jobs.get()
            await asyncio.sleep(0.1)
            future.set_result(base.answer(request))

    async def predict(self: Any, request: Any, context: Any) -> Any:
        if not workers:
            workers.append(asyncio.create_task(work()))
        future = asyncio.get_running_loop().create_future()
        jobs.put_nowait((request, future))
        return await future

    aio_that(predict, port)


@server("misreads-deadline")
def misreads_deadline(port: int) -> None:
    def predict(self: Any, request: Any, context: Any) -> Any:
        if context.time_remaining() > 25:
            context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too late")
        return base.answer(request)

    sync_that(predict, port)


# Sizes.


@server("small-limit")
def small_limit(port: int) -> None:
    base.serve(port, Bounded())


# Parallel requests.


@server("mixed-up")
def mixed_up(port: int) -> None:
    def predict(self: Any, request: Any, context: Any) -> Any:
        self.request = request
        time.sleep(0.002)
        return base.answer(self.request)

    sync_that(predict, port)


@server("mixed-up-aio")
def mixed_up_aio(port: int) -> None:
    async def predict(self: Any, request: Any, context: Any) -> Any:
        self.request = request
        await asyncio.sleep(0.002)
        return base.answer(self.request)

    aio_that(predict, port)


@server("sums-up-aio")
def sums_up_aio(port: int) -> None:
    """All requests in flight write into the same buffer."""
    buffer: list[float] = []
    in_flight = 0

    async def predict(self: Any, request: Any, context: Any) -> Any:
        nonlocal in_flight
        in_flight += 1
        buffer.extend((request.height, request.weight))
        await asyncio.sleep(0.01)
        total = sum(buffer)
        in_flight -= 1
        if in_flight == 0:
            buffer.clear()
        return zoo_pb2.PredictResponse(label="high", scores=[total])

    aio_that(predict, port)


def _fails_when_in_use(port: int, seconds: float) -> None:
    """Its model does not support several threads, and says so; a call takes so many seconds."""
    busy = threading.Lock()

    def predict(self: Any, request: Any, context: Any) -> Any:
        if not busy.acquire(blocking=False):
            context.abort(grpc.StatusCode.INTERNAL, "the model is in use")
        try:
            time.sleep(seconds)
            return base.answer(request)
        finally:
            busy.release()

    sync_that(predict, port)


server("errors-together")(lambda port: _fails_when_in_use(port, 0.002))
server("errors-together-slow")(lambda port: _fails_when_in_use(port, 0.1))


@server("loses-replies-aio")
def loses_replies_aio(port: int) -> None:
    """One slot for the future that waits for an answer: a second request takes it over."""
    slot: dict[str, asyncio.Future[Any]] = {}

    async def predict(self: Any, request: Any, context: Any) -> Any:
        loop = asyncio.get_running_loop()
        slot["waits"] = loop.create_future()
        mine = slot["waits"]
        loop.call_later(0.005, lambda: slot["waits"].done() or slot["waits"].set_result(base.answer(request)))
        return await mine

    aio_that(predict, port)


@server("dies-together")
def dies_together(port: int) -> None:
    busy = threading.Lock()

    def predict(self: Any, request: Any, context: Any) -> Any:
        if not busy.acquire(blocking=False):
            os._exit(139)
        try:
            time.sleep(0.002)
            return base.answer(request)
        finally:
            busy.release()

    sync_that(predict, port)
