"""A server that the user's own command starts."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from protoserve.verify.address import Address, UsageError
from protoserve.verify.protocol_detection import Answerer, detect
from protoserve.verify.targets.process import ProcessServer, free_port

_HOST = "127.0.0.1"
_POLL_SECONDS = 0.02
_SETTLING_SECONDS = 2.0  # after the HTTP side is ready, a gRPC port may still open


class CommandServer(ProcessServer):
    """The command, with the port that it must use in PORT, and in place of `{port}` in its arguments.

    `words` is the command as the user wrote it. `http` is the port of its HTTP side (AIP_HTTP_PORT, `{http_port}`),
    None if the platform does not need one.
    """

    def __init__(
        self, command: Sequence[str], variables: Mapping[str, str], *, port: int | None = None, has_http: bool = False
    ) -> None:
        """`variables` are those that the platform sets beside the ports; `port` is the gRPC port, None for a free one.

        Raises UsageError if something already listens on `port`.
        """
        if port is not None and _is_open(port):
            raise UsageError(f"--port {port}: something already listens there: stop it, or use another port")
        self.words = tuple(command)
        address = Address(_HOST, free_port() if port is None else port)
        self.http = free_port() if has_http else None
        places = {"{port}": address.port, "{http_port}": self.http}
        ports = {"PORT": str(address.port)} | ({} if self.http is None else {"AIP_HTTP_PORT": str(self.http)})
        super().__init__([_filled(word, places) for word in command], {**variables, **ports}, address, Path())

    def find_grpc(self, http_ready: Callable[[], bool], until: float) -> bool:
        """Waits until the gRPC port speaks HTTP/2, and returns True; or False once only HTTP is ready, or time is up.

        `http_ready` says whether the HTTP side is ready: a gRPC port beside it may open a little later.
        """
        ready_at: float | None = None
        while not self.ended() and time.monotonic() < until:
            if detect(self.address, 1.0).kind is Answerer.HTTP2:
                return True
            if ready_at is None and http_ready():
                ready_at = time.monotonic()
            if ready_at is not None and time.monotonic() > ready_at + _SETTLING_SECONDS:
                return False
            if self.serves_elsewhere():
                return False
            time.sleep(_POLL_SECONDS)
        return False

    def speaks_http(self) -> bool:
        """Whether something listens on its HTTP port now."""
        return self.http is not None and _is_open(self.http)


def _filled(word: str, places: Mapping[str, int | None]) -> str:
    for name, number in places.items():
        if number is not None:
            word = word.replace(name, str(number))
    return word


def _is_open(port: int) -> bool:
    with socket.socket() as attempt:
        attempt.settimeout(1.0)
        return attempt.connect_ex((_HOST, port)) == 0 and attempt.getsockname() != attempt.getpeername()
