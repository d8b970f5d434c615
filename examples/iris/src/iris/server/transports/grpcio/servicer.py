"""gRPC's way to the core: bytes in, bytes out, and a status where a call has no reply."""

from __future__ import annotations

from contextlib import aclosing
from typing import NoReturn

import grpc

from ....contract import served
from ...core.calls import Call, Calls, deadline_in
from ...core.outcomes import Failure, Outcome
from ..metadata import caller_request_id
from ..status_details import bad_request
from .readers import Readers

Context = grpc.aio.ServicerContext[bytes, bytes]
STATUSES = {outcome: grpc.StatusCode[outcome.name] for outcome in Outcome}


class Servicer:
    """Answers the contract's methods, of every version of the service."""

    def __init__(self, calls: Calls, readers: Readers) -> None:
        self._calls, self._readers = calls, readers

    def handlers(self) -> dict[str, dict[str, grpc.RpcMethodHandler[bytes, bytes]]]:
        """What gRPC calls for each method of each service.

        Without (de)serializers: gRPC would answer UNKNOWN to bytes that are not a message.
        """
        return {service: self._handlers(service) for service in served.SERVICES}

    def _handlers(self, service: str) -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
        return {method.name: self._handler(method) for method in served.SERVICES[service]}

    def _handler(self, method: served.Method) -> grpc.RpcMethodHandler[bytes, bytes]:
        """A function of its own: gRPC inspects what it calls in every call, and that takes longer for a `partial`."""
        label = method.label

        async def unary(data: bytes, context: Context) -> bytes:
            with self._calls.start(label, caller_request_id(context.invocation_metadata() or ())) as call:
                return await self._unary(method, data, context, call)

        async def stream(data: bytes, context: Context) -> None:
            with self._calls.start(label, caller_request_id(context.invocation_metadata() or ())) as call:
                await self._stream(method, data, context, call)

        if method.streaming:
            return grpc.unary_stream_rpc_method_handler(stream)
        return grpc.unary_unary_rpc_method_handler(unary)

    async def _unary(self, method: served.Method, data: bytes, context: Context, call: Call) -> bytes:
        """From the request's bytes to the reply's."""
        try:
            with self._calls.admission:
                reader = self._readers.open(context)
                deadline = deadline_in(context.time_remaining())
                reply = await self._calls.unary(method, data, call.request_id, deadline)
                reader.hand_over(reply)
                call.succeeded()
                return reply
        except Exception as error:
            await _abort(context, call.failed(error))

    async def _stream(self, method: served.Method, data: bytes, context: Context, call: Call) -> None:
        """From the request's bytes to all replies. When the caller goes, gRPC cancels this, which ends the stream."""
        try:
            with self._calls.admission:
                reader = self._readers.open(context)
                deadline = deadline_in(context.time_remaining())
                async with aclosing(self._calls.stream(method, data, call.request_id, deadline)) as replies:
                    await context.send_initial_metadata(())  # or no status could follow a reply that is not taken
                    async for reply in replies:
                        await reader.write(reply)
                call.succeeded()
        except Exception as error:
            await _abort(context, call.failed(error))


async def _abort(context: Context, failure: Failure) -> NoReturn:
    details = bad_request(failure) if failure.outcome is Outcome.INVALID_ARGUMENT else ()
    await context.abort(STATUSES[failure.outcome], failure.message, details)
