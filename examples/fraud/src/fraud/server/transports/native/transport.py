"""pygrpc-native around the core, with a process beside it for health: what it binds, and its start and stop."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import ClassVar

from pygrpc_native import NativeGrpcFront

from ....contract import served
from ...binding import ALL_ADDRESSES, BindError, check_address
from ...core.calls import Calls
from ...core.connections import SPARE_STREAMS
from ...core.state import ServerState
from ...logs import logger
from ...settings import Settings
from .fallback import Fallback
from .front import Front

IO_THREADS = 1  # which do HTTP/2 outside of the interpreter's lock; a second one is no faster on one core
NOT_HTTP2 = b"no HTTP/2 connection begins like this\r\n"
LINE_SECONDS = 1.0  # at most, for it to be refused
NO_CLOSING = "it does not close connections by their age or idle time"
FOR_WHOM = (
    "TRANSPORT=native is for callers that are trusted, or stand behind a proxy that bounds and inflates requests: a "
    "compressed request of 1 MB can take more than 1 GB of memory"
)


class NativeTransport:
    CANNOT_KEEP: ClassVar[Mapping[str, str]] = {
        "MAX_CONNECTION_IDLE_SECONDS": NO_CLOSING,
        "MAX_CONNECTION_AGE_SECONDS": NO_CLOSING,
        "MAX_CONNECTION_AGE_GRACE_SECONDS": NO_CLOSING,
        "MAX_UNREAD_BYTES": "it does not say which replies are still unread",
    }

    def __init__(self, calls: Calls, state: ServerState, settings: Settings) -> None:
        self._calls, self._state, self._settings = calls, state, settings
        logging.getLogger("pygrpc_native").setLevel(logging.WARNING)  # below that it logs callers' mistakes, and waits

    def bind(self) -> int:
        host, port = self._settings.host, self._settings.port
        check_address(host, port)
        try:
            self._native = self._bound(f"{host}:{port}")
        except BindError:
            if host.strip("[]") != ALL_ADDRESSES:
                raise
            self._native = self._bound(f"0.0.0.0:{port}")  # a system without IPv6 has no `[::]`
        self._fallback = Fallback(self._state, self._settings)
        self._front = Front(self._native, served.METHODS, self._calls, self._settings)
        self._native.set_fallback(str(self._fallback.path))
        return int(self._native.bound_port)

    def _bound(self, target: str) -> NativeGrpcFront:
        """On an address and a port. Raises BindError."""
        settings = self._settings
        try:
            return NativeGrpcFront(
                target,
                [(method.path, method.streaming) for method in served.METHODS],
                io_threads=IO_THREADS,
                call_details=True,
                keepalive_time_ms=round(settings.keepalive_seconds * 1000),
                keepalive_timeout_ms=round(settings.keepalive_timeout_seconds * 1000),
                max_concurrent_streams=settings.max_in_flight + SPARE_STREAMS,
            )
        except OSError as error:
            raise BindError(error.strerror or str(error)) from error

    async def start(self) -> None:
        """Connections are accepted already; what arrives on them waits until the process for health answers."""
        logger.info(FOR_WHOM)
        self._fallback.start(self._answer)

    def _answer(self) -> None:
        """In a thread. The process for health answers now."""
        self._front.start()
        _have_a_line_refused(self._settings.host, self._native.bound_port)

    async def stop(self, grace: float) -> None:
        await self._fallback.stop(grace)
        await asyncio.to_thread(self._front.stop)


def _have_a_line_refused(host: str, port: int) -> None:
    """Has pygrpc-native learn, before the model can hold the interpreter's lock, that its lines are not wanted.

    It logs broken connections, and asks Python once whether to: with the lock, for which all connections would wait.
    """
    for address in (host.strip("[]"), "127.0.0.1", "::1"):
        with suppress(OSError), socket.create_connection((address, port), LINE_SECONDS) as connection:
            connection.settimeout(LINE_SECONDS)
            connection.sendall(NOT_HTTP2)
            connection.recv(2**10)
            return
