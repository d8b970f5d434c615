"""The address of a server, as a user writes it."""

from __future__ import annotations

import re
import socket
import ssl
from dataclasses import dataclass, replace
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.reading import UnreadableFileError, read_bytes

_FORM = re.compile(
    r"(?:(?P<scheme>https?|grpcs?)://)?(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]*):(?P<port>\d{1,5})/?", re.ASCII
)

_UNIX = re.compile(r"(?P<scheme>unix|unix-abstract):(?P<path>[^\0]+)")
_NAMED = re.compile(
    r"(?:dns:(?:///|//[^/]+/)?|ipv4:|ipv6:)"
    r"(?P<address>(?:\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]+)(?P<port>:\d{1,5})?)",
    re.ASCII,
)
_DEFAULT_PORT = 443  # gRPC's, for a DNS name without one


class UsageError(ProtoserveError):
    """The run could not begin: an invalid argument, or a file that cannot be read. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How to use TLS: `ca` is a PEM file of authorities (None: the system's), `name` the name in the certificate."""

    ca: Path | None = None
    name: str | None = None

    def context(self) -> ssl.SSLContext:
        """For a TLS handshake without gRPC's library, with gRPC's protocol name `h2`."""
        context = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        context.set_alpn_protocols(["h2"])
        return context

    def roots(self) -> bytes | None:
        """The authorities that `context` trusts, as PEM; None for gRPC's own.

        Raises UsageError for a file that cannot be read, or is not PEM.
        """
        file = self.ca or ssl.get_default_verify_paths().cafile
        try:
            if self.ca is not None:
                read_bytes(Path(self.ca))  # before `context` opens it, which would wait for a named pipe
                self.context()
            return None if file is None else read_bytes(Path(file))
        except ssl.SSLError:
            raise UsageError(f"{file}: the file has no certificate in PEM format") from None
        except UnreadableFileError as error:
            raise UsageError(str(error)) from None
        except OSError as error:
            raise UsageError(f"{file}: cannot be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Address:
    """A host (without brackets) and a port from 1 to 65535; plain text if `tls` is None.

    `target` is what gRPC's client gets where that is another form, such as `dns:///HOST:PORT`. `socket_path` is
    that of a Unix socket, for an abstract one a zero byte and its name; `host` and `port` mean nothing then.
    """

    host: str
    port: int
    tls: Tls | None = None
    target: str = ""
    socket_path: str = ""

    def connect(self, timeout: float) -> socket.socket:
        """A connection, without TLS. Raises OSError."""
        if not self.socket_path:
            return socket.create_connection((self.host, self.port), timeout)
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.settimeout(timeout)
            connection.connect(self.socket_path)
        except BaseException:
            connection.close()
            raise
        return connection

    def __str__(self) -> str:
        if self.target:
            return self.target
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, tls: Tls | None = None) -> Address | None:
    """The address in `HOST:PORT`, `:PORT`, a URL with a port, or gRPC's own form of a target; None for any other text.

    `https://` and `grpcs://` mean TLS. Raises UsageError for an invalid port. gRPC's forms are `unix:PATH`,
    `unix-abstract:NAME`, `dns:[//AUTHORITY/]HOST[:PORT]`, `ipv4:HOST:PORT` and `ipv6:[HOST]:PORT`:
    https://github.com/grpc/grpc/blob/master/doc/naming.md
    """
    if (match := _UNIX.fullmatch(text)) is not None:
        path = re.sub("^//(?=/)", "", match["path"])
        name = f"\0{path}" if match["scheme"] == "unix-abstract" else path
        return Address("localhost", 0, tls, text, name)
    if (match := _NAMED.fullmatch(text)) is not None:
        inner = parse(match["address"] if match["port"] else f"{match['address']}:{_DEFAULT_PORT}", tls)
        return None if inner is None else replace(inner, target=text)
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise UsageError(f"{text}: the port must be an integer from 1 to 65535")
    if match["scheme"] in ("https", "grpcs") and tls is None:
        tls = Tls()
    return Address(match["host"].strip("[]") or "127.0.0.1", port, tls)
