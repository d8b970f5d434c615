"""Servers whose methods are healthy, missing, or give the wrong answer."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import pickle
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from zoo_pb import zoo_pb2, zoo_pb2_grpc

from zoo import Row, base, server

_CA = ("--tls", "--ca", "{certificates}/ca.pem")
_ASKS = frozenset({"serialization"})
_VALID = ("--request", "Predict={zoo}/valid.json")
_QUICK = ("--timeout", "2")
TOKEN = "Bearer zoo-0123456789-abcdef"
_TOKEN = ("--metadata", f"authorization={TOKEN}")
ROWS = (
    Row("sync"),
    Row("aio"),
    Row("sync-without-reflection", unjudged=True),
    Row("aio-without-reflection", unjudged=True),
    Row("a-dict-without-reflection", "serialization", ("returned something other",), unjudged=True),
    Row("a-dict-without-reflection-aio", "serialization", ("returned a dict",), unjudged=True),
    Row("reflection-v1"),
    Row("guarded", None, ("probes have none",), frozenset({"health-service"}), options=_TOKEN),
    Row("reflection-v1alpha"),
    Row("reflection-hangs", unjudged=True),
    Row("reflection-errs", unjudged=True),
    Row("unary-for-stream"),
    Row("endless-stream"),
    Row("slow-loader"),
    Row("without-health", reflects=False, options=("--only", "serialization")),
    Row("first-call-raises", reflects=False, options=("--only", "serialization")),
    # Not reachable.
    Row("tls", options=_CA),
    Row("tls-named", options=(*_CA, "--tls-name", "model.test")),
    Row("tls", "reachable", ("speaks TLS", "--tls"), reflects=False, options=_QUICK),
    Row("tls", "reachable", ("certificate", "--ca"), reflects=False, options=("--tls", *_QUICK)),
    Row("tls-named", "reachable", ("certificate", "--tls-name"), reflects=False, options=(*_CA, *_QUICK)),
    Row("tls-mutual", "reachable", ("client certificate",), reflects=False, options=(*_CA, *_QUICK)),
    Row("tls-http1", "reachable", ("does not offer h2",), reflects=False, options=(*_CA, *_QUICK)),
    Row("sync", "reachable", ("plain text", "without --tls"), reflects=False, options=("--tls", *_QUICK)),
    Row("loopback", "reachable", ("bound to the loopback",), reflects=False, options=_QUICK, host="127.0.0.2"),
    Row("closes", "reachable", ("drops it at once",), reflects=False, options=_QUICK),
    Row("http1", "reachable", ("HTTP/1",), reflects=False),
    Row("silent", "reachable", ("nothing serves it",), reflects=False, options=_QUICK),
    Row("gibberish", "reachable", ("another kind of server",), reflects=False, options=_QUICK),
    Row("nothing", "reachable", ("No server listens",), reflects=False, options=_QUICK, listens=False),
    Row("sync", "reachable", ("does not resolve", "wrong"), reflects=False, host="model.invalid"),
    Row("http2-404", "reachable", ("does not speak gRPC", "404"), reflects=False),
    Row("http2-page", "reachable", ("does not speak gRPC",), reflects=False),
    Row("http2-401", reflects=False, asks="refuses its callers. Give it what a caller sends with --metadata"),
    Row("http2-503", "reachable", ("proxy", "503"), reflects=False, options=_QUICK),
    # Not implemented.
    Row("nothing-registered", "implemented", ("zoo_pb2_grpc.add_PredictionServiceServicer_to_server", "never added")),
    Row("reflection-of-nothing", "implemented", ("never added",)),
    Row("not-overridden", "implemented", ("no Predict", "overridden", "zoo_pb2_grpc.PredictionServiceServicer")),
    Row("not-overridden-aio", "implemented", ("no Predict", "overridden")),
    Row("one-method-missing", "implemented", ("no Explain",)),
    Row("other-package", "implemented", ("has the service other.v1.PredictionService",), reflects=False),
    Row("other-service", "implemented", ("has the service zoo.v1.PredictorService",), reflects=False),
    Row("other-service-hidden", "implemented", ("does not know zoo.v1.PredictionService",), reflects=False),
    Row("without-package", "implemented", ("has the service PredictionService",), reflects=False),
    Row("without-package-hidden", "implemented", ("another package", "/PredictionService/Predict"), reflects=False),
    Row("other-case", "implemented", ("has no Predict, but has predict",), reflects=False),
    Row("other-case-hidden", "implemented", ("no Predict", "case-sensitive"), reflects=False),
    Row("explain-retired", None, ("a text of the server's own", "ended with v1"), frozenset({"implemented"})),
    Row("all-retired", "implemented", ("a text of the server's own", "nothing is left")),
    Row("dies", "implemented", ("connection broke",)),
    Row("hangs", "implemented", ("only Predict does not answer",), options=_QUICK),
    Row("hangs-on-one-worker", "implemented", ("every worker is taken",), options=_QUICK),
    Row("blocks-the-loop-aio", "implemented", ("Nothing is answered",), options=_QUICK),
    Row("process-pool", "implemented", ("ProcessPoolExecutor cannot run them",), reflects=False, options=_QUICK),
    Row("yields-none", None, ("ended without a zoo.v1.Reason",), _ASKS),
    # Not the declared message.
    Row("a-list", "serialization", ("returned something other than this message", "PredictResponse(label=...)")),
    Row("a-tuple", "serialization", ("returned something other than this message",)),
    Row("a-text", "serialization", ("returned something other than this message",)),
    Row("an-array", "serialization", ("returned something other than this message",)),
    Row("none", "serialization", ("returned something other than this message", "None")),
    Row("a-list-aio", "serialization", ("returned a list",)),
    Row("a-dict-aio", "serialization", ("returned a dict",)),
    Row("a-tuple-aio", "serialization", ("returned a tuple",)),
    Row("a-text-aio", "serialization", ("returned text or bytes",)),
    Row("an-array-aio", "serialization", ("ndarray",)),
    Row("none-aio", "serialization", ("None",)),
    Row("a-request", "serialization", ("other types", "scores")),
    Row("a-request-aio", "serialization", ("other types", "scores")),
    Row("raises", "serialization", ("raised an exception", 'HasField("height")'), options=_QUICK),
    Row("raises-aio", "serialization", ("raised an exception",), options=_QUICK),
    Row("no-such-field", "serialization", ("a field score,", "misspelt")),
    Row("json-bytes", "serialization", ("JSON",)),
    Row("pickle-bytes", "serialization", ("pickle",)),
    Row("text-bytes", "serialization", ("text",)),
    Row("cut-bytes", "serialization", ("not protobuf",)),
    Row("another-message", "serialization", ("another message",), reflects=False),
    Row("newer-nested", None, ("reason.9", "another version"), _ASKS, reflects=False),
    Row("empty-reply", None, ("0 bytes", "without setting a field"), _ASKS),
    Row("bad-third", "serialization", ("message 3", "not protobuf")),
    Row("list-in-stream", "serialization", ("returned something other than this message",)),
    Row("stream-for-unary", "serialization", ("answers with a stream",), options=("--timeout", "3")),
    Row("older-request", "serialization", ("cannot parse",), reflects=False),
    Row("older-request-aio", "serialization", ("cannot parse",), reflects=False),
    Row("own-timeout", "serialization", ("timeout of its own",)),
    Row("no-room", "serialization", ("single caller",)),
    Row("never-ready", "serialization", ("never ready",), options=("--only", "serialization", *_QUICK)),
    # Requests that are made from the types.
    Row("wants-four-gives-a-dict", "serialization", ("cannot be serialized",)),
    Row("wants-four"),
    Row("wants-29-raises", options=("--only", "serialization")),  # its error texts reveal internals: see bad-input
    Row("refuses-guess", None, ("--request",), _ASKS),
    Row("refuses-guess", options=_VALID),
    Row("knows-other-names", None, ("NOT_FOUND", "--request"), _ASKS),
    Row("wants-other-shape", None, ("generated", "--request"), _ASKS),
    Row("wants-other-shape", "serialization", ("raised an exception",), options=_VALID),
    Row("wants-a-token", asks="verify sent none. Give it what a caller sends with --metadata KEY=VALUE"),
    Row("wants-a-token", options=_TOKEN),
    Row("wants-a-token", options=("--metadata", "x-key=another"), asks="does not accept what --metadata sends (x-key)"),
    Row("wants-a-token-for-all", asks="implemented, serialization could not be judged: Predict, Explain answer"),
    Row("wants-a-token-for-all", options=_TOKEN),
    Row("wants-a-token-of-predict", None, ("Predict asks its callers for credentials",), _ASKS),
    Row("wants-a-token-aio", asks="PERMISSION_DENIED", reflects=False),
    Row("wants-a-tenant", asks="asks its callers for metadata, and verify sent none", reflects=False, options=_VALID),
    Row("refuses-valid", "serialization", ("refuses a request that should be valid",), options=_VALID),
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


@server("a-dict-without-reflection")
def a_dict_without_reflection(port: int) -> None:
    base.serve(port, returning({"label": "high"}), reflects=None)


@server("a-dict-without-reflection-aio")
def a_dict_without_reflection_aio(port: int) -> None:
    base.serve_aio(port, returning_aio({"label": "high"}), reflects=None)


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


@server("explain-retired")
def explain_retired(port: int) -> None:
    class Retired(base.Servicer):
        def Explain(self, request: Any, context: Any) -> Any:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "Explain ended with v1: call Predict")

    base.serve(port, Retired())


@server("all-retired")
def all_retired(port: int) -> None:
    class Retired(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "the model is gone, and nothing is left")

        Explain = Predict

    base.serve(port, Retired())


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


RETURNED = {
    "a-list": [0.1, 0.9],
    "a-dict": {"label": "high"},
    "a-tuple": (0.1, 0.9),
    "a-text": "high",
    "an-array": np.array([0.1, 0.9]),
    "none": None,
    "a-request": zoo_pb2.PredictRequest(height=1.5, weight=2.5),
}


def _returns(name: str, value: Any) -> None:
    server(name)(lambda port: base.serve(port, returning(value)))
    server(f"{name}-aio")(lambda port: base.serve_aio(port, returning_aio(value)))


for _name, _value in RETURNED.items():
    _returns(_name, _value)


@server("raises")
def raises(port: int) -> None:
    class Raises(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            raise KeyError("model")

    base.serve(port, Raises())


def raw(handle: Any) -> Any:
    """Registers a Predict that sends bytes of its own; Explain is healthy."""

    def register(servicer: Any, server: Any) -> None:
        methods = {
            "Predict": grpc.unary_unary_rpc_method_handler(handle, zoo_pb2.PredictRequest.FromString),
            "Explain": grpc.unary_stream_rpc_method_handler(
                servicer.Explain, zoo_pb2.PredictRequest.FromString, zoo_pb2.Reason.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(base.SERVICE, methods),))

    return register


@server("json-bytes")
def json_bytes(port: int) -> None:
    base.serve(port, register=raw(lambda request, context: json.dumps({"label": "high"}).encode()))


@server("another-message")
def another_message(port: int) -> None:
    """Its PredictResponse has other numbers: field 9 is a string."""
    base.serve(port, register=raw(lambda request, context: b"\x4a\x04high"), reflects=None)


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
            os._exit(139)

    base.serve(port, Dies())


@server("hangs")
def hangs(port: int) -> None:
    class Hangs(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            threading.Event().wait(60)

    base.serve(port, Hangs())


@server("hangs-on-one-worker")
def hangs_on_one_worker(port: int) -> None:
    class Hangs(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            threading.Event().wait(60)

    base.serve(port, Hangs(), workers=1)


@server("blocks-the-loop-aio")
def blocks_the_loop_aio(port: int) -> None:
    class Blocks(base.AioServicer):
        async def Predict(self, request: Any, context: Any) -> Any:
            time.sleep(60)

    base.serve_aio(port, Blocks())


class Elsewhere(Executor):
    """What a ProcessPoolExecutor does with a handler: it cannot send it to another process, and gives it up."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(TypeError("cannot pickle 'cygrpc.RequestCallEvent' object"))
        return future


@server("process-pool")
def process_pool(port: int) -> None:
    server = grpc.server(Elsewhere())
    base.add(base.Servicer(), server)
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


@server("yields-none")
def yields_none(port: int) -> None:
    class Nothing(base.Servicer):
        def Explain(self, request: Any, context: Any) -> Iterator[Any]:
            yield None

    base.serve(port, Nothing())


@server("http1")
def http1(port: int) -> None:
    HTTPServer(("0.0.0.0", port), Rest).serve_forever()


@server("silent")
def silent(port: int) -> None:
    with socket.create_server(("0.0.0.0", port)) as listening:
        taken = []
        while True:
            taken.append(listening.accept())


def _certificate(name: str) -> tuple[bytes, bytes]:
    folder = Path(os.environ["ZOO_CERTIFICATES"])
    return (folder / f"{name}.key").read_bytes(), (folder / f"{name}.pem").read_bytes()


@server("tls")
def tls(port: int) -> None:
    base.serve(port, credentials=grpc.ssl_server_credentials([_certificate("local")]))


@server("tls-named")
def tls_named(port: int) -> None:
    """Its certificate is for model.test."""
    base.serve(port, credentials=grpc.ssl_server_credentials([_certificate("named")]))


@server("tls-mutual")
def tls_mutual(port: int) -> None:
    authority = (Path(os.environ["ZOO_CERTIFICATES"]) / "ca.pem").read_bytes()
    base.serve(port, credentials=grpc.ssl_server_credentials([_certificate("local")], authority, True))


class Rest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()


@server("tls-http1")
def tls_http1(port: int) -> None:
    folder = Path(os.environ["ZOO_CERTIFICATES"])
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "local.pem", folder / "local.key")
    made = HTTPServer(("0.0.0.0", port), Rest)
    made.socket = context.wrap_socket(made.socket, server_side=True)
    made.serve_forever()


@server("loopback")
def loopback(port: int) -> None:
    base.serve(port, host="127.0.0.1")


def each_connection(port: int, handle: Callable[[socket.socket], None]) -> None:
    """Accepts connections for ever; each is handled in a thread and then closed."""

    def run(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            handle(connection)

    with socket.create_server(("0.0.0.0", port)) as listening:
        while True:
            threading.Thread(target=run, args=(listening.accept()[0],), daemon=True).start()


@server("closes")
def closes(port: int) -> None:
    each_connection(port, lambda connection: None)


@server("gibberish")
def gibberish(port: int) -> None:
    def talk(connection: socket.socket) -> None:
        connection.sendall(b"220 mail.test ESMTP ready\r\n")
        connection.recv(1024)

    each_connection(port, talk)


@server("nothing")
def nothing(port: int) -> None:
    threading.Event().wait()


def _frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def http2(port: int, headers: bytes, body: bytes) -> None:
    """An HTTP/2 server (RFC 9113) that answers everything with `headers` in HPACK, then `body`."""

    def talk(connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        stream.read(24)  # the client's preface
        connection.sendall(_frame(4, 0, 0))
        while head := stream.read(9):
            payload, kind, flags = stream.read(int.from_bytes(head[:3], "big")), head[3], head[4]
            if kind == 4 and not flags & 1:
                connection.sendall(_frame(4, 1, 0))
            elif kind == 6 and not flags & 1:
                connection.sendall(_frame(6, 1, 0, payload))
            elif kind == 1:
                number = int.from_bytes(head[5:], "big")
                connection.sendall(_frame(1, 4, number, headers) + _frame(0, 1, number, body))

    each_connection(port, talk)


server("http2-404")(lambda port: http2(port, b"\x8d", b"not found"))
server("http2-page")(lambda port: http2(port, b"\x88", b"<html></html>"))
server("http2-401")(lambda port: http2(port, b"\x08\x03401", b"who are you?"))
server("http2-503")(lambda port: http2(port, b"\x08\x03503", b"no upstream"))


@server("reflection-of-nothing")
def reflection_of_nothing(port: int) -> None:
    base.serve(port, register=lambda servicer, server: None, reflects=())


@server("not-overridden-aio")
def not_overridden_aio(port: int) -> None:
    base.serve_aio(port, zoo_pb2_grpc.PredictionServiceServicer())


def relabelled(package: str, service: str = "PredictionService", predict: str = "Predict") -> Any:
    """Registers the service under other names, with or without reflection of them."""
    file = descriptor_pb2.FileDescriptorProto()
    zoo_pb2.DESCRIPTOR.CopyToProto(file)
    text = str(file).replace(".zoo.v1.", f".{package}." if package else ".")
    file = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
    file.package, file.service[0].name, file.service[0].method[0].name = package, service, predict
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    name = f"{package}.{service}".lstrip(".")

    def register(servicer: Any, server: Any) -> None:
        methods = {
            predict: grpc.unary_unary_rpc_method_handler(
                servicer.Predict, zoo_pb2.PredictRequest.FromString, zoo_pb2.PredictResponse.SerializeToString
            ),
            "Explain": grpc.unary_stream_rpc_method_handler(
                servicer.Explain, zoo_pb2.PredictRequest.FromString, zoo_pb2.Reason.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))

    def register_and_tell(servicer: Any, server: Any) -> None:
        register(servicer, server)
        reflection.enable_server_reflection((name, health.SERVICE_NAME), server, pool=pool)

    return register, register_and_tell


def _relabels(name: str, *labels: str) -> None:
    def serve(port: int, reflected: bool) -> None:
        base.serve(port, register=relabelled(*labels)[reflected], reflects=None)

    server(name)(lambda port: serve(port, True))
    server(f"{name}-hidden")(lambda port: serve(port, False))


_relabels("other-package", "other.v1")
_relabels("other-service", "zoo.v1", "PredictorService")
_relabels("without-package", "")
_relabels("other-case", "zoo.v1", "PredictionService", "predict")


@server("reflection-v1alpha")
def reflection_v1alpha(port: int) -> None:
    base.serve(port)


def reflecting(version: str, answer: Any) -> Any:
    """Registers the service, and one version of reflection, which answers with `answer`."""

    def register(servicer: Any, server: Any) -> None:
        base.add(servicer, server)
        handler = grpc.stream_stream_rpc_method_handler(
            answer,
            reflection_pb2.ServerReflectionRequest.FromString,
            reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        name = f"grpc.reflection.{version}.ServerReflection"
        methods = {"ServerReflectionInfo": handler}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, methods),))

    return register


@server("reflection-v1")
def reflection_v1(port: int) -> None:
    servicer = reflection.ReflectionServicer((base.SERVICE, health.SERVICE_NAME))
    base.serve(port, register=reflecting("v1", servicer.ServerReflectionInfo), reflects=None)


@server("reflection-hangs")
def reflection_hangs(port: int) -> None:
    def hang(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        ended = threading.Event()
        context.add_callback(ended.set)
        ended.wait(60)
        yield from ()

    base.serve(port, register=reflecting("v1", hang), reflects=None)


@server("reflection-errs")
def reflection_errs(port: int) -> None:
    def refuse(requests: Iterator[Any], context: Any) -> Iterator[Any]:
        for _ in requests:
            error = reflection_pb2.ErrorResponse(error_code=7, error_message="not for you")
            yield reflection_pb2.ServerReflectionResponse(error_response=error)

    base.serve(port, register=reflecting("v1", refuse), reflects=None)


_READ = zoo_pb2.PredictRequest.FromString


def explaining(handle: Any) -> Any:
    """Registers a healthy Predict, and an Explain that sends bytes of its own."""

    def register(servicer: Any, server: Any) -> None:
        methods = {
            "Predict": grpc.unary_unary_rpc_method_handler(
                servicer.Predict, zoo_pb2.PredictRequest.FromString, zoo_pb2.PredictResponse.SerializeToString
            ),
            "Explain": handle,
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(base.SERVICE, methods),))

    return register


def _reason(number: int) -> bytes:
    return bytes(zoo_pb2.Reason(text=f"reason {number}").SerializeToString())


@server("unary-for-stream")
def unary_for_stream(port: int) -> None:
    """One message instead of a stream of one: on the wire they are the same."""
    base.serve(
        port, register=explaining(grpc.unary_unary_rpc_method_handler(lambda request, context: _reason(1), _READ))
    )


@server("endless-stream")
def endless_stream(port: int) -> None:
    def explain(request: Any, context: Any) -> Iterator[bytes]:
        ended = threading.Event()
        context.add_callback(ended.set)
        for number in itertools.count():
            yield _reason(number)
            if ended.wait(1):
                return

    base.serve(port, register=explaining(grpc.unary_stream_rpc_method_handler(explain, _READ)))


@server("bad-third")
def bad_third(port: int) -> None:
    def explain(request: Any, context: Any) -> Iterator[bytes]:
        yield from (_reason(1), _reason(2), _reason(3)[:-2])

    base.serve(port, register=explaining(grpc.unary_stream_rpc_method_handler(explain, _READ)))


@server("list-in-stream")
def list_in_stream(port: int) -> None:
    class Lists(base.Servicer):
        def Explain(self, request: Any, context: Any) -> Iterator[Any]:
            yield zoo_pb2.Reason(text="one")
            yield ["two"]

    base.serve(port, Lists())


@server("stream-for-unary")
def stream_for_unary(port: int) -> None:
    def register(servicer: Any, server: Any) -> None:
        def predict(request: Any, context: Any) -> Iterator[bytes]:
            for _ in range(3):
                yield zoo_pb2.PredictResponse(label="high").SerializeToString()

        methods = {
            "Predict": grpc.unary_stream_rpc_method_handler(predict, _READ),
            "Explain": grpc.unary_stream_rpc_method_handler(
                servicer.Explain, zoo_pb2.PredictRequest.FromString, zoo_pb2.Reason.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(base.SERVICE, methods),))

    base.serve(port, register=register)


def predicting(predict: Callable[[Any, Any], Any]) -> Any:
    """A servicer with another Predict."""

    class Other(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            return predict(request, context)

    return Other()


@server("slow-loader")
def slow_loader(port: int) -> None:
    loaded = threading.Event()

    def predict(request: Any, context: Any) -> Any:
        if not loaded.is_set():
            context.abort(grpc.StatusCode.UNAVAILABLE, "loading")
        return base.answer(request)

    def load(server: Any, checks: Any) -> None:
        time.sleep(2)
        loaded.set()
        for name in ("", base.SERVICE):
            checks.set(name, base.SERVING)

    checks = health.HealthServicer()
    for name in ("", base.SERVICE):
        checks.set(name, base.NOT_SERVING)
    base.serve(port, predicting(predict), with_health=checks, after_start=load)


@server("without-health")
def without_health(port: int) -> None:
    base.serve(port, with_health=False, reflects=None)


@server("first-call-raises")
def first_call_raises(port: int) -> None:
    calls = itertools.count()

    def predict(request: Any, context: Any) -> Any:
        if next(calls) == 0:
            raise RuntimeError("not warm")
        return base.answer(request)

    base.serve(port, predicting(predict), reflects=None)


@server("raises-aio")
def raises_aio(port: int) -> None:
    class Raises(base.AioServicer):
        async def Predict(self, request: Any, context: Any) -> Any:
            raise KeyError("model")

    base.serve_aio(port, Raises())


@server("no-such-field")
def no_such_field(port: int) -> None:
    base.serve(port, predicting(lambda request, context: zoo_pb2.PredictResponse(score=1.0)))


_GOOD = zoo_pb2.PredictResponse(label="high", scores=[1.0], reason=zoo_pb2.Reason(text="one")).SerializeToString()


def _sends(name: str, data: bytes) -> None:
    server(name)(lambda port: base.serve(port, register=raw(lambda request, context: data)))


_sends("pickle-bytes", pickle.dumps({"label": "high"}))
_sends("text-bytes", b"high with probability 0.9")
_sends("cut-bytes", _GOOD[:-2])
_sends("newer-nested", b"\x0a\x04high\x1a\x07\x0a\x03one\x48\x01")
_sends("empty-reply", b"")


@server("older-request-aio")
def older_request_aio(port: int) -> None:
    """Its PredictRequest has a message as its first field."""

    def register(servicer: Any, server: Any) -> None:
        async def predict(request: Any, context: Any) -> Any:
            return zoo_pb2.PredictResponse(label="high")

        methods = {
            "Predict": grpc.unary_unary_rpc_method_handler(
                predict, zoo_pb2.PredictResponse.FromString, zoo_pb2.PredictResponse.SerializeToString
            ),
            "Explain": grpc.unary_stream_rpc_method_handler(
                servicer.Explain, zoo_pb2.PredictRequest.FromString, zoo_pb2.Reason.SerializeToString
            ),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(base.SERVICE, methods),))

    base.serve_aio(port, register=register, reflects=None)


def _aborts(name: str, code: grpc.StatusCode, details: str) -> None:
    server(name)(lambda port: base.serve(port, predicting(lambda request, context: context.abort(code, details))))


_aborts("own-timeout", grpc.StatusCode.DEADLINE_EXCEEDED, "the backend took too long")
_aborts("no-room", grpc.StatusCode.RESOURCE_EXHAUSTED, "too many calls")
_aborts("knows-other-names", grpc.StatusCode.NOT_FOUND, "unknown model text")
_aborts("refuses-valid", grpc.StatusCode.INVALID_ARGUMENT, "height: must be less than 1")


@server("never-ready")
def never_ready(port: int) -> None:
    def predict(request: Any, context: Any) -> Any:
        context.abort(grpc.StatusCode.UNAVAILABLE, "the model is not loaded")

    base.serve(port, predicting(predict), with_health=False)


def checking(check: Callable[[Any, Any], Any]) -> Any:
    """A servicer whose methods check their request first."""

    class Checks(base.Servicer):
        def Predict(self, request: Any, context: Any) -> Any:
            check(request, context)
            return base.answer(request)

        def Explain(self, request: Any, context: Any) -> Iterator[Any]:
            check(request, context)
            yield from base.reasons(request)

    return Checks()


@server("wants-four")
def wants_four(port: int) -> None:
    def check(request: Any, context: Any) -> None:
        if len(request.values) != 4:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: wrong number")

    base.serve(port, checking(check))


@server("wants-four-gives-a-dict")
def wants_four_gives_a_dict(port: int) -> None:
    def predict(request: Any, context: Any) -> Any:
        if len(request.values) != 4:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "values: wrong number")
        return {"label": "high"}

    base.serve(port, predicting(predict))


@server("wants-29-raises")
def wants_29_raises(port: int) -> None:
    """The error of scikit-learn."""

    def check(request: Any, context: Any) -> None:
        if (got := len(request.values)) != 29:
            raise ValueError(f"X has {got} features, but LogisticRegression is expecting 29 features as input.")

    base.serve(port, checking(check))


@server("refuses-guess")
def refuses_guess(port: int) -> None:
    def check(request: Any, context: Any) -> None:
        if request.name != "one":
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, "name: must be one of one, two")

    made = checking(check)
    made.Explain = base.Servicer().Explain
    base.serve(port, made)


@server("wants-other-shape")
def wants_other_shape(port: int) -> None:
    def predict(request: Any, context: Any) -> Any:
        np.asarray(request.values).reshape(-1, 17)

    base.serve(port, predicting(predict))


@server("unix")
def unix(port: int) -> None:
    """It listens on an abstract Unix socket, too, whose name has the port."""

    def register(servicer: Any, server: Any) -> None:
        base.add(servicer, server)
        server.add_insecure_port(f"unix-abstract:zoo-{port}")

    base.serve(port, register=register)


class _Guard(grpc.ServerInterceptor):
    """Refuses every call without the token, and repeats what came in its place. Names that begin so are let in."""

    def __init__(self, *open_to_all: str) -> None:
        self.open_to_all = open_to_all

    def intercept_service(self, continuation: Any, details: Any) -> Any:
        sent = dict(details.invocation_metadata)
        if sent.get("authorization") == TOKEN or details.method.startswith(self.open_to_all):
            return continuation(details)
        words = f"{'x' * 250} not allowed: {sent.get('authorization')}"  # longer than what verify quotes
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: context.abort(grpc.StatusCode.UNAUTHENTICATED, words)
        )


@server("guarded")
def guarded(port: int) -> None:
    base.serve(port, interceptors=(_Guard(),))


@server("wants-a-token-for-all")
def wants_a_token_for_all(port: int) -> None:
    """Only health and reflection are open, so that no answer shows which methods there are."""
    base.serve(port, interceptors=(_Guard("/grpc."),))


@server("wants-a-token")
def wants_a_token(port: int) -> None:
    def check(request: Any, context: Any) -> None:
        if dict(context.invocation_metadata()).get("authorization") != TOKEN:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "a token is missing")

    base.serve(port, checking(check))


@server("wants-a-tenant")
def wants_a_tenant(port: int) -> None:
    def check(request: Any, context: Any) -> None:
        context.abort(grpc.StatusCode.INVALID_ARGUMENT, "missing metadata: x-tenant")

    base.serve(port, checking(check))


@server("wants-a-token-of-predict")
def wants_a_token_of_predict(port: int) -> None:
    """Explain is open."""
    base.serve(port, interceptors=(_Guard("/grpc.", f"/{base.SERVICE}/Explain"),))


@server("wants-a-token-aio")
def wants_a_token_aio(port: int) -> None:
    class Wants(base.AioServicer):
        async def Predict(self, request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not allowed for anonymous callers")

        async def Explain(self, request: Any, context: Any) -> Any:
            await context.abort(grpc.StatusCode.PERMISSION_DENIED, "not allowed for anonymous callers")
            yield

    base.serve_aio(port, Wants())
