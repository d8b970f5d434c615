"""What the checks of the two HTTP routes share: whether there is a server to judge, and what to send it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import json_format

from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, skipped
from protoserve.verify.session import Session
from protoserve.verify.targets.image import ImageServer

HTTP = ("http-health", "http-predict")
ONLY = ("vertex",)
LISTEN = """
    Listen on the port that the platform sets, on all addresses:
        uvicorn.run(app, host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))
    """


def not_judged(session: Session) -> Finding | None:
    """Why there is no HTTP server to judge, or why it cannot be reached; None if it can be judged."""
    if session.web is None:
        return skipped("no HTTP server was named; use --http HOST:PORT if there is one")
    server = session.process
    if not isinstance(server, ImageServer):
        return None
    if server.ended():
        return skipped("the container has ended; see the checks reachable and shutdown")
    sockets = server.sockets()
    if sockets is None or server.http is None:
        return None
    hosts = [host for host, port in sockets if port == server.http]
    if not server.grpc:
        return None if any(not host.is_loopback for host in hosts) else skipped("reachable failed")
    if server.inside == server.http:
        return skipped(f"port {server.http} speaks gRPC")
    if not hosts:
        return skipped(
            f"nothing listens on AIP_HTTP_PORT={server.http}: with grpcPorts in the specification, Vertex AI uses gRPC "
            "alone"
        )
    if all(host.is_loopback for host in hosts):
        return failed(
            f"inside the container, HTTP listens on 127.0.0.1:{server.http}",
            "The HTTP server is bound to the loopback address: it cannot be reached from outside its container.",
            LISTEN,
        )
    return None


def request_bodies(session: Session) -> Iterator[dict[str, Any]]:
    """Bodies with one instance, in the order in which to try them: the given instance, or those of the contract."""
    if session.web is not None and session.web.instance is not None:
        yield {"instances": [session.web.instance]}
        return
    method = next(unary(session.methods), None)
    if method is None or session.requests is None:
        return
    for request in session.requests.candidates(method):
        yield {"instances": [as_json(method, request.data)]}


def unary(methods: Iterable[Method]) -> Iterator[Method]:
    """The methods that take and return one message: the predict route stands for the first of them."""
    return (method for method in methods if not (method.takes_stream or method.gives_stream))


def as_json(method: Method, data: bytes) -> Any:
    """A request of the method as an instance: protobuf's JSON, with the field names of the .proto."""
    message = method.request()
    type(message).ParseFromString(message, data)
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
