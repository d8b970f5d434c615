"""gRPC's server around the core: what it binds, and its start and stop."""

import asyncio
from collections.abc import Mapping
from typing import ClassVar

from ...binding import BindError, check_address
from ...core.calls import Calls
from ...core.state import ServerState
from ...settings import Settings
from ..grpc_server import make_server
from ..other_methods import OtherMethods, add_other_methods
from .connections import connection_options
from .readers import Readers
from .servicer import Servicer


class GrpcioTransport:
    CANNOT_KEEP: ClassVar[Mapping[str, str]] = {}

    def __init__(self, calls: Calls, state: ServerState, settings: Settings) -> None:
        self._settings = settings
        self._readers = Readers(settings)
        self._server = make_server(
            [
                ("grpc.max_receive_message_length", settings.max_request_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", 0),  # no second server on the same port
                *connection_options(settings),
            ]
        )
        for service, handlers in Servicer(calls, self._readers).handlers().items():
            self._server.add_registered_method_handlers(service, handlers)
        add_other_methods(self._server, state, OtherMethods.of_contract())

    def bind(self) -> int:
        host, port = self._settings.host, self._settings.port
        check_address(host, port)
        try:
            return self._server.add_insecure_port(f"{host}:{port}")
        except RuntimeError as error:
            raise BindError(str(error)) from error

    async def start(self) -> None:
        self._watching = asyncio.create_task(self._readers.watch())
        await self._server.start()

    async def stop(self, grace: float) -> None:
        await self._server.stop(grace)
