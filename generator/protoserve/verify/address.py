"""Where a server listens, as someone types it."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass
from pathlib import Path

_FORM = re.compile(
    r"(?:(?P<scheme>https?|grpcs?)://)?(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]*):(?P<port>\d{1,5})/?", re.ASCII
)


class UsageError(Exception):
    """The run could not begin: a bad argument, or a file that cannot be read. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Tls:
    """How to speak TLS: `ca` is a PEM file of authorities (None: the system's), `name` what the certificate is for."""

    ca: Path | None = None
    name: str | None = None

    def context(self) -> ssl.SSLContext:
        """For a handshake by hand, with gRPC's protocol name `h2`."""
        made = ssl.create_default_context(cafile=None if self.ca is None else str(self.ca))
        made.set_alpn_protocols(["h2"])
        return made

    def roots(self) -> bytes | None:
        """The authorities as PEM: the same that `context` trusts, None where gRPC's own must do.

        Raises UsageError for a file that cannot be read, or is no PEM.
        """
        file = self.ca or ssl.get_default_verify_paths().cafile
        try:
            if self.ca is not None:
                self.context()
            return None if file is None else Path(file).read_bytes()
        except ssl.SSLError:
            raise UsageError(f"{file}: there is no certificate in PEM form in it") from None
        except OSError as error:
            raise UsageError(f"{file}: cannot be read: {error.strerror}") from None


@dataclass(frozen=True, slots=True)
class Address:
    """A host (no brackets) and a port from 1 to 65535; plain where `tls` is None."""

    host: str
    port: int
    tls: Tls | None = None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse(text: str, tls: Tls | None = None) -> Address | None:
    """The address that `HOST:PORT`, `:PORT` or a URL with a port names, None for a text of another form.

    `https://` and `grpcs://` mean TLS. Raises UsageError for a port that is none.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        return None
    port = int(found["port"])
    if not 1 <= port <= 65535:
        raise UsageError(f"{text}: a port is from 1 to 65535")
    if found["scheme"] in ("https", "grpcs") and tls is None:
        tls = Tls()
    return Address(found["host"].strip("[]") or "127.0.0.1", port, tls)
