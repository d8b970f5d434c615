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

# The longest message that is received: what gRPC's clients receive by default, as many calls are in flight at a time. A
# method whose reply to a single call is longer is called with MOST_BYTES. What comes compressed counts decompressed.
USUAL_BYTES = 4 << 20
MOST_BYTES = 16 << 20
_OPTIONS = [
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
_DEADLINE_SECONDS = 1.0  # by which a call that gRPC should have ended is waited for longer
# What gRPC's client says by itself, with RESOURCE_EXHAUSTED, when a message is larger than it receives.
_LARGER_THAN_RECEIVED = re.compile(
    r"CLIENT: Received message larger than max \(\d+ vs\. (\d+)\)|^Decompressed message larger than max"
)
# What gRPC's client says by itself, with UNAVAILABLE, when the connection breaks.
_CONNECTION_LOST = re.compile(
    r"failed to connect|socket closed|connection reset|goaway|connection refused|broken pipe", re.I
)


@dataclass(frozen=True, slots=True)
class Reply:
    """How a call ended: its status, the messages that came before (bytes), and after how many seconds.

    `cut` is whether it is we who ended a stream, which would have gone on: its status is OK then. `cancelled_here` is
    whether the whole call was cancelled here, so that its status says nothing about the server. `too_large` is the
    limit in bytes that a message of the reply exceeded, 0 if none did.
    """

    code: grpc.StatusCode
    details: str
    messages: tuple[bytes, ...]
    seconds: float
    cut: bool = False
    cancelled_here: bool = False
    too_large: int = 0

    @property
    def ok(self) -> bool:
        return self.code is grpc.StatusCode.OK

    @property
    def connection_lost(self) -> bool:
        """Whether the connection broke, as it does when the server's process ends."""
        return self.code is grpc.StatusCode.UNAVAILABLE and bool(_CONNECTION_LOST.search(self.details))

    def __str__(self) -> str:
        if self.too_large:
            return f"more than {self.too_large >> 20} MiB after {self.seconds:.2f} s"
        said = f' "{clipped(self.details)}"' if self.details else ""
        size = f", {sum(map(len, self.messages))} bytes" if self.messages else ""
        return f"{self.code.name}{said}{size} after {self.seconds:.2f} s"


class Call:
    """A call under way. `reply()` waits for its end, which the call's own deadline bounds."""

    def __init__(self, started: float, timeout: float, call: Any, many: bool, limit: int) -> None:
        self._started, self._call, self._many, self._limit = started, call, many, limit
        self._gives_up = started + timeout + _DEADLINE_SECONDS
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
            return self._ended(grpc.StatusCode.OK, "", [self._call.result(timeout=self._seconds_left())])
        except grpc.FutureTimeoutError:
            return self._given_up([])
        except grpc.RpcError as error:
            return self._ended(error.code(), error.details() or "", [])
        except grpc.FutureCancelledError:
            return self._ended(grpc.StatusCode.CANCELLED, "cancelled here", [])

    def _seconds_left(self) -> float:
        return max(0.0, self._gives_up - time.monotonic())

    def _given_up(self, messages: list[bytes]) -> Reply:
        """gRPC does not end a call at its deadline while a server floods its connection (with PING frames, say)."""
        self._call.cancel()
        return self._ended(grpc.StatusCode.DEADLINE_EXCEEDED, "no end, not even at the deadline", messages)

    def _stream(self, seconds: float) -> Reply:
        """Reads in a thread of its own, which a flooded connection may keep."""
        messages: list[bytes] = []
        ends: list[Reply] = []
        reader = threading.Thread(target=lambda: ends.append(self._read(messages, seconds)), daemon=True)
        reader.start()
        reader.join(self._seconds_left())
        return ends[0] if ends else self._given_up(list(messages))

    def _read(self, messages: list[bytes], seconds: float) -> Reply:
        size = 0
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
                size += len(message)
                if len(messages) == MOST_MESSAGES or size > MOST_BYTES:
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
        too_large = self._limit if code is grpc.StatusCode.RESOURCE_EXHAUSTED and self._exceeds_limit(details) else 0
        return Reply(code, details, tuple(messages), seconds, cut, cancelled_here, too_large)

    def _exceeds_limit(self, details: str) -> bool:
        """Whether our own client says so: a server may pass on such a text, with the limit of a client of its own."""
        match = _LARGER_THAN_RECEIVED.search(details)
        return match is not None and match[1] in (None, str(self._limit))


class Client:
    """One connection to a server. Every call has a timeout, sends the metadata and is counted.

    `left` gives the seconds the run has got.
    """

    def __init__(self, address: Address, left: Callable[[], float], metadata: Metadata = NONE) -> None:
        self.requests = 0
        self.limit = USUAL_BYTES  # of one message that it receives
        self._address, self._left = address, left
        self._metadata = metadata.pairs or None
        self._channel = _channel(address, self.limit)
        self._earlier: list[Any] = []

    def receive_more(self) -> bool:
        """Calls from now on receive MOST_BYTES, over another connection; False if they did before."""
        if self.limit == MOST_BYTES:
            return False
        self._earlier.append(self._channel)  # which may have streams that are still open
        self.limit = MOST_BYTES
        self._channel = _channel(self._address, self.limit)
        return True

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
        return Call(started, timeout, call, many, self.limit)

    def call(self, path: str, request: bytes, timeout: float, *, stream: bool = False, many: bool = False) -> Reply:
        """Like `start`, and waits for the end."""
        return self.start(path, request, timeout, stream=stream, many=many).reply()

    def close(self) -> None:
        """Closes the connection. Ctrl-C may have left a lock of gRPC's taken: that is not waited for for ever."""
        for channel in (*self._earlier, self._channel):
            closing = threading.Thread(target=channel.close, daemon=True)
            closing.start()
            closing.join(_CLOSING_SECONDS)


def _channel(address: Address, limit: int) -> Any:
    """A connection that receives messages of at most `limit` bytes."""
    options: list[tuple[str, Any]] = [*_OPTIONS, ("grpc.max_receive_message_length", limit)]
    if address.tls is None:
        return grpc.insecure_channel(str(address), options)
    if address.tls.name:
        options.append(("grpc.ssl_target_name_override", address.tls.name))
    return grpc.secure_channel(str(address), grpc.ssl_channel_credentials(address.tls.roots()), options)


def clipped(text: str, most: int = 300) -> str:
    """The text on one line, cut where it is long."""
    line = " ".join(text.split())
    return line if len(line) <= most else f"{line[:most]}..."
