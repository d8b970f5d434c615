"""Connects to an address and finds out what kind of server answers there, before gRPC's client is used."""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from dataclasses import dataclass, replace
from enum import StrEnum

from protoserve.verify.address import Address
from protoserve.verify.grpc_client import clipped

# RFC 9113, section 3.4: the client's preface, then its SETTINGS (empty); a server's first frame is its SETTINGS.
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
_FRAME_BYTES = 9
_SETTINGS = 4
NOTHING_LISTENS = "the connection is refused: nothing listens there"
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")  # alert, handshake


class Answerer(StrEnum):
    """What answers at an address."""

    GRPC = "grpc"
    HTTP2 = "http2"
    HTTP1 = "http1"
    TLS = "tls"  # the server speaks TLS, and was asked in plain text
    PLAIN = "plain"  # the reverse
    NO_ALPN = "no-alpn"
    CERTIFICATE = "certificate"
    CLIENT_CERTIFICATE = "client-certificate"
    NOT_GRPC = "not-grpc"
    GATEWAY = "gateway"
    DENIES = "denies"  # it speaks HTTP/2, and refuses the caller with HTTP status 401 or 403
    OTHER = "other"
    SILENT = "silent"
    BLOCKED = "blocked"  # it speaks HTTP/2, and answers no call
    BREAKS = "breaks"  # it speaks HTTP/2, and the connection breaks when it is called
    CLOSED = "closed"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNRESOLVED = "unresolved"


@dataclass(frozen=True, slots=True)
class Detection:
    """The result of one attempt; `seen` describes it, and is empty for a server that speaks HTTP/2 or gRPC."""

    kind: Answerer
    seen: str = ""


def detect(address: Address, timeout: float) -> Detection:
    """Connects to each address that the host resolves to, until one answers, and sends an HTTP/2 preface."""
    if address.socket_path:
        return _connect(address, address.host, timeout)
    try:
        resolved = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        return Detection(Answerer.UNRESOLVED, f"the name {address.host} does not resolve: {error}")
    result = Detection(Answerer.UNREACHABLE)
    for *_, socket_address in resolved:
        result = _connect(replace(address, host=str(socket_address[0])), address.host, timeout)
        if result.kind not in (Answerer.REFUSED, Answerer.UNREACHABLE):
            return result
    return result


def _connect(address: Address, name: str, timeout: float) -> Detection:
    try:
        with address.connect(timeout) as connection:
            if refuse_itself(connection):
                return Detection(Answerer.REFUSED, NOTHING_LISTENS)
            connection.settimeout(timeout)
            if address.tls is None:
                return _send_preface(connection, address, timeout)
            return _handshake(connection, address, address.tls.name or name, timeout)
    except TimeoutError:
        return Detection(Answerer.UNREACHABLE, f"no connection within {timeout:.0f} s")
    except ConnectionRefusedError:
        return Detection(Answerer.REFUSED, NOTHING_LISTENS)
    except FileNotFoundError:
        return Detection(Answerer.REFUSED, "the socket does not exist")
    except OSError as error:
        return Detection(Answerer.UNREACHABLE, f"no connection: {error.strerror or error}")


def refuse_itself(connection: socket.socket) -> bool:
    """Whether the connection is one with itself, which is then reset.

    Where nothing listens on a local port from which clients connect, too, the kernel may choose that very port for a
    client, and TCP connects it to itself (RFC 9293, section 3.5, simultaneous open). Reset, it leaves the port free.
    """
    if connection.family == getattr(socket, "AF_UNIX", None) or connection.getsockname() != connection.getpeername():
        return False
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return True


def _handshake(connection: socket.socket, address: Address, name: str, timeout: float) -> Detection:
    """A TLS handshake that asks for HTTP/2, then the preface."""
    assert address.tls is not None
    try:
        with address.tls.context().wrap_socket(connection, server_hostname=name) as secure:
            if (protocol := secure.selected_alpn_protocol()) != "h2":
                return Detection(Answerer.NO_ALPN, f"TLS works, but ALPN chose {protocol or 'nothing'} instead of h2")
            return _send_preface(secure, address, timeout)
    except ssl.SSLCertVerificationError as error:
        return Detection(Answerer.CERTIFICATE, f"the certificate is not accepted: {error.verify_message}")
    except ssl.SSLError as error:
        return Detection(Answerer.PLAIN, f"the TLS handshake fails: {error.reason or error}")
    except TimeoutError:
        return Detection(Answerer.SILENT, f"connected, but no answer to the TLS handshake within {timeout:.0f} s")
    except OSError as error:
        return Detection(
            Answerer.CLOSED, f"the connection was closed during the TLS handshake: {error.strerror or error}"
        )


def _send_preface(connection: socket.socket, address: Address, timeout: float) -> Detection:
    data, closed = b"", False
    try:
        connection.sendall(_PREFACE)
        while len(data) < _FRAME_BYTES and not closed:
            part = connection.recv(4096)
            data, closed = data + part, not part
    except TimeoutError:
        pass
    except OSError as error:
        if isinstance(error, ssl.SSLError):  # with TLS 1.3 a server refuses a client after the handshake
            return Detection(
                Answerer.CLIENT_CERTIFICATE, f"TLS works, but the server then refuses: {error.reason or error}"
            )
        if not data and address.tls is None and _speaks_tls(address, timeout):
            return Detection(Answerer.TLS, "it closes a plain connection, but answers a TLS handshake")
        return Detection(Answerer.CLOSED, f"connected, but the connection broke: {error.strerror or error}")
    return _classify(data, closed, address, timeout)


def _classify(data: bytes, closed: bool, address: Address, timeout: float) -> Detection:
    """What kind of server sends these bytes in answer to the preface; `closed` is whether it closes the connection."""
    if len(data) >= _FRAME_BYTES and data[3] == _SETTINGS and data[5:9] == b"\0\0\0\0":
        return Detection(Answerer.HTTP2)
    if data.startswith(b"HTTP/1"):
        return Detection(Answerer.HTTP1, f"it answers the HTTP/2 preface with {_first_line(data)!r}")
    if data[:2] in _TLS_RECORDS or (address.tls is None and _speaks_tls(address, timeout)):
        return Detection(Answerer.TLS, "it answers a TLS handshake, but not plain HTTP/2")
    if closed and not data and address.tls is not None:
        return Detection(Answerer.CLIENT_CERTIFICATE, "TLS works, but the server then closes the connection")
    if address.tls is None and (first_line := _http1_answer(address, timeout)) is not None:
        return Detection(Answerer.HTTP1, f"it ignores HTTP/2, and answers HTTP/1 with {first_line!r}")
    if closed and not data:
        return Detection(Answerer.CLOSED, "it accepts the connection, and closes it")
    if data:
        return Detection(Answerer.OTHER, f"its first bytes are {data[:24]!r}, which are not HTTP/2")
    return Detection(Answerer.SILENT, f"it accepts the connection, but sends nothing within {timeout:.0f} s")


def _speaks_tls(address: Address, timeout: float) -> bool:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with contextlib.suppress(OSError), address.connect(timeout) as connection:
        connection.settimeout(min(timeout, 1.0))
        with context.wrap_socket(connection):
            return True
    return False


def _http1_answer(address: Address, timeout: float) -> str | None:
    """The first line with which the server answers HTTP/1, None if it does not."""
    with contextlib.suppress(OSError), address.connect(timeout) as connection:
        connection.settimeout(min(timeout, 1.0))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: verify\r\nConnection: close\r\n\r\n")
        if (data := connection.recv(64)).startswith(b"HTTP/1"):
            return _first_line(data)
    return None


def _first_line(data: bytes) -> str:
    return clipped(data.split(b"\r\n", 1)[0].decode("ascii", "replace"))
