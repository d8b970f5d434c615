"""`python -m` this module asks this machine's server for its health; exit 0: SERVING. An argument names a service."""

import os
import sys

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from .default_port import DEFAULT_PORT


def main(service: str = "") -> int:
    host, port = os.environ.get("HOST", ""), os.environ.get("PORT") or DEFAULT_PORT
    target = f"{'localhost' if host in ('', '[::]', '0.0.0.0') else host}:{port}"
    channel = grpc.insecure_channel(target, options=[("grpc.enable_http_proxy", 0)])
    path, parse = "/grpc.health.v1.Health/Check", HealthCheckResponse.FromString
    check = channel.unary_unary(path, HealthCheckRequest.SerializeToString, parse)
    try:
        status = check(HealthCheckRequest(service=service), timeout=5).status
    except grpc.RpcError as error:
        sys.exit(f"{target}: {error.code().name}: {error.details()}")
    print(HealthCheckResponse.ServingStatus.Name(status))
    return 0 if status == HealthCheckResponse.SERVING else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:2]))
