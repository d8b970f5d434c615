"""grpc.health.v1, the states that platforms ask for.

`""` and the services' names are SERVING when the model can answer. `liveness` is SERVING while the process lives: a
probe that restarts the container must ask for that, since on the others it would kill a server that still loads.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse


class Health(health_pb2_grpc.HealthServicer):
    """Health of the server as a whole and of `services`; NOT_SERVING until `set` says otherwise."""

    def __init__(self, *services: str) -> None:
        self._states: dict[str, int] = {"liveness": HealthCheckResponse.SERVING}
        self._names, self._closed, self._changed = ("", *services), False, asyncio.Event()
        self.set(serving=False)

    def set(self, *, serving: bool, closed: bool = False) -> None:
        """`closed` ends every Watch once it has told its state: gRPC's stop waits for them and cannot cancel them."""
        state = HealthCheckResponse.SERVING if serving else HealthCheckResponse.NOT_SERVING
        self._states |= dict.fromkeys(self._names, state)
        self._closed = closed
        self._changed.set()
        self._changed = asyncio.Event()

    async def Check(self, request: HealthCheckRequest, context: Any) -> HealthCheckResponse:
        if request.service not in self._states:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return HealthCheckResponse(status=self._states[request.service])

    async def List(self, request: Any, context: Any) -> Any:
        statuses = {name: HealthCheckResponse(status=state) for name, state in self._states.items()}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # newer than its stubs

    async def Watch(self, request: HealthCheckRequest, context: Any) -> AsyncIterator[HealthCheckResponse]:
        told = None
        while True:
            changed, state = self._changed, self._states.get(request.service, HealthCheckResponse.SERVICE_UNKNOWN)
            if state != told:
                yield HealthCheckResponse(status=state)
                told = state
            elif self._closed:
                return
            else:
                await changed.wait()
