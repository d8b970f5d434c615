"""Servers of other contracts: conventions of other languages, old syntax, several services."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from google.protobuf import empty_pb2, wrappers_pb2
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection
from legacy_pb import legacy_pb2, legacy_pb2_grpc
from managed_pb import managed_pb2, managed_pb2_grpc
from rich_pb.v1 import parts_pb2, service_pb2_grpc

from zoo import Row, base, server

_RICH = "foreign/rich_pb/v1/service.proto"
_ROOT = ("-I", "{zoo}/foreign")
# Its name changes something: it is called only if that is asked for.
_RELOAD = (*_ROOT, "--call", "Reload")
_WARNS = frozenset({"implemented"})
MANAGED = "foreign/managed_pb/managed.proto"
ROWS = (
    Row("rich", proto=_RICH, options=_ROOT),
    Row("one-of-two", None, ("AdminService", "another server"), _WARNS, False, _RELOAD, _RICH),
    Row("one-of-two", None, ("AdminService", "Reload was left alone"), _WARNS, False, _ROOT, _RICH),
    Row("one-of-two", proto=_RICH, reflects=False, options=(*_ROOT, "--no-call", "Reload")),
    Row("one-of-two-without-reflection", proto=_RICH, reflects=False, options=_ROOT),
    Row("legacy", proto="foreign/legacy_pb/legacy.proto"),
    Row("managed", proto=MANAGED),
    Row(
        "managed", "bad-input", ("model is not loaded",), reflects=False, options=("--call", "Shutdown"), proto=MANAGED
    ),
)


def serve(port: int, names: list[str], register: Callable[[Any], None], reflects: bool = True) -> None:
    """A sync server with health for `names`, and reflection."""
    made = grpc.server(ThreadPoolExecutor(max_workers=10))
    register(made)
    checks = health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(checks, made)
    for name in names:
        checks.set(name, base.SERVING)
    if reflects:
        reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), made)
    made.add_insecure_port(f"0.0.0.0:{port}")
    signal.signal(signal.SIGTERM, lambda *_: (checks.enter_graceful_shutdown(), made.stop(5)))
    made.start()
    made.wait_for_termination()


class Rich(service_pb2_grpc.RichServiceServicer):
    """It checks what common validators check."""

    def Single(self, request: Any, context: Any) -> Any:
        problems = []
        if not 0 < request.at.seconds < 4_000_000_000 or not 0 < request.window.length.seconds < 1000:
            problems.append("times")
        if not re.fullmatch(r"\S+@\S+", request.user_email) or not re.fullmatch(
            r"\d{4}-\d\d-\d\d", request.created_date
        ):
            problems.append("texts")
        if request.HasField("any") or request.HasField("mask") or request.WhichOneof("input") is None:
            problems.append("members")
        if not dict(request.settings) or not request.value.number_value or not request.values.values:
            problems.append("json")
        if problems:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"bad {', '.join(problems)}")
        return request

    def Collect(self, request_iterator: Iterator[Any], context: Any) -> Any:
        return parts_pb2.Node(name=f"{sum(1 for _ in request_iterator)} in all")

    def Talk(self, request_iterator: Iterator[Any], context: Any) -> Iterator[Any]:
        yield from request_iterator

    def Ping(self, request: Any, context: Any) -> Any:
        return empty_pb2.Empty()


class Admin(service_pb2_grpc.AdminServiceServicer):
    def Reload(self, request: Any, context: Any) -> Any:
        return wrappers_pb2.StringValue(value="done")


@server("rich")
def rich(port: int) -> None:
    """Both services of its .proto."""

    def register(made: Any) -> None:
        service_pb2_grpc.add_RichServiceServicer_to_server(Rich(), made)
        service_pb2_grpc.add_AdminServiceServicer_to_server(Admin(), made)

    serve(port, ["rich.v1.RichService", "rich.v1.AdminService"], register)


@server("one-of-two")
def one_of_two(port: int) -> None:
    """One of the services: another server has the other."""
    serve(port, ["rich.v1.RichService"], lambda made: service_pb2_grpc.add_RichServiceServicer_to_server(Rich(), made))


@server("one-of-two-without-reflection")
def one_of_two_without_reflection(port: int) -> None:
    """Without calling it nothing shows that its contract's other service is missing."""
    add = service_pb2_grpc.add_RichServiceServicer_to_server
    serve(port, ["rich.v1.RichService"], lambda made: add(Rich(), made), reflects=False)


@server("legacy")
def legacy(port: int) -> None:
    class Legacy(legacy_pb2_grpc.LegacyServiceServicer):
        def Predict(self, request: Any, context: Any) -> Any:
            reply = legacy_pb2.LegacyResponse(label="high" if request.height > 1 else "low", kind=request.kind)
            reply.Extensions[legacy_pb2.remark] = "extended"
            return reply

    add = legacy_pb2_grpc.add_LegacyServiceServicer_to_server
    serve(port, ["legacy.LegacyService"], lambda made: add(Legacy(), made))


class Managed(managed_pb2_grpc.ManagedModelServicer):
    """Its clients can take the model away, after which it answers nothing."""

    def __init__(self) -> None:
        self.loaded = True

    def UnloadModel(self, request: Any, context: Any) -> Any:
        self.loaded = False
        return request

    def Predict(self, request: Any, context: Any) -> Any:
        if not self.loaded:
            context.abort(grpc.StatusCode.UNAVAILABLE, "model is not loaded")
        return managed_pb2.Text(text=request.text.upper())

    def Shutdown(self, request: Any, context: Any) -> Any:
        self.loaded = False
        return request


@server("managed")
def managed(port: int) -> None:
    serve(
        port,
        ["managed.v1.ManagedModel"],
        lambda made: managed_pb2_grpc.add_ManagedModelServicer_to_server(Managed(), made),
    )
