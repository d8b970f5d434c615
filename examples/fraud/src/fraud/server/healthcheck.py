"""`python -m` this module checks the health of the local server; exits with 0 if it is SERVING."""

import os
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from .default_port import DEFAULT_PORT


def main(service: str = "") -> str | None:
    """Why the service, by default the whole server, is not SERVING; None if it is."""
    host, port = os.environ.get("HOST", ""), os.environ.get("PORT") or DEFAULT_PORT
    if host in ("", "[::]", "0.0.0.0"):
        host = "localhost"
    target = f"{host}:{port}"
    channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
    try:
        reply = HealthStub(channel).Check(HealthCheckRequest(service=service), timeout=5)  # type: ignore[attr-defined]
    except grpc.RpcError as error:
        return f"{target}: {error.code().name}: {error.details()}"
    return None if reply.status == HealthCheckResponse.SERVING else f"{target}: NOT_SERVING"


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
