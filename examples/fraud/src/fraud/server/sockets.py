"""The sockets of gRPC's connections, which gRPC keeps to itself: they are among the process's open files."""

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import unquote

OPEN_FILES = "/dev/fd"  # not on Windows, where the sockets cannot be reached
ACKNOWLEDGED = 120  # where `tcpi_bytes_acked` is in `struct tcp_info` of linux/tcp.h, 8 bytes

Peer = tuple[str, int]
"""Address and port of the other side."""


def peer_of(name: str) -> Peer:
    """The peer that gRPC calls `ipv4:127.0.0.1:50000`, or `ipv6:%5B::1%5D:50000`."""
    host, _, port = unquote(name).partition(":")[2].rpartition(":")
    return _address(host.strip("[]")), int(port)


def shut_down(peer: Peer) -> None:
    """Ends the connection to `peer`: gRPC sees that the other side has gone, and gives back what it kept for it."""
    for connection in _connections(peer):
        connection.shutdown(socket.SHUT_RDWR)


def acknowledged_bytes(peer: Peer) -> int | None:
    """How many bytes the system of `peer` has confirmed so far; None where that is not known, as outside of Linux."""
    if sys.platform == "linux":
        for connection in _connections(peer):
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, ACKNOWLEDGED + 8)
            if len(info) == ACKNOWLEDGED + 8:
                (acknowledged,) = struct.unpack_from("Q", info, ACKNOWLEDGED)
                return int(acknowledged)
    return None


def _connections(peer: Peer) -> Iterator[socket.socket]:
    for number in os.listdir(OPEN_FILES) if os.path.isdir(OPEN_FILES) else ():
        with suppress(OSError), _copied(int(number)) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                host, port = connection.getpeername()[:2]
                if (_address(host), port) == peer:
                    yield connection


@contextmanager
def _copied(number: int) -> Iterator[socket.socket]:
    """The socket with that file number, which gRPC may close meanwhile. Raises OSError for other files."""
    copy = os.dup(number)
    try:
        connection = socket.socket(fileno=copy)
    except OSError:
        os.close(copy)
        raise
    with connection:
        yield connection


def _address(host: str) -> str:
    """An address in the one form that can be compared: a socket for IPv6 knows IPv4 as `::ffff:127.0.0.1`."""
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
