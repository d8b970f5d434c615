"""The sockets of gRPC's connections, which gRPC keeps to itself: they are among the process's open files."""

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from urllib.parse import unquote

OPEN_FILES = "/dev/fd"  # not on Windows, where the sockets cannot be reached
ACKNOWLEDGED, RECEIVED = 120, 128  # where `tcpi_bytes_acked` and `tcpi_bytes_received` are, 8 bytes each, in
# `struct tcp_info` of linux/tcp.h

Peer = tuple[str, int]
"""Address and port of the other side."""


def peer_of(name: str) -> Peer:
    """The peer that gRPC calls `ipv4:127.0.0.1:50000`, or `ipv6:%5B::1%5D:50000`; pygrpc-native `ipv6:[::1]:50000`."""
    plain = unquote(name) if "%5B" in name else name  # or the zone of `[fe80::1%10]` would pass for an escape
    host, _, port = plain.partition(":")[2].rpartition(":")
    return _address(host.strip("[]")), int(port)


def shut_down(peers: Collection[Peer]) -> None:
    """Ends the connections to `peers`: gRPC sees that the other side has gone, and gives back what it kept for it."""
    for peer, connection in _connections():
        if peer in peers:
            with suppress(OSError):  # it has ended by itself
                connection.shutdown(socket.SHUT_RDWR)


def acknowledged_bytes(peers: Collection[Peer]) -> dict[Peer, int]:
    """How many bytes the systems of `peers` have confirmed so far, where that is known: not outside of Linux."""
    acknowledged = {}
    if sys.platform == "linux":
        for peer, connection in _connections():
            if peer in peers:
                with suppress(OSError, struct.error):  # an old system says less
                    acknowledged[peer] = _tcp_info(connection, ACKNOWLEDGED)
    return acknowledged


def received_bytes(port: int) -> dict[Peer, int]:
    """How many bytes have come from each peer connected to `port`, where that is known: not outside of Linux."""
    received = {}
    if sys.platform == "linux":
        for peer, connection in _connections():
            with suppress(OSError, struct.error):
                if connection.getsockname()[1] == port:
                    received[peer] = _tcp_info(connection, RECEIVED)
    return received


def _tcp_info(connection: socket.socket, place: int) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, place + 8)
    (number,) = struct.unpack_from("Q", info, place)
    return int(number)


def _connections() -> Iterator[tuple[Peer, socket.socket]]:
    for number in _open_files():
        with suppress(OSError), _copied(number) as connection:
            if connection.family in (socket.AF_INET, socket.AF_INET6):
                host, port = connection.getpeername()[:2]
                yield (_address(host), port), connection


def _open_files() -> list[int]:
    try:
        return [int(name) for name in os.listdir(OPEN_FILES)]
    except OSError:
        return []


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
    """An address in the one form that can be compared: a socket for IPv6 knows IPv4 as `::ffff:127.0.0.1`.

    Without its zone, which some give by name and some by number.
    """
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address)
