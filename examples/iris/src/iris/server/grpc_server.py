"""gRPC's server, guarded against calls of a method whose name is not UTF-8.

gRPC for Python (1.85, for one) decodes that name in the loop that takes all calls, and the error ends the server for
everybody. Calls of registered methods come without a name to decode. So all methods of this server are registered, and
calls of any other are answered here, whatever its name is.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc

UNKNOWN = "unknown"  # stands for the name, which nobody looks at


class _GuardedServer(cygrpc.AioServer):  # type: ignore[misc]  # has no types
    def _make_request_call_future(self, method: bytes | None) -> asyncio.Future[Any]:
        """The next call of a registered method. gRPC's loop asks once for those of other methods, and gets none."""
        if method is not None:
            future: asyncio.Future[Any] = super()._make_request_call_future(method)
            return future
        loop = asyncio.get_running_loop()
        self._refusing = loop.create_task(self._refuse_unknown_methods())
        return loop.create_future()

    async def _refuse_unknown_methods(self) -> None:
        """Answers UNIMPLEMENTED, as gRPC does, until the server stops."""
        loop = asyncio.get_running_loop()
        no_methods = cygrpc._MethodResolver([], {})
        refusals = set()
        while True:
            try:
                call = await self._request_call()
            except cygrpc._RequestCallError:
                return
            refusal = cygrpc._handle_rpc(UNKNOWN, no_methods, (), call, loop, False)
            task = loop.create_task(cygrpc._schedule_rpc_coro(refusal, call, loop, UNKNOWN))
            refusals.add(task)
            task.add_done_callback(refusals.discard)


def make_server(options: Sequence[tuple[str, Any]]) -> grpc.aio.Server:
    """A server, all of whose methods must be added by `add_registered_method_handlers`."""
    plain = cygrpc.AioServer
    cygrpc.AioServer = _GuardedServer
    try:
        return grpc.aio.server(options=options)
    finally:
        cygrpc.AioServer = plain
