"""The server's life: bind, load, warm up, serve, drain, end."""

import asyncio
import gc
import os
import signal
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module, util
from typing import Any

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ..contract import served
from .artifact import LoadError, load
from .batcher import Batcher
from .errors import Failure
from .health import Health
from .logs import configure, logger
from .servicer import Servicer
from .settings import Settings

SETTLE_SECONDS = 0.2  # what gRPC was given to send may not have left yet


def main() -> int:
    """Runs the server; returns 0 when a signal ended it and no answer was lost, 1 when that or its start failed."""
    configure("INFO", "auto")
    try:
        settings = Settings.read(os.environ, served.METHODS)
        found = util.find_spec(".platforms", __package__)  # is there where a platform needs more than gRPC
        platforms = import_module(".platforms", __package__).adapters(os.environ) if found and found.origin else []
    except ValueError as error:
        logger.critical("%s", error)
        return 1
    configure(settings.log_level, settings.log_format)
    logger.info("%s", settings)
    loops = "uvloop" if util.find_spec("uvloop") else "asyncio"  # faster under load, and the project's choice
    with asyncio.Runner(loop_factory=import_module(loops).new_event_loop) as runner:
        return runner.run(_run(settings, platforms))


async def _run(settings: Settings, platforms: list[Any]) -> int:
    _on(partial(os._exit, 0), signal.SIGTERM, signal.SIGINT)  # until there is something to lose
    loop, events = asyncio.get_running_loop(), asyncio.Queue[BaseException | None]()
    sizes = {m.path: 1 if m.names & {*settings.unbatched_methods} else settings.max_batch_size for m in served.METHODS}
    load_model = partial(load, settings.model_path, settings.model_sha256, platforms)
    batcher = Batcher(load_model, lambda error: loop.call_soon_threadsafe(events.put_nowait, error), sizes)
    servicer, health = Servicer(batcher, settings.max_in_flight, settings.log_requests), Health(*served.SERVICES)
    server = _server(servicer, health, settings.max_request_bytes)
    try:
        port = server.add_insecure_port(f"{settings.host}:{settings.port}")
    except RuntimeError:
        logger.critical("cannot listen on %s, port %d: taken, or no address here", settings.host, settings.port)
        return 1
    await asyncio.gather(server.start(), *(platform.start(servicer, health) for platform in platforms))
    logger.info("listening on %s, port %d", settings.host, port)
    batcher.start()
    code = 1
    if await _is_ready(await events.get(), servicer):
        gc.collect()
        gc.freeze()  # what is loaded stays for good: the collector need not go through it again and again
        sys.setswitchinterval(0.001)  # a model that holds the GIL then delays the loop less
        _on(partial(events.put_nowait, None), signal.SIGTERM, signal.SIGINT)
        servicer.refusal = None
        health.set(serving=True)
        logger.info("serving %s", ", ".join(served.SERVICES))
        if error := await events.get():
            _exit(1, f"the model's thread broke: {error!r}")  # a server that cannot answer must not look alive
        _on(lambda: None, signal.SIGTERM)  # timeout(1) and some supervisors send it twice
        _on(partial(_exit, 1, "interrupted while stopping"), signal.SIGINT)
        code = await _drain(servicer, health, settings)
    health.set(serving=False, closed=True)
    await asyncio.gather(server.stop(SETTLE_SECONDS), *(platform.stop() for platform in platforms))
    if not batcher.stop(SETTLE_SECONDS):
        _exit(code, "the model is still computing; the process ends without it")
    return code


def _server(servicer: Servicer, health: Health, max_request_bytes: int) -> grpc.aio.Server:
    sizes = [("grpc.max_receive_message_length", max_request_bytes), ("grpc.max_send_message_length", -1)]
    server = grpc.aio.server(options=[*sizes, ("grpc.so_reuseport", 0)])  # no second server on the same port
    server.add_generic_rpc_handlers(servicer.handlers())
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    reflection.enable_server_reflection((*served.SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME), server)
    return server


async def _is_ready(error: BaseException | None, servicer: Servicer) -> bool:
    """Whether the model is loaded and answers a request of every method; if not, the log says why."""
    step = "loading the model"
    try:
        if error is not None:
            raise error
        for method in served.METHODS:
            step = f"the warm-up request of {method.label}"
            try:
                await servicer.warm_up(method)
            except Failure as why:
                if not method.retired or why.code is not grpc.StatusCode.UNIMPLEMENTED:
                    raise
    except BaseException as reason:
        logger.critical("%s failed: %s", step, reason, exc_info=not isinstance(reason, LoadError | Failure))
        return False
    return True


async def _drain(servicer: Servicer, health: Health, settings: Settings) -> int:
    """Answers all that was taken, in the order that loses nothing; returns the exit code."""
    end = time.monotonic() + settings.drain_seconds - SETTLE_SECONDS
    logger.info("stopping, with %d requests in flight", servicer.calls)
    health.set(serving=False)
    # Until probes and balancers have seen that, new requests arrive and are still answered.
    await asyncio.sleep(min(settings.lame_duck_seconds, settings.drain_seconds))
    servicer.refusal = "the server is stopping"
    while servicer.calls and time.monotonic() < end:
        await asyncio.sleep(0.01)
    if servicer.calls:
        logger.error("%d requests have no answer after DRAIN_SECONDS", servicer.calls)
        return 1
    await asyncio.sleep(SETTLE_SECONDS)
    return 0


def _on(call: Callable[[], object], *numbers: int) -> None:
    """Has the running loop make `call` at these signals: another kind of handler may not wake a loop that waits."""
    loop = asyncio.get_running_loop()
    for number in numbers:
        if os.name == "nt":  # has no such handlers, and there every one wakes the loop
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(call))
        else:
            loop.add_signal_handler(number, call)


def _exit(code: int, message: str) -> None:
    """Ends the process whatever the model's thread is doing: a normal exit might wait for it, or crash in it."""
    logger.warning(message)
    sys.stdout.flush()
    os._exit(code)
