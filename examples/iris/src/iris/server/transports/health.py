"""grpc.health.v1: the state of the server, as platforms ask for it.

`""` and the services' names are SERVING while there is evidence that the model can answer. `liveness` is SERVING while
a restart would not help: a probe that restarts the container must ask for that, since on the others it would kill a
server that still loads. Both follow from the state of the server (`core/state.py`), which has every rule.
"""

from collections.abc import AsyncIterator

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from ..core.state import ServerState

Context = grpc.aio.ServicerContext[HealthCheckRequest, HealthCheckResponse]
LIVENESS = "liveness"


class Health(health_pb2_grpc.HealthServicer):
    """The health of the server as a whole, of its services, and of the process."""

    def __init__(self, state: ServerState, *services: str) -> None:
        self._state, self._names = state, (LIVENESS, "", *services)

    def _status(self, name: str) -> int:
        """SERVICE_UNKNOWN for a name that is not the server's."""
        if name not in self._names:
            return HealthCheckResponse.SERVICE_UNKNOWN
        healthy = self._state.is_alive if name == LIVENESS else self._state.is_serving
        return HealthCheckResponse.SERVING if healthy else HealthCheckResponse.NOT_SERVING

    async def Check(self, request: HealthCheckRequest, context: Context) -> HealthCheckResponse:
        status = self._status(request.service)
        if status == HealthCheckResponse.SERVICE_UNKNOWN:
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return HealthCheckResponse(status=status)

    async def List(self, request: object, context: object) -> object:
        statuses = {name: HealthCheckResponse(status=self._status(name)) for name in self._names}
        return health_pb2.HealthListResponse(statuses=statuses)  # type: ignore[attr-defined]  # newer than its stubs

    async def Watch(self, request: HealthCheckRequest, context: Context) -> AsyncIterator[HealthCheckResponse]:
        """Sends the status, and again when it changes, until the server ends: gRPC's stop cannot cancel a Watch."""
        sent = None
        while True:
            status = self._status(request.service)
            if status != sent:
                yield HealthCheckResponse(status=status)
                sent = status
            elif self._state.current.is_final:
                return
            else:
                await self._state.change()
