"""Transports: what carries calls between clients and the core, a folder for each.

A transport turns what arrives into calls of the core (`core/calls.py`, `core/exchanges.py`) and what they come to into
replies. It uses the core and what lies beside it here, never another transport.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:  # a process of a transport, beside the server, need not load them
    from ..core.calls import Calls
    from ..core.state import ServerState
    from ..settings import Settings

NATIVE_PACKAGE = "pygrpc-native==0.5.0"


class Transport(Protocol):
    """One way for gRPC to reach the server, with health, reflection, and refusals for what the model does not answer.

    All methods are called on the event loop. `bind` comes first, once; then `start`, and at the end `stop`.
    """

    CANNOT_KEEP: ClassVar[Mapping[str, str]]
    """Settings that have no effect with this transport, by the names of their variables, with the reason."""

    def __init__(self, calls: Calls, state: ServerState, settings: Settings, /) -> None: ...

    def bind(self) -> int:
        """Takes HOST and PORT of the settings; returns the port. Raises BindError.

        A connection may be accepted from here on, but nothing is answered before `start`.
        """

    async def start(self) -> None:
        """Answers from here on: health by the state of the server, calls as admission decides."""

    async def stop(self, grace: float) -> None:
        """Ends all connections, and whatever is still open on them after so many seconds.

        The state is final by now, which ends health watches, and no reply of a call that has ended is lost.
        """


def transport_class(settings: Settings, environ: Mapping[str, str]) -> type[Transport]:
    """The transport that TRANSPORT names. Raises ValueError if it cannot be used, or not with what `environ` sets."""
    name = settings.transport
    chosen = _native_transport() if name == "native" else _grpcio_transport()
    refused = [
        f"{setting} cannot be kept by TRANSPORT={name}: {reason}; unset it, or set TRANSPORT=grpcio"
        for setting, reason in chosen.CANNOT_KEEP.items()
        if environ.get(setting, "").strip()
    ]
    if refused:
        raise ValueError("; ".join(refused))
    return chosen


def _grpcio_transport() -> type[Transport]:
    from .grpcio.transport import GrpcioTransport

    return GrpcioTransport


def _native_transport() -> type[Transport]:
    try:
        from .native.transport import NativeTransport
    except ImportError as error:
        raise ValueError(
            f"TRANSPORT=native needs the package {NATIVE_PACKAGE}, which cannot be imported ({error}); add the line "
            f"{NATIVE_PACKAGE} to requirements/model.txt and run `make setup lock`, or set TRANSPORT=grpcio"
        ) from error
    return NativeTransport
