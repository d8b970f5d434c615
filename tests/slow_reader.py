"""A client of HTTP/2 that reads only what it is asked to, as gRPC's own never does.

https://httpwg.org/specs/rfc9113.html
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import NamedTuple, Self

import hpack

from raw_http2 import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, SETTINGS, call_headers, frame, header_lines

PING, WINDOW_UPDATE = 6, 8
INITIAL_WINDOW_SIZE = 4  # a setting


class Frame(NamedTuple):
    kind: int
    flags: int
    stream: int
    payload: bytes
    """Of HEADERS as lines, `name: value`."""


class SlowReader:
    """A connection that lets the server send `window` bytes on each stream, and no more until it says so."""

    def __init__(self, port: int, window: int = 0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._received, self._last_stream, self._decoder = b"", -1, hpack.Decoder()
        self._socket.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        self._send(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, window))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def call(self, path: str, request: bytes) -> int:
        """Starts a call of gRPC; the number of its stream."""
        self._last_stream += 2
        self._send(HEADERS, END_HEADERS, self._last_stream, call_headers(path.encode()))
        self._send(DATA, END_STREAM, self._last_stream, b"\0" + struct.pack(">I", len(request)) + request)
        return self._last_stream

    def allow(self, stream: int, size: int) -> None:
        """Lets the server send so many bytes more, on that stream and on the connection."""
        for number in (0, stream):
            self._send(WINDOW_UPDATE, 0, number, struct.pack(">I", size))

    def frames(self, seconds: float) -> Iterator[Frame]:
        """What arrives within that time, or until the server closes; pings and settings are answered."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self._socket.settimeout(left)
            try:
                data = self._socket.recv(2**16)
            except TimeoutError:
                return
            except ConnectionError:
                data = b""
            if not data:
                return
            self._received += data
            yield from self._complete()

    def is_closed(self, seconds: float) -> bool:
        """Whether the server closes the connection within that time."""
        for _ in self.frames(seconds):
            pass
        try:
            return self._socket.recv(1) == b""
        except TimeoutError:
            return False
        except ConnectionError:
            return True

    def _complete(self) -> Iterator[Frame]:
        while len(self._received) >= 9:
            size = int.from_bytes(self._received[:3], "big")
            if len(self._received) < 9 + size:
                return
            kind, flags, stream = struct.unpack(">BBI", self._received[3:9])
            payload = self._received[9 : 9 + size]
            received = Frame(kind, flags, stream, header_lines(self._decoder, payload) if kind == HEADERS else payload)
            self._received = self._received[9 + size :]
            if kind in (SETTINGS, PING) and not flags & ACK:
                with suppress(ConnectionError):  # the server has closed the connection behind it
                    self._send(kind, ACK, 0, received.payload if kind == PING else b"")
            yield received

    def _send(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        self._socket.sendall(frame(kind, flags, stream, payload))
