"""The methods that are not the model's: health, reflection, and those of the contract that it does not answer."""

from __future__ import annotations

from functools import partial

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ...contract import served
from ..core.state import ServerState
from .health import Health

Context = grpc.aio.ServicerContext[bytes, bytes]


def add_other_methods(server: grpc.aio.Server, state: ServerState) -> None:
    """Has `server` answer them."""
    for service in served.SERVICES:
        server.add_registered_method_handlers(service, _refusals(service))
    health_pb2_grpc.add_HealthServicer_to_server(Health(state, *served.SERVICES), server)
    reflection.enable_server_reflection((*served.SERVICES, "grpc.health.v1.Health", reflection.SERVICE_NAME), server)


def _refusals(service: str) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    """What answers the methods that the contract has and the model does not, whether they take or give streams."""
    names = ", ".join(method.name for method in served.SERVICES[service])

    async def refuse(name: str, requests: object, context: Context) -> None:
        text = f"{name} is part of {service}, but this server does not answer it, only {names}"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

    unserved = served.UNSERVED.get(service, ())
    return {name: grpc.stream_stream_rpc_method_handler(partial(refuse, name)) for name in unserved}
