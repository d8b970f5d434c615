"""What the checks of the two HTTP routes share: whether there is a server to judge, and what to send it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import json_format

from protoserve.verify.http_client import HEALTH_SECONDS, Answer, HttpClient
from protoserve.verify.interface import Method
from protoserve.verify.report import Finding, deferred, failed, skipped
from protoserve.verify.session import Session
from protoserve.verify.targets.command import CommandServer
from protoserve.verify.targets.crash_causes import crash_cause
from protoserve.verify.targets.image import ImageServer

HTTP = ("http-health", "http-predict")
ONLY = ("vertex",)
OVERLOAD = (429, 503)  # with these a server refuses a request that it has no room for
PATIENCE = 5.0
_PAUSE = 0.2
LISTEN = """
    Listen on the port that the platform sets, on all addresses:
        uvicorn.run(app, host="0.0.0.0", port=int(os.environ["AIP_HTTP_PORT"]))
    """


def not_judged(session: Session) -> Finding | None:
    """Why there is no HTTP server to judge, or why it cannot be reached; None if it can be judged."""
    if session.web is None:
        return skipped("no HTTP server was named; use --http HOST:PORT if there is one")
    server = session.process
    if isinstance(server, CommandServer) and server.http is not None and not session.web.alone:
        return None if server.speaks_http() else _grpc_alone(server.http)
    if not isinstance(server, ImageServer):
        return None
    if server.ended():
        return _container_ended(session, server)
    sockets = server.sockets()
    if sockets is None or server.http is None:
        return None
    hosts = [host for host, port in sockets if port == server.http]
    if not server.grpc:
        return (
            None if any(not host.is_loopback for host in hosts) else deferred("reachable", _not_reachable(server.http))
        )
    if server.inside == server.http:
        return skipped(f"port {server.http} speaks gRPC")
    if not hosts:
        return _grpc_alone(server.http)
    return _not_reachable(server.http) if all(host.is_loopback for host in hosts) else None


def _grpc_alone(port: int) -> Finding:
    return skipped(
        f"nothing listens on AIP_HTTP_PORT={port}: with grpcPorts in the specification, Vertex AI uses gRPC alone"
    )


def _not_reachable(port: int) -> Finding:
    return failed(
        f"inside the container, HTTP listens on no address but 127.0.0.1:{port}",
        "The HTTP server is bound to the loopback address: it cannot be reached from outside its container.",
        LISTEN,
    )


def _container_ended(session: Session, server: ImageServer) -> Finding:
    """Left to the check that saw it end."""
    last_words = server.exit_report()
    cause, remedy = crash_cause(last_words)
    failure = failed(f"the container has ended; {last_words}", f"The container ended by itself. {cause}", remedy)
    return deferred(session.unresponsive or "reachable", failure)


def predict_alone(web: HttpClient, session: Session, body: Any) -> Answer:
    """The answer to a valid request where no other is under way; a busy server gets PATIENCE seconds for it."""
    until = time.monotonic() + PATIENCE
    answer = web.predict(body, session.timeout)
    while answer.status in OVERLOAD and time.monotonic() < until and session.left():
        time.sleep(_PAUSE)
        answer = web.predict(body, session.timeout)
    return answer


def stopped_predicting(web: HttpClient, session: Session, answer: Answer, during: str) -> Finding:
    """The failure of a predict route that answered a valid request before; `answer` is the error."""
    health = web.health(HEALTH_SECONDS / 5)
    seen = (
        f"POST {web.predict_route}, {during}: {answer}, {session.age():.1f} s after the start and after {web.requests} "
        f"requests; GET {web.health_route}: {health}{session.exit_note()}"
    )
    word = " Health says 200 all the same, so the platform goes on sending requests." if health.status == 200 else ""
    return failed(
        seen,
        f"The server answered this request before, and no longer does.{word}",
        "Look at the server's log for the first error. If the server cannot repair what broke, let health say 503, and "
        "end the process, so that the platform starts another one.",
    )


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
