"""Calls that no gRPC client makes, against a server that others use at the same time."""

from __future__ import annotations

import pytest

import raw_http2
from serving import SERVICE, SERVING, Server

NOT_FOUND = b"Method not found!"


@pytest.mark.parametrize(
    "path", [b"/\xff/x", f"/{SERVICE}/Predict\xff".encode("latin-1"), b"/" + b"\xff" * 100, b"", b"/a\nb/\x1b[2J"]
)
def test_a_method_whose_name_is_anything(server: Server, path: bytes) -> None:
    """It is unknown, also where its name is not UTF-8; the server goes on."""
    assert NOT_FOUND in raw_http2.call(server.port, path, b"")
    assert server.health() == SERVING
    assert server.predict(2).result == 4
