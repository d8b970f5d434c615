"""Servers that send more than anybody can use: long messages, many items, endless frames, and nothing of use."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import grpc
from google.protobuf import descriptor_pb2
from grpc_reflection.v1alpha import reflection_pb2

from zoo import base, server
from zoo.calls import each_connection, raw

_UNLIMITED = [("grpc.max_send_message_length", -1), ("grpc.max_metadata_size", 8 << 20)]
_SETTINGS = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
_PING = bytes([0, 0, 8, 6, 0, 0, 0, 0, 0]) + b"12345678"


@server("huge-reply")
def huge_reply(port: int) -> None:
    base.serve(port, register=raw(lambda request, context: bytes(24 << 20)), options=_UNLIMITED)


@server("gzip-bomb")
def gzip_bomb(port: int) -> None:
    options: dict[str, Any] = {"options": _UNLIMITED, "compression": grpc.Compression.Gzip}
    base.serve(port, register=raw(lambda request, context: bytes(24 << 20)), **options)


@server("many-items")
def many_items(port: int) -> None:
    base.serve(port, register=raw(lambda request, context: b"\x12\x00" * 1_000_000))


@server("huge-error")
def huge_error(port: int) -> None:
    def refuse(request: Any, context: Any) -> bytes:
        context.abort(grpc.StatusCode.INTERNAL, "x" * (1 << 20))
        return b""

    base.serve(port, register=raw(refuse), options=_UNLIMITED)


def _reflecting(answer: Callable[[Any], bytes]) -> Any:
    """Registers a reflection that answers so, and no other service."""

    def answers(requests: Iterable[Any], context: Any) -> Iterator[bytes]:
        yield from map(answer, requests)

    def register(servicer: Any, server: Any) -> None:
        handler = grpc.stream_stream_rpc_method_handler(answers, reflection_pb2.ServerReflectionRequest.FromString)
        service = "grpc.reflection.v1alpha.ServerReflection"
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, {"ServerReflectionInfo": handler}),)
        )

    return register


@server("huge-reflection")
def huge_reflection(port: int) -> None:
    base.serve(port, register=_reflecting(lambda request: bytes(24 << 20)), reflects=None, options=_UNLIMITED)


@server("files-that-import-each-other")
def files_that_import_each_other(port: int) -> None:
    def answer(request: Any) -> bytes:
        response = reflection_pb2.ServerReflectionResponse()
        if request.HasField("list_services"):
            response.list_services_response.service.add(name="zoo.v1.PredictionService")
        else:
            names = ("a.proto", "b.proto")
            for name, other in (names, names[::-1]):
                file = descriptor_pb2.FileDescriptorProto(name=name, package="zoo.v1", dependency=[other])
                if name == "a.proto":
                    file.service.add(name="PredictionService")
                response.file_descriptor_response.file_descriptor_proto.append(file.SerializeToString())
        return response.SerializeToString()

    base.serve(port, register=_reflecting(answer), reflects=None)


@server("ping-flood")
def ping_flood(port: int) -> None:
    def flood(connection: socket.socket) -> None:
        connection.sendall(_SETTINGS)
        while True:
            connection.sendall(_PING * 1000)

    each_connection(port, flood)


@server("a-byte-at-a-time")
def a_byte_at_a_time(port: int) -> None:
    def trickle(connection: socket.socket) -> None:
        while True:
            connection.sendall(b"\0")
            time.sleep(0.2)

    each_connection(port, trickle)


@server("http-endless-body")
def http_endless_body(port: int) -> None:
    def talk(connection: socket.socket) -> None:
        is_health = connection.recv(4096).startswith(b"GET")
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (0 if is_health else 1 << 40))
        while not is_health:
            connection.sendall(b"[]," * 20_000)

    each_connection(port, talk)
