"""gRPC's server for asyncio, all of whose methods are registered with it."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]  # has no types

from ..logs import logger

# What `call_taker.py` uses of gRPC's own, with its parameters: in a version where they are others, gRPC's server stays
# as it is.
FUNCTIONS = {
    "_handle_rpc": "method_name method_resolver interceptors rpc_state loop concurrency_exceeded",
    "_handle_unary_unary_rpc": "method_handler rpc_state loop",
    "_schedule_rpc_coro": "rpc_coro rpc_state loop method_name",
}
METHODS = {
    "add_registered_method_handlers": "self method_handlers",
    "is_running": "self",
    "_make_request_call_future": "self method_bytes",
    "_request_call": "self",
    "_request_registered_call": "self method",
    "_serving_task_crash_handler": "self task",
}
CLASSES = ("AioServer", "_MethodResolver")


def make_server(options: Sequence[tuple[str, Any]]) -> grpc.aio.Server:
    """A server, all of whose methods must be added by `add_registered_method_handlers`."""
    unknown = _unknown_parts()
    if unknown:
        logger.warning(
            "grpcio %s has another %s than this server knows, so gRPC takes the calls by itself: one with a method's "
            "name that is not UTF-8 can end the server. Use a version that the template was tested with",
            grpc.__version__,
            unknown[0],
        )
        return grpc.aio.server(options=options)
    from .call_taker import CallTaker

    plain = cygrpc.AioServer
    cygrpc.AioServer = CallTaker
    try:
        return grpc.aio.server(options=options)
    finally:
        cygrpc.AioServer = plain


def _unknown_parts() -> list[str]:
    """The names of what is not as this server knows it."""
    missing = [name for name in CLASSES if not inspect.isclass(getattr(cygrpc, name, None))]
    if missing:
        return missing
    functions = [name for name, known in FUNCTIONS.items() if _parameters(getattr(cygrpc, name, None)) != known]
    methods = [name for name, known in METHODS.items() if _parameters(getattr(cygrpc.AioServer, name, None)) != known]
    return functions + methods


def _parameters(function: Callable[..., object] | None) -> str:
    """The names of the parameters; empty without such a function, or where it does not name them."""
    try:
        return " ".join(inspect.signature(function).parameters) if function is not None else ""
    except (TypeError, ValueError):
        return ""
