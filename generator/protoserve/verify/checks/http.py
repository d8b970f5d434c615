"""What the checks of the two HTTP routes share: where there is nothing to judge, and what to send."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import json_format

from protoserve.verify.http_side import HttpSide
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, failed, skipped
from protoserve.verify.session import Session
from protoserve.verify.targets.image import ImageServer

HTTP = ("http-health", "http-predict")
ONLY = ("vertex",)
NO_HTTP = "no HTTP server was named; give --http HOST:PORT where there is one"


def absent(session: Session, web: HttpSide) -> Finding | None:
    """Where no HTTP server is to be judged: why. Or where it listens instead."""
    server = session.process
    if not isinstance(server, ImageServer):
        return None
    if server.ended():
        return skipped("the container has ended; `reachable` or `shutdown` tells about that")
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
            f"nothing listens on AIP_HTTP_PORT={server.http}: with grpcPorts in the spec, Vertex AI asks by gRPC alone"
        )
    if all(host.is_loopback for host in hosts):
        return failed(
            f"inside the container, HTTP listens on 127.0.0.1:{server.http}",
            "The HTTP server is bound to the loopback: nothing outside of its container reaches it.",
            """
            Bind to all addresses:
                uvicorn.run(app, host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))
            """,
        )
    return None


def bodies(session: Session, web: HttpSide) -> Iterator[dict[str, Any]]:
    """Bodies with one instance, in the order in which to try them: the given one, or what the contract suggests."""
    if web.instance is not None:
        yield {"instances": [web.instance]}
        return
    method = next(unary(session.methods), None)
    if method is None or session.requests is None:
        return
    for request in session.requests.candidates(method):
        yield {"instances": [as_json(method, request.data)]}


def unary(methods: Iterable[Method]) -> Iterator[Method]:
    """Those that take and give one message: the predict route stands for the first."""
    return (method for method in methods if not (method.takes_stream or method.gives_stream))


def as_json(method: Method, data: bytes) -> Any:
    """A request of the method as an instance: protobuf's JSON, with the fields' own names."""
    message = method.request()
    message.ParseFromString(data)
    return json_format.MessageToDict(message, preserving_proto_field_name=True)
