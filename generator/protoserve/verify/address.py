"""The address of a server, as a user writes it."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

from protoserve.platform.errors import ProtoserveError

_FORM = re.compile(
    r"(?:(?P<scheme>https?|grpcs?)://)?(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]*):(?P<port>\d{1,5})/?", re.ASCII
)


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
                self.context()
            return None if file is None else Path(file).read_bytes()
        except ssl.SSLError:
            raise UsageError(f"{file}: the file has no certificate in PEM format") from None
        except OSError as error:
            raise UsageError(f"{file}: cannot be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Address:
    """A host (without brackets) and a port from 1 to 65535; plain text if `tls` is None."""

    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, tls: Tls | None = None) -> Address | None:
    """The address in `HOST:PORT`, `:PORT` or a URL with a port, None for any other text.

    `https://` and `grpcs://` mean TLS. Raises UsageError for an invalid port.
    """
    match = _FORM.fullmatch(text)
    if match is None:
        return None
    port = int(match["port"])
    if not 1 <= port <= 65535:
        raise UsageError(f"{text}: the port must be an integer from 1 to 65535")
    if match["scheme"] in ("https", "grpcs") and tls is None:
        tls = Tls()
    return Address(match["host"].strip("[]") or "127.0.0.1", port, tls)
