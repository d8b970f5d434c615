"""Servers that are healthy until their script breaks them: at once, after some calls, or after a time.

A test writes the script by calling BREAK; the rows of the table have theirs from the start.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from zoo import Row, base, server

# A method that takes a script as JSON: `{"how": ..., "after": calls, "part": ..., "takes": seconds, "age": seconds}`.
BREAK = "/zoo.v1.Script/Break"
_ROOM = (("grpc.max_receive_message_length", 16 * 2**20),)
_TEXT = "the session is closed"
_QUICK = ("--timeout", "3")
_LOADED = ("--only", "health-honest", *_QUICK)

# Bytes that a model answers with in place of its message: a field that this does not have, or none.
OTHER_ANSWERS = {"another-message": b"\x98\x06\x01", "nothing": b""}
# How a model breaks, and what its check says about it.
_WAYS = {
    "raises": ("fails for the request that it answered before", "SERVING"),
    "hangs": ("only Predict does not answer",),
    "dies": ("process has ended",),
}
ROWS = (
    *(
        Row(f"{make}-{way}-after-2-calls", "bad-input", words, options=_QUICK, reflects=False)
        for make in ("sync", "aio")
        for way, words in _WAYS.items()
    ),
    *(
        Row(f"{make}-{way}-after-a-time", "health-honest", words, options=_LOADED, reflects=False)
        for make in ("sync", "aio")
        for way, words in _WAYS.items()
    ),
    Row(
        "sync-raises-after-40-calls", "concurrency", ("fails for the request that it answered before",), reflects=False
    ),
    Row("sync-UNAVAILABLE-after-40-calls", "concurrency", ("not ready", "UNAVAILABLE"), reflects=False),
    Row(
        "aio-raises-under-load",
        "health-honest",
        ("fails for the request that it answered before",),
        reflects=False,
    ),
    Row("sync-raises-sometimes", "bad-input", ("answers before and after",), reflects=False),
    Row("aio-hangs-at-once", "implemented", ("only Predict does not answer",), options=_QUICK, reflects=False),
    Row("aio-dies-at-once", "implemented", ("connection broke",), options=_QUICK, reflects=False),
    Row("sync-unloads-after-2-calls", "bad-input", ("says that the server is not ready",), reflects=False),
    Row("sync-health-hangs-with-it", "bad-input", ("no handler is answered",), options=_QUICK, reflects=False),
    Row("sync-stands-still", "bad-input", ("Nothing is answered",), options=_QUICK, reflects=False),
)


class Script:
    """How a part of a server ("model", "health", "watch") breaks: after so many calls, and at that age.

    The age counts from the first call, in seconds; a call of a healthy model takes `takes` seconds.
    """

    def __init__(self, how: str = "", after: int = 0, part: str = "model", takes: float = 0, age: float = 0) -> None:
        self.how, self.after, self.part, self.takes, self.age = how, after, part, takes, age
        self._calls, self._first_call = 0, 0.0
        self._lock = threading.Lock()

    def rewrite(self, data: bytes) -> None:
        """Takes another script: from now on its calls count."""
        self.__init__(**json.loads(data))  # type: ignore[misc]

    def now(self, part: str) -> str:
        """How this call of a part breaks; empty if it does not."""
        if part != self.part or not self.how:
            return ""
        with self._lock:
            self._calls += 1
            self._first_call = self._first_call or time.monotonic()
            if self.how == "raises-sometimes":
                return "raises" if self._calls > self.after and self._calls % 3 == 0 else ""
            if self.how == "raises-once":
                return "raises" if self._calls == self.after + 1 else ""
            late_enough = time.monotonic() >= self._first_call + self.age
            return self.how if self._calls > self.after and late_enough else ""


def end(how: str) -> None:
    """What ends the process, or all of its threads."""
    if how == "dies":
        os._exit(139)
    if how == "stands-still":
        os.kill(os.getpid(), signal.SIGSTOP)
        time.sleep(60)  # this thread may run on for a moment


def message(how: str) -> str:
    return "the model is unloaded" if how == "FAILED_PRECONDITION" else _TEXT


class Scripted(base.Servicer):
    def __init__(self, script: Script) -> None:
        self.script, self.status = script, base.SERVING

    def Predict(self, request: Any, context: Any) -> Any:
        how = self.follow("model", context)
        answer = base.answer(request)
        if how in OTHER_ANSWERS:
            answer.Clear()
            answer.MergeFromString(OTHER_ANSWERS[how])
        return answer

    def Explain(self, request: Any, context: Any) -> Iterator[Any]:
        yield from base.reasons(request)

    def follow(self, part: str, context: Any) -> str:
        how = self.script.now(part)
        end(how)
        if how == "hangs":
            threading.Event().wait(60)
        elif how == "raises":
            raise RuntimeError(_TEXT)
        elif how == "says-so":
            self.status = base.NOT_SERVING
            context.abort(grpc.StatusCode.UNAVAILABLE, _TEXT)
        elif how and how not in OTHER_ANSWERS:
            context.abort(grpc.StatusCode[how], message(how))
        elif part == "model":
            time.sleep(self.script.takes)
        return how


class ScriptedHealth(health_pb2_grpc.HealthServicer):
    """Health that breaks by the same script."""

    def __init__(self, servicer: Scripted) -> None:
        self.servicer = servicer

    @property
    def status(self) -> Any:
        return self.servicer.status

    def Check(self, request: Any, context: Any) -> Any:
        self.servicer.follow("health", context)
        if request.service not in ("", base.SERVICE):
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return health_pb2.HealthCheckResponse(status=self.status)

    def Watch(self, request: Any, context: Any) -> Iterator[Any]:
        self.servicer.follow("watch", context)
        known = request.service in ("", base.SERVICE)
        ended = threading.Event()
        context.add_callback(ended.set)
        yield health_pb2.HealthCheckResponse(
            status=self.status if known else health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
        )
        sent = self.status
        while not ended.wait(0.05):
            if known and self.status != sent:
                sent = self.status
                yield health_pb2.HealthCheckResponse(status=sent)

    def enter_graceful_shutdown(self) -> None:
        self.servicer.status = base.NOT_SERVING


class AioScripted(base.AioServicer):
    def __init__(self, script: Script) -> None:
        self.script = script

    async def Predict(self, request: Any, context: Any) -> Any:
        how = self.script.now("model")
        end(how)
        if how == "hangs":
            await asyncio.Event().wait()
        elif how == "raises":
            raise RuntimeError(_TEXT)
        elif how:
            await context.abort(grpc.StatusCode[how], message(how))
        return base.answer(request)

    async def Explain(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for reason in base.reasons(request):
            yield reason


def serve(port: int, script: Script, workers: int = 96) -> None:
    """A sync server that follows the script, and takes another one."""
    servicer = Scripted(script)

    def register(servicer: Any, server: Any) -> None:
        base.add(servicer, server)
        method = grpc.unary_unary_rpc_method_handler(lambda data, context: script.rewrite(data) or b"")
        handler = grpc.method_handlers_generic_handler("zoo.v1.Script", {"Break": method})
        server.add_generic_rpc_handlers((handler,))

    base.serve(port, servicer, register=register, with_health=ScriptedHealth(servicer), workers=workers, options=_ROOM)


def _row(name: str, aio: bool, **script: Any) -> None:
    @server(name)
    def run(port: int) -> None:
        if aio:
            base.serve_aio(port, AioScripted(Script(**script)))
        else:
            serve(port, Script(**script))


class BeginningHealth(health.aio.HealthServicer):
    """Healthy; the script begins when it is asked for a name that the server does not have.

    `health-honest` asks so right before its load. How many calls there are until then depends on how quick they are.
    """

    def __init__(self, script: Script, **begins: Any) -> None:
        super().__init__()
        self.script, self.begins = script, json.dumps(begins).encode()

    async def Check(self, request: Any, context: Any) -> Any:
        if request.service not in ("", base.SERVICE):
            self.script.rewrite(self.begins)
        return await super().Check(request, context)


@server("aio-raises-under-load")
def aio_raises_under_load(port: int) -> None:
    """After a few calls of the load, which even a busy machine answers while it goes on."""
    script = Script()
    base.serve_aio(port, AioScripted(script), with_health=BeginningHealth(script, how="raises", after=4))


server("scripted")(lambda port: serve(port, Script()))
for _make in ("sync", "aio"):
    for _way in _WAYS:
        _row(f"{_make}-{_way}-after-2-calls", _make == "aio", how=_way, after=2)
        _row(f"{_make}-{_way}-after-a-time", _make == "aio", how=_way, age=0.4)
_row("sync-raises-after-40-calls", False, how="raises", after=40)
_row("sync-UNAVAILABLE-after-40-calls", False, how="UNAVAILABLE", after=40)
_row("sync-raises-sometimes", False, how="raises-sometimes", after=2)
_row("aio-hangs-at-once", True, how="hangs")
_row("aio-dies-at-once", True, how="dies")
_row("sync-unloads-after-2-calls", False, how="FAILED_PRECONDITION", after=2)
_row("sync-stands-still", False, how="stands-still", after=2)
server("sync-health-hangs-with-it")(lambda port: serve(port, Script("hangs", after=2), workers=1))
