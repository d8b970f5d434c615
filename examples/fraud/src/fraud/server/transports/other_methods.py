"""The methods that are not the model's: health, reflection, and those of the contract that it does not answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from ..core.state import ServerState
from .health import Health

Context = grpc.aio.ServicerContext[bytes, bytes]


@dataclass(frozen=True)
class OtherMethods:
    """What they follow from: plain data, so that a process without the contract's code can answer them, too.

    `served` and `unserved` are the names of methods by service. `pool` has the descriptors of the services.
    """

    served: Mapping[str, Sequence[str]]
    unserved: Mapping[str, Sequence[str]]
    pool: descriptor_pool.DescriptorPool

    @classmethod
    def of_contract(cls) -> OtherMethods:
        """Those of this server's contract."""
        from ...contract import served

        names = {service: [method.name for method in methods] for service, methods in served.SERVICES.items()}
        return cls(names, served.UNSERVED, descriptor_pool.Default())


def add_other_methods(server: grpc.aio.Server, state: ServerState, methods: OtherMethods) -> None:
    """Has `server` answer them."""
    services = (*methods.served, "grpc.health.v1.Health", reflection.SERVICE_NAME)
    for service, served in methods.served.items():
        refusals = _refusals(service, served, methods.unserved.get(service, ()))
        server.add_registered_method_handlers(service, refusals)
    health_pb2_grpc.add_HealthServicer_to_server(Health(state, *methods.served), server)
    reflection.enable_server_reflection(services, server, methods.pool)


def _refusals(
    service: str, served: Sequence[str], unserved: Sequence[str]
) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    """What answers the methods that the contract has and the model does not, whether they take or give streams."""
    names = ", ".join(served)

    async def refuse(name: str, requests: object, context: Context) -> None:
        text = f"{name} is part of {service}, but this server does not answer it, only {names}"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)

    return {name: grpc.stream_stream_rpc_method_handler(partial(refuse, name)) for name in unserved}
