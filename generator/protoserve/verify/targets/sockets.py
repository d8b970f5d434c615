"""The sockets on which processes listen, from Linux's /proc."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from protoserve.verify.targets import processes

Listening = tuple[Any, int]  # an address of `ipaddress`, and the port
_LISTEN = "0A"  # a socket's state in /proc/net/tcp
_INODE_COLUMN = 9
_PROC = Path("/proc")


def in_table(table: str, inodes: set[str] | None = None) -> Iterator[Listening]:
    """The listening sockets in the text of `/proc/net/tcp` or `tcp6`, those with these inodes if they are given.

    Addresses are words of 32 bits in the machine's order, in hexadecimal; then the port.
    """
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 4 or words[3] != _LISTEN:
            continue
        if inodes is not None and inodes.isdisjoint(words[_INODE_COLUMN : _INODE_COLUMN + 1]):
            continue
        host, _, port = words[1].partition(":")
        raw = b"".join(struct.pack("=I", int(host[i : i + 8], 16)) for i in range(0, len(host), 8))
        family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
        address = ipaddress.ip_address(socket.inet_ntop(family, raw))
        yield getattr(address, "ipv4_mapped", None) or address, int(port, 16)


def of_family(first: int) -> list[Listening]:
    """The sockets on which a process, its descendants and its group listen; empty where the system does not say."""
    inodes = {inode for pid in processes.family(first) for inode in _socket_inodes(pid)}
    listening: list[Listening] = []
    for name in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            listening += in_table((_PROC / "net" / name).read_text(encoding="ascii"), inodes)
    return listening


def shown(host: Any, port: int) -> str:
    """The socket's address as users write it."""
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"


def _socket_inodes(pid: int) -> Iterator[str]:
    with contextlib.suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                if match := re.fullmatch(r"socket:\[(\d+)\]", os.readlink(entry)):
                    yield match[1]
