"""A healthy model server, sync and aio, as one would write it by hand; the faulty servers change one thing."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from zoo_pb import zoo_pb2, zoo_pb2_grpc

SERVICE = zoo_pb2.DESCRIPTOR.services_by_name["PredictionService"].full_name
SERVING = health_pb2.HealthCheckResponse.SERVING
# Seconds without a call after which callers have given up, and how long to wait for that at most.
QUIET, MOST_QUIET = 0.3, 2.0
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def answer(request: zoo_pb2.PredictRequest) -> zoo_pb2.PredictResponse:
    """The model: its answer depends on every field."""
    total = request.height + 2 * request.weight + sum(request.values)
    reason = zoo_pb2.Reason(text=request.name or "none", part=total)
    return zoo_pb2.PredictResponse(label="high" if total > 3 else "low", scores=[total, 1.0], reason=reason)


def reasons(request: zoo_pb2.PredictRequest) -> list[zoo_pb2.Reason]:
    return [zoo_pb2.Reason(text=f"reason {n}", part=request.height + n) for n in range(3)]


class Servicer(zoo_pb2_grpc.PredictionServiceServicer):
    """The sync servicer."""

    def Predict(self, request: Any, context: Any) -> Any:
        return answer(request)

    def Explain(self, request: Any, context: Any) -> Iterator[Any]:
        yield from reasons(request)


class AioServicer(zoo_pb2_grpc.PredictionServiceServicer):
    """The servicer for grpc.aio."""

    async def Predict(self, request: Any, context: Any) -> Any:
        return answer(request)

    async def Explain(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for reason in reasons(request):
            yield reason


class Door(grpc.ServerInterceptor):
    """Lets every call in; once shut, only those of the health service. Knows when the other callers gave up."""

    def __init__(self) -> None:
        self.shut, self.last = False, 0.0

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        if not self.shut or details.method.startswith("/grpc.health."):
            return continuation(details)
        self.last = time.monotonic()
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(grpc.StatusCode.UNAVAILABLE, "the server is stopping")
        )

    def wait(self) -> None:
        """Shuts it, and waits until nobody calls any more: gRPC cancels calls that arrive at the moment of its stop."""
        self.shut, self.last = True, time.monotonic()
        until = self.last + MOST_QUIET
        while time.monotonic() < min(until, self.last + QUIET):
            time.sleep(0.01)


def add(servicer: Any, server: Any) -> None:
    """Registers the servicer as the stubs do."""
    zoo_pb2_grpc.add_PredictionServiceServicer_to_server(servicer, server)


def serve(
    port: int,
    servicer: Any = None,
    *,
    register: Callable[[Any, Any], None] = add,
    with_health: Any = True,
    reflects: tuple[str, ...] | None = (SERVICE,),
    host: str = "0.0.0.0",
    workers: int = 10,
    credentials: grpc.ServerCredentials | None = None,
    after_start: Callable[[Any, Any], None] | None = None,
    before_stop: Callable[[Door], None] | None = None,
    **options: Any,
) -> None:
    """Runs a sync server until SIGTERM, and stops it properly.

    `with_health` is False, or another health servicer than the stock one. `reflects` are the services that reflection
    lists, None for no reflection. `credentials` are for TLS. `after_start` gets the server and the health servicer,
    `before_stop` the door.
    """
    door = Door()
    interceptors = (door, *options.pop("interceptors", ()))
    server = grpc.server(ThreadPoolExecutor(max_workers=workers), interceptors=interceptors, **options)
    register(servicer or Servicer(), server)
    checks: Any = health.HealthServicer() if with_health is True else with_health
    if checks:
        health_pb2_grpc.add_HealthServicer_to_server(checks, server)
        if with_health is True:
            checks.set(SERVICE, SERVING)
    if reflects is not None:
        names = (*reflects, reflection.SERVICE_NAME) + ((health.SERVICE_NAME,) if checks else ())
        reflection.enable_server_reflection(names, server)
    if credentials is None:
        server.add_insecure_port(f"{host}:{port}")
    else:
        server.add_secure_port(f"{host}:{port}", credentials)

    def stop(*_: Any) -> None:
        if with_health is True:
            checks.enter_graceful_shutdown()
            door.wait()
        if before_stop is not None:
            before_stop(door)
        server.stop(5)

    signal.signal(signal.SIGTERM, stop)
    server.start()
    if after_start is not None:
        after_start(server, checks)
    server.wait_for_termination()


def serve_aio(
    port: int,
    servicer: Any = None,
    *,
    register: Callable[[Any, Any], None] = add,
    with_health: Any = True,
    reflects: tuple[str, ...] | None = (SERVICE,),
    **options: Any,
) -> None:
    """The same with grpc.aio."""

    async def run() -> None:
        server = grpc.aio.server(**options)
        register(servicer or AioServicer(), server)
        checks: Any = health.aio.HealthServicer() if with_health is True else with_health
        if checks:
            health_pb2_grpc.add_HealthServicer_to_server(checks, server)
            if isinstance(checks, health.aio.HealthServicer):
                await checks.set(SERVICE, SERVING)
        if reflects is not None:
            names = (*reflects, reflection.SERVICE_NAME) + ((health.SERVICE_NAME,) if checks else ())
            reflection.enable_server_reflection(names, server)
        server.add_insecure_port(f"0.0.0.0:{port}")
        await server.start()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, lambda: asyncio.ensure_future(server.stop(5)))
        await server.wait_for_termination()

    asyncio.run(run())
