"""Calls that are computed side by side: async methods, and streams in threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import islice
from typing import Any

import grpc
import pytest

from serving import Probe, Server, error_of, serving, violations

pytestmark = pytest.mark.each_transport

ASYNC = '''\
"""A model whose methods are async. Calls with the mode "wait" wait for one with the mode "release"."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np

from .contract import (
    CountRequest, CountResponse, EchoRequest, EchoResponse, InvalidRequest, PredictRequest, PredictResponse
)

ARTIFACT = Path("artifacts/model.txt")


def tell(**what: object) -> None:
    print(json.dumps(what), flush=True)


class Model:
    def __init__(self, artifact: Path) -> None:
        self.loop = asyncio.get_running_loop()
        self.engine = self.loop.create_task(self.start())
        self.released = asyncio.Event()
        self.calls = 0

    async def start(self) -> None:
        await asyncio.sleep(0.1)

    async def ready(self) -> bool:
        return self.engine.done()

    async def predict(self, request: PredictRequest) -> PredictResponse:
        assert asyncio.get_running_loop() is self.loop
        assert self.engine.done()
        tell(predict=request.mode)
        reply = PredictResponse(result=request.value, vector=np.zeros(3, np.float32))
        try:
            if request.mode == "release":
                self.released.set()
                self.released = asyncio.Event()
            elif request.mode == "wait":
                await self.released.wait()
            elif request.mode == "block":
                time.sleep(request.value)
            elif request.mode == "raise":
                raise RuntimeError("secret of the house")
            elif request.mode == "refuse":
                raise InvalidRequest("is not sold here", field="mode")
            elif request.mode == "list":
                return [reply]
            elif request.mode == "batch":
                return [reply for _ in request]
            elif request.mode == "leave":
                raise SystemExit(3)
            elif request.mode == "cancelled":
                task = asyncio.create_task(asyncio.sleep(1))
                task.cancel()
                await task
        except asyncio.CancelledError:
            tell(cancelled=request.value)
            raise
        return reply

    async def count(self, request: CountRequest) -> AsyncIterator[CountResponse]:
        try:
            for index in range(request.until):
                if request.mode == "wait" and index == 2:
                    tell(waits=True)
                    await self.released.wait()
                if request.mode == "raise" and index == 3:
                    raise RuntimeError("secret of the house")
                if request.mode == "heavy":
                    tell(heavy=index)
                yield CountResponse(
                    index=-1 if request.mode == "unfit" and index == 3 else index,
                    ballast=bytes(100_000) if request.mode == "heavy" else None,
                )
        finally:
            tell(closed=request.mode)

    def echo(self, batch: list[EchoRequest]) -> list[EchoResponse]:
        return [EchoResponse(text=request.text) for request in batch]
'''


@pytest.fixture(scope="module")
def project(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return probe.with_model(ASYNC, tmp_path_factory.mktemp("async") / "project")


@pytest.fixture(scope="module")
def server(project: Probe) -> Iterator[Server]:
    with serving(project, LOG_REQUESTS="true", MODEL_TIMEOUT_SECONDS="4") as running:
        yield running


def told(server: Server, **what: object) -> None:
    """Returns when the model has said so."""
    server.told.wait(lambda line: what.items() <= line.items())


def test_calls_of_an_async_method_wait_side_by_side(server: Server) -> None:
    calls = [server.predict_soon(value, "wait") for value in range(50)]
    server.told.wait(lambda line: line == {"predict": "wait"}, count=50)
    assert server.predict(7).result == 7
    server.predict(mode="release")
    assert [call.result().result for call in calls] == list(range(50))


@pytest.mark.parametrize(
    ("mode", "code", "log"),
    [
        ("raise", "INTERNAL", "RuntimeError('secret of the house')"),
        ("leave", "INTERNAL", "SystemExit(3)"),
        ("cancelled", "INTERNAL", "CancelledError"),
        ("list", "INTERNAL", "wanted one reply, since an async method gets one request, not a batch, got list of 1"),
        ("batch", "INTERNAL", "A method gets one request, not a batch, if it is `async def` or streams."),
        ("refuse", "INVALID_ARGUMENT", ""),
    ],
)
def test_an_async_method_fails_like_any_other(server: Server, mode: str, code: str, log: str) -> None:
    error: Any = error_of(lambda: server.predict(mode=mode))
    assert error.code().name == code
    if code == "INTERNAL":
        assert error.details() == "the server failed to answer this request"
        server.log.wait(lambda line: log in line["message"] and line["method"] == "v1.Predict")
    else:
        assert violations(error) == [("mode", "is not sold here")]
    assert server.predict(1).result == 1


def test_an_async_generator_streams_and_ends_like_any_other(server: Server) -> None:
    assert [reply.index for reply in server.count(300)] == list(range(300))
    for mode in ("raise", "unfit"):
        stream = server.count(10, mode)
        assert [reply.index for reply in islice(stream, 3)] == [0, 1, 2]
        assert error_of(lambda stream=stream: next(stream)).code() is grpc.StatusCode.INTERNAL  # type: ignore[misc]
        told(server, closed=mode)


def test_who_hangs_up_or_comes_too_late_cancels_an_async_method(server: Server) -> None:
    call = server.predict_soon(100, "wait")
    late = server.predict_soon(101, "wait", timeout=0.5)
    stream = server.count(10, "wait")
    assert [reply.index for reply in islice(stream, 2)] == [0, 1]
    told(server, waits=True)
    call.cancel()
    stream.cancel()
    assert error_of(late.result).code() is grpc.StatusCode.DEADLINE_EXCEEDED
    for value in (100, 101):
        told(server, cancelled=value)
    told(server, closed="wait")


def test_an_async_generator_does_not_run_ahead_of_who_reads_slowly(server: Server) -> None:
    """The network takes some megabytes, the server 16 replies; then the generator waits until the client reads on."""

    def made() -> int:
        for value in range(100):
            server.predict(value)
        return sum("heavy" in line for line in server.told.json())

    stream = server.count(10**9, "heavy")
    assert next(stream).index == 0
    before = made()
    assert before == made() < 180
    assert [reply.index for reply in islice(stream, 200)] == list(range(1, 201))
    stream.cancel()
    told(server, closed="heavy")


def test_who_blocks_the_loop_holds_up_async_methods_only_and_the_log_says_where(server: Server) -> None:
    blocking = server.predict_soon(3, "block")
    told(server, predict="block")
    waiting = server.predict_soon(1)
    echo = server.probe.messages["EchoRequest"](text="plain def")
    assert server.method("Echo")(echo, timeout=2).text == "plain def"
    assert server.health() == 1
    (line,) = server.log.wait(lambda line: "has blocked its event loop" in line["message"])
    assert f'File "{server.probe.path}/src/probe/model.py", line ' in line["message"]
    assert " in predict. Await " in line["message"]
    assert not waiting.done()
    assert blocking.result().result == 3
    assert waiting.result().result == 1


def test_one_call_that_never_returns_ends_alone(server: Server) -> None:
    stuck = server.predict_soon(200, "wait")
    told(server, predict="wait")
    while not stuck.done():
        assert server.predict(1).result == 1
        with suppress(grpc.FutureTimeoutError):
            stuck.exception(timeout=0.2)
    assert error_of(stuck.result).details() == "the model cannot answer at the moment"  # type: ignore[attr-defined]
    told(server, cancelled=200)
    text = "has not come back within 4 s (MODEL_TIMEOUT_SECONDS), while others have"
    server.log.wait(lambda line: line["message"].endswith(text) and line["message"].startswith("v1.Predict (request "))
    assert server.health() == 1


def test_a_drain_answers_async_calls(project: Probe) -> None:
    with serving(project, LAME_DUCK_SECONDS="1") as server:
        stream, call = server.count(4, "wait"), server.predict_soon(5, "wait")
        told(server, waits=True)
        told(server, predict="wait")
        server.terminate()
        server.log.wait(lambda line: line["message"].startswith("stopping"))
        server.predict(mode="release")
        assert [reply.index for reply in stream] == [0, 1, 2, 3]
        assert call.result().result == 5
        assert server.ended() == 0
        assert server.messages("ERROR") == ""


FORMS = """\
from types import SimpleNamespace
from probe.contract import served

class Good:
    async def predict(self, request): return request
    async def count(self, request): yield request
    def echo(self, batch): return batch

class Bad:
    async def predict(self, request): yield request
    async def count(self, request): return [request]
    def echo(self, batch): yield batch

for model in (Good, Bad):
    print(served.missing_code(SimpleNamespace(Model=model, __file__="model.py")).replace("; ", "\\n"))
"""


def test_a_form_that_a_method_cannot_have_is_named_before_the_model_is_made(probe_project: Probe) -> None:
    assert probe_project.python("-c", FORMS).stdout.splitlines() == [
        "",
        "`async def predict` in class Model of model.py has one reply, and needs `return` in place of `yield`",
        "`async def count` in class Model of model.py streams, and needs a `yield` for each reply",
        "`def echo` in class Model of model.py has a list of replies, and needs `return` in place of `yield`",
    ]


def test_as_many_streams_as_threads_are_computed_at_a_time(probe: Probe) -> None:
    """Each waits in its third step for a line; those that share a thread with one that waits wait, too."""
    with serving(probe, STREAM_THREADS="3") as server, ThreadPoolExecutor(4) as pool:
        streams = [server.count(4, "wait") for _ in range(3)]
        for stream in streams:
            assert [next(stream).index for _ in range(2)] == [0, 1]
        server.told.wait(lambda line: line == {"opened": "wait"}, count=3)
        assert server.predict(5).result == 10, "the model's thread computes beside them"
        late = server.count(2, "late")
        ends = [pool.submit(lambda stream=stream: [reply.index for reply in stream]) for stream in streams]  # type: ignore[misc]
        for number in range(1, 4):
            server.release()
            server.told.wait(lambda line: line == {"closed": "wait"}, count=number)
        assert [end.result() for end in ends] == [[2, 3]] * 3
        assert [reply.index for reply in late] == [0, 1]
        server.terminate()
        assert server.ended() == 0


TASKS = """\
import asyncio, dataclasses, math, threading
from probe import contract
from probe.server.core.jobs import UnaryJob
from probe.server.core.model_tasks import ModelTasks
from probe.server.core.runners import LoadedModel

method = dataclasses.replace(contract.METHODS[0], encode=str.encode)
running, peak, ends, done = 0, 0, [], threading.Event()

async def handler(request):
    global running, peak
    running += 1
    peak = max(peak, running)
    try:
        await asyncio.sleep(0.01)
    finally:
        running -= 1
    return request

def end(request, result):
    ends.append((request, result if isinstance(result, bytes) else type(result).__name__))
    len(ends) == len(jobs) and done.set()

def job(request):
    on_result = lambda result: end(request, result)
    return UnaryJob(method=method, request=request, request_id="", deadline=math.inf, on_result=on_result)

jobs = [job(str(number)) for number in range(10)]
tasks = ModelTasks(print, lambda *_: None, lambda: None, asyncio.new_event_loop, 4)
tasks.begin()
tasks.use(LoadedModel({method.path: handler}))
tasks.submit(jobs)
for index in (0, 9):
    jobs[index].cancelled = True
tasks.look_at([jobs[0], jobs[9]])
done.wait()
(thread,) = tasks.stop()
thread.join()
print(peak, *(f"{request}:{result}" for request, result in sorted(ends)), tasks.works())
"""


def test_no_more_tasks_run_than_allowed_and_each_job_ends_once(probe_project: Probe) -> None:
    answered = " ".join(f"{number}:b'{number}'" for number in range(1, 9))
    assert probe_project.python("-c", TASKS).stdout.strip() == f"4 0:Abandoned {answered} 9:Abandoned []"
