"""grpc.health.v1 as a client sees it: the paths of its methods, one answer of Check, and an open Watch."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError
from grpc_health.v1 import health_pb2

from protoserve.verify.grpc_client import Client, Reply

CHECK = "/grpc.health.v1.Health/Check"
WATCH = "/grpc.health.v1.Health/Watch"
LIST = "/grpc.health.v1.Health/List"
CHECK_TIMEOUT = 2.0  # seconds


@dataclass(frozen=True, slots=True)
class Health:
    """One answer of Check: the status by name (`SERVING`), or None if the call failed or returned another message."""

    status: str | None
    reply: Reply

    @property
    def may_be_starting(self) -> bool:
        return self.status == "NOT_SERVING" or self.reply.code is grpc.StatusCode.UNAVAILABLE

    @property
    def answered(self) -> bool:
        """Whether the health service answered, be it with an error."""
        silent = (grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNIMPLEMENTED)
        return self.reply.code not in silent and not self.reply.connection_lost

    def __str__(self) -> str:
        return self.status or str(self.reply)


def check(client: Client, service: str, timeout: float = CHECK_TIMEOUT) -> Health:
    """Calls Check once."""
    request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
    reply = client.call(CHECK, request, timeout)
    return Health(_status(reply.messages[0]) if reply.ok and len(reply.messages) == 1 else None, reply)


class Watch:
    """An open health Watch: the names of the statuses so far (None for an invalid message), and how the stream ended.

    The stream is read in a thread of its own.
    """

    def __init__(self, client: Client, service: str, timeout: float) -> None:
        self.statuses: list[str | None] = []
        self.end: Reply | None = None  # None while the stream is open
        self._changed = threading.Condition()
        request = health_pb2.HealthCheckRequest(service=service).SerializeToString()
        self._call = client.start(WATCH, request, timeout, many=True)
        threading.Thread(target=self._read, daemon=True).start()

    def wait_for_message(self, timeout: float) -> bool:
        """Whether a message arrives within `timeout` seconds, or has arrived before."""
        with self._changed:
            self._changed.wait_for(lambda: self.statuses or self.end, timeout)
            return bool(self.statuses)

    def wait_for_end(self, timeout: float) -> Reply | None:
        """How the stream ended, or None if it is still open after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self.end is not None, timeout)
            return self.end

    def cancel(self) -> None:
        self._call.cancel()

    def _read(self) -> None:
        for data in self._call.messages():
            with self._changed:
                self.statuses.append(_status(data))
                self._changed.notify_all()
        end = self._call.reply()  # returns at once: the stream has ended
        with self._changed:
            self.end = end
            self._changed.notify_all()


def _status(data: bytes) -> str | None:
    try:
        number = health_pb2.HealthCheckResponse.FromString(data).status
        return str(health_pb2.HealthCheckResponse.ServingStatus.Name(number))
    except (ValueError, DecodeError):
        return None
