"""A gRPC client that sends and receives bytes, and returns statuses instead of raising errors."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import grpc

from protoserve.verify.address import Address
from protoserve.verify.metadata import NONE, Metadata

_OPTIONS = [
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    ("grpc.enable_retries", 0),  # what a server refuses is what we want to see
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),  # each client has a connection of its own
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 500),
]
# An endless stream is judged by this many messages, or by what comes in this many seconds after the first of them.
MOST_MESSAGES = 16
STREAM_SECONDS = 1.0
_CLOSING_SECONDS = 1.0
# What gRPC's client says by itself, with UNAVAILABLE, when the connection breaks.
_CONNECTION_LOST = re.compile(
    r"failed to connect|socket closed|connection reset|goaway|connection refused|broken pipe", re.I
)


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call ended: its status, the messages that came before (bytes), and after how many seconds.

    `cut` is whether it is we who ended a stream, which would have gone on: its status is OK then. `cancelled_here` is
    whether the whole call was cancelled here, so that its status says nothing about the server.
    """

    code: grpc.StatusCode
    details: str
    messages: tuple[bytes, ...]
    seconds: float
    cut: bool = False
    cancelled_here: bool = False

    @property
    def ok(self) -> bool:
        return self.code is grpc.StatusCode.OK

    @property
    def connection_lost(self) -> bool:
        """Whether the connection broke, as it does when the server's process ends."""
        return self.code is grpc.StatusCode.UNAVAILABLE and bool(_CONNECTION_LOST.search(self.details))

    def __str__(self) -> str:
        said = f' "{clipped(self.details)}"' if self.details else ""
        size = f", {sum(map(len, self.messages))} bytes" if self.messages else ""
        return f"{self.code.name}{said}{size} after {self.seconds:.2f} s"


class Call:
    """A call under way. `reply()` waits for its end, which the call's own deadline bounds."""

    def __init__(self, started: float, call: Any, many: bool) -> None:
        self._started, self._call, self._many = started, call, many
        self._cancelled = False
        self.on_end: Callable[[Reply], None] | None = None  # gets the reply before `reply()` returns it

    def reply(self, seconds: float = STREAM_SECONDS) -> Reply:
        """Waits for the end. A stream is ended here after MOST_MESSAGES, or `seconds` after its first message."""
        reply = self._stream(seconds) if self._many else self._single()
        if self.on_end is not None:
            self.on_end(reply)
        return reply

    def _single(self) -> Reply:
        try:
            return self._ended(grpc.StatusCode.OK, "", [self._call.result()])
        except grpc.RpcError as error:
            return self._ended(error.code(), error.details() or "", [])
        except grpc.FutureCancelledError:
            return self._ended(grpc.StatusCode.CANCELLED, "cancelled here", [])

    def _stream(self, seconds: float) -> Reply:
        messages: list[bytes] = []
        enough = threading.Event()

        def end() -> None:
            enough.set()
            self._call.cancel()

        timer = threading.Timer(seconds, end)
        timer.daemon = True
        try:
            for message in self._call:
                messages.append(message)
                if len(messages) == 1:
                    timer.start()
                if len(messages) == MOST_MESSAGES:
                    end()
                    break
        except grpc.RpcError as error:
            if not enough.is_set():
                return self._ended(error.code(), error.details() or "", messages)
        finally:
            timer.cancel()
        return self._ended(grpc.StatusCode.OK, "", messages, cut=enough.is_set())

    def messages(self) -> Iterator[bytes]:
        """The messages of a stream as they come; ends with it, whatever its status."""
        try:
            yield from self._call
        except grpc.RpcError:
            return

    def cancel(self) -> None:
        self._cancelled = True
        self._call.cancel()

    def done(self) -> bool:
        return bool(self._call.done())

    def _ended(self, code: grpc.StatusCode, details: str, messages: Iterable[bytes], cut: bool = False) -> Reply:
        seconds = time.monotonic() - self._started
        cancelled_here = self._cancelled and code is grpc.StatusCode.CANCELLED
        return Reply(code, details, tuple(messages), seconds, cut, cancelled_here)


class Client:
    """One connection to a server. Every call has a timeout, sends the metadata and is counted.

    `left` gives the seconds the run has got.
    """

    def __init__(self, address: Address, left: Callable[[], float], metadata: Metadata = NONE) -> None:
        self.requests = 0
        self._metadata = metadata.pairs or None
        self._left = left
        options: list[tuple[str, Any]] = list(_OPTIONS)
        if address.tls is None:
            self._channel: Any = grpc.insecure_channel(str(address), options)
            return
        if address.tls.name:
            options.append(("grpc.ssl_target_name_override", address.tls.name))
        credentials = grpc.ssl_channel_credentials(address.tls.roots())
        self._channel = grpc.secure_channel(str(address), credentials, options)

    def start(self, path: str, request: bytes, timeout: float, *, stream: bool = False, many: bool = False) -> Call:
        """Begins a call of the method at `path` (`/package.Service/Method`): of one request, in a stream where the
        method takes one; `many` where it answers with a stream. `timeout` is in seconds, and never past the run's end.
        """
        self.requests += 1
        timeout = max(0.001, min(timeout, self._left()))
        started = time.monotonic()
        call: Any
        if many:
            kind = self._channel.stream_stream if stream else self._channel.unary_stream
            call = kind(path)(iter([request]) if stream else request, timeout=timeout, metadata=self._metadata)
        elif stream:
            call = self._channel.stream_unary(path).future(iter([request]), timeout=timeout, metadata=self._metadata)
        else:
            call = self._channel.unary_unary(path).future(request, timeout=timeout, metadata=self._metadata)
        return Call(started, call, many)

    def call(self, path: str, request: bytes, timeout: float, *, stream: bool = False, many: bool = False) -> Reply:
        """Like `start`, and waits for the end."""
        return self.start(path, request, timeout, stream=stream, many=many).reply()

    def close(self) -> None:
        """Closes the connection. Ctrl-C may have left a lock of gRPC's taken: that is not waited for for ever."""
        closing = threading.Thread(target=self._channel.close, daemon=True)
        closing.start()
        closing.join(_CLOSING_SECONDS)


def clipped(text: str, most: int = 300) -> str:
    """The text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."
