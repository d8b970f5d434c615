"""Servers whose methods are healthy, missing, or answer with something else than they should."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import grpc
from zoo_pb import zoo_pb2, zoo_pb2_grpc

from zoo import Row, base, server

ROWS = (
    Row("sync"),
    Row("aio"),
    Row("sync-without-reflection", reflects=False),
    Row("aio-without-reflection", reflects=False),
    Row("nothing-registered", "implemented", ("never added",)),
    Row("not-overridden", "implemented", ("no Predict", "overridden")),
    Row("one-method-missing", "implemented", ("no Explain",)),
    Row("a-list", "serialization", ("returned something that is no such message",)),
    Row("a-dict-aio", "serialization", ("returned a dict",)),
    Row("none-aio", "serialization", ("None",)),
    Row("raises", "serialization", ("raised an exception",)),
    Row("json-bytes", "serialization", ("JSON",)),
    Row("another-message", "serialization", ("another message",), reflects=False),
    Row("older-request", "serialization", ("cannot read",), reflects=False),
    Row("dies", "implemented", ("connection broke",)),
    Row("hangs", "implemented", ("does not answer",), options=("--timeout", "3")),
    Row("http1", "reachable", ("HTTP/1",), reflects=False),
    Row("silent", "reachable", ("nobody serves it",), reflects=False, options=("--timeout", "2")),
)


@server("sync")
def sync(port: int) -> None:
    base.serve(port)


@server("aio")
def aio(port: int) -> None:
    base.serve_aio(port)


@server("sync-without-reflection")
def sync_without_reflection(port: int) -> None:
    base.serve(port, reflects=None)


@server("aio-without-reflection")
def aio_without_reflection(port: int) -> None:
    base.serve_aio(port, reflects=None)


@server("nothing-registered")
def nothing_registered(port: int) -> None:
    base.serve(port, register=lambda servicer, server: None)


@server("not-overridden")
def not_overridden(port: int) -> None:
    class Lower(zoo_pb2_grpc.PredictionServiceServicer):
        def predict(self, request: Any, context: Any) -> Any:
            return base.answer(request)

    base.serve(port, Lower())


@server("one-method-missing")
def one_method_missing(port: int) -> None:
    class Half(zoo_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request: Any, context: Any) -> Any:
            return base.answer(request)

    base.serve(port, Half())


def returning(value: Any) -> Any:
    class Other(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            return value

    return Other()


def returning_aio(value: Any) -> Any:
    class Other(base.AioServicer):
        async def Predict(self, request: Any, context: Any) -> Any:
            return value

    return Other()


@server("a-list")
def a_list(port: int) -> None:
    base.serve(port, returning([0.1, 0.9]))


@server("a-dict-aio")
def a_dict_aio(port: int) -> None:
    base.serve_aio(port, returning_aio({"label": "high"}))


@server("none-aio")
def none_aio(port: int) -> None:
    base.serve_aio(port, returning_aio(None))


@server("raises")
def raises(port: int) -> None:
    class Raises(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            raise KeyError("model")

    base.serve(port, Raises())


def raw(handle: Any) -> Any:
    """Registers Predict as a handler of raw bytes; Explain is healthy."""

    def register(servicer: Any, server: Any) -> None:
        methods = {
            "Predict": grpc.unary_unary_rpc_method_handler(handle),
            "Explain": grpc.unary_stream_rpc_method_handler(
                servicer.Explain, zoo_pb2.PredictRequest.FromString, zoo_pb2.Reason.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(base.SERVICE, methods),))

    return register


@server("json-bytes")
def json_bytes(port: int) -> None:
    base.serve(port, register=raw(lambda data, context: json.dumps({"label": "high"}).encode()))


@server("another-message")
def another_message(port: int) -> None:
    """Its PredictResponse has other numbers: field 9 is a string."""
    base.serve(port, register=raw(lambda data, context: b"\x4a\x04high"), reflects=None)


@server("older-request")
def older_request(port: int) -> None:
    """Its PredictRequest is from another .proto: field 1 is a message."""

    def read(data: bytes) -> Any:
        return zoo_pb2.PredictResponse.FromString(data)

    def register(servicer: Any, server: Any) -> None:
        methods = {
            "Predict": grpc.unary_unary_rpc_method_handler(
                lambda request, context: zoo_pb2.PredictResponse(), read, zoo_pb2.PredictResponse.SerializeToString
            ),
            "Explain": grpc.unary_stream_rpc_method_handler(
                servicer.Explain, zoo_pb2.PredictRequest.FromString, zoo_pb2.Reason.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(base.SERVICE, methods),))

    base.serve(port, register=register, reflects=None)


@server("dies")
def dies(port: int) -> None:
    class Dies(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            import os

            os._exit(139)

    base.serve(port, Dies())


@server("hangs")
def hangs(port: int) -> None:
    class Hangs(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            threading.Event().wait(60)

    base.serve(port, Hangs())


@server("http1")
def http1(port: int) -> None:
    class Rest(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

    HTTPServer(("0.0.0.0", port), Rest).serve_forever()


@server("silent")
def silent(port: int) -> None:
    with socket.create_server(("0.0.0.0", port)) as listening:
        taken = []
        while True:
            taken.append(listening.accept())
            time.sleep(0)
