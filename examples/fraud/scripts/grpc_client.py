"""A client of this project's service in all its versions, for the scripts and the smoke test."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.message import Message
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_status import rpc_status

from fraud import contract
from fraud.contract import Method, served
from fraud.server.json_violations import json_violations

REQUESTS = Path(__file__).resolve().parent.parent / "tests" / "requests"
# By every name of a method: `Predict` means that of the newest version; VERSION.Predict, that of another.
METHODS: dict[str, Method] = {name: method for method in reversed(served.METHODS) for name in sorted(method.names)}
SERVING = HealthCheckResponse.SERVING


class NotServing(Exception):
    """The server exited, or the time ran out, before health reported SERVING."""


def connect(target: str, service_config: str | None = None) -> grpc.Channel:
    """A channel to `target` (host:port) that reconnects quickly and uses no proxy for this machine's own addresses.

    `service_config` is gRPC's service config in JSON: how to balance over the target's addresses, and when to retry.
    """
    options: list[tuple[str, int | str]] = [
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 500),
    ]
    if target.rpartition(":")[0] in ("localhost", "127.0.0.1", "[::1]"):
        options.append(("grpc.enable_http_proxy", 0))
    if service_config is not None:
        options.append(("grpc.service_config", service_config))
    return grpc.insecure_channel(target, options=options)


def sample_file(method: Method) -> Path:
    """The sample request of a method. Those of an older version are in a folder with its name."""
    folder = REQUESTS if method in contract.METHODS else REQUESTS / method.version
    return folder / f"{method.name}.json"


def parse_request(method: Method, text: str) -> Message:
    """Parse a request from protobuf's JSON. Raises json_format.ParseError."""
    return json_format.Parse(text, _message(method, "input_type"))


def request_violations(method: Method, value: object) -> list[str]:
    """What is wrong with a JSON value as a request of the method, as a line for each place."""
    violations = json_violations(value, type(_message(method, "input_type")), "")
    return [_line(violation.field.lstrip("."), violation.description) for violation in violations]


def call(channel: grpc.Channel, method: Method, request: Message, *, timeout: float = 30) -> Iterator[Message]:
    """Yield the reply of a unary method, or all replies of a stream. `timeout` is in seconds. Raises grpc.RpcError."""
    # Called by its class, since a field of the message may have the name of this method.
    for reply in call_bytes(channel, method, type(request).SerializeToString(request), timeout=timeout):
        message = _message(method, "output_type")
        type(message).ParseFromString(message, reply)
        yield message


def call_bytes(channel: grpc.Channel, method: Method, request: bytes, *, timeout: float = 30) -> Iterator[bytes]:
    """The same as `call` with bytes instead of messages, so that a request can also be malformed."""
    if not method.streaming:
        yield channel.unary_unary(method.path, _same, _same)(request, timeout=timeout)
        return
    replies = channel.unary_stream(method.path, _same, _same)(request, timeout=timeout)
    try:
        yield from replies
    finally:
        replies.cancel()


def health(channel: grpc.Channel, service: str = "") -> int:
    """The health status that the server reports for a service name. Raises grpc.RpcError."""
    check = channel.unary_unary(
        "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    return check(HealthCheckRequest(service=service), timeout=5).status


def wait_until_serving(channel: grpc.Channel, *, alive: Callable[[], bool], seconds: float = 120) -> None:
    """Wait until health is SERVING. Raises NotServing if `alive` returns False or the time runs out."""
    watch = channel.unary_stream(
        "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
    )
    end = time.monotonic() + seconds
    while alive():
        if time.monotonic() > end:
            raise NotServing(f"the server is not SERVING after {seconds:g} s")
        states = watch(HealthCheckRequest(service=contract.SERVICE), timeout=1, wait_for_ready=True)
        try:
            if any(state.status == SERVING for state in states):
                return
        except grpc.RpcError as error:
            # No server listens yet or any more, or the status has not changed for a second: watch again if it is alive.
            codes = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.CANCELLED)
            if error.code() not in codes:
                raise
        finally:
            states.cancel()
    raise NotServing("the server ended before it was SERVING")


def explain(error: grpc.RpcError) -> list[str]:
    """An error as lines: its code with its message, or with one line for each field that breaks the contract."""
    fields = []
    status = rpc_status.from_call(cast(grpc.Call, error))
    for detail in status.details if status is not None else ():
        violations = error_details_pb2.BadRequest()
        if detail.Unpack(violations):
            fields += [_line(item.field, item.description) for item in violations.field_violations]
    lines = [error.code().name, *fields] if fields else [f"{error.code().name}: {error.details()}"]
    return [visible(line) for line in lines]


def visible(text: str) -> str:
    """The text with escapes, as JSON has them, for what a terminal would obey: a server may send anything."""
    return "".join(char if char == "\n" or char.isprintable() else json.dumps(char)[1:-1] for char in text)


def _line(field: str, description: str) -> str:
    return f"  {field or '(request)'}: {description}"


def _message(method: Method, direction: str) -> Message:
    service = descriptor_pool.Default().FindServiceByName(method.path.split("/")[1])
    descriptor = getattr(service.methods_by_name[method.name], direction)
    return message_factory.GetMessageClass(descriptor)()


def _same(data: bytes) -> bytes:
    return data
