"""Why a port cannot be bound, in the words of the system: gRPC keeps them to itself."""

import errno
import os
import socket

REMEDIES = {
    errno.EACCES: "ports below 1024 need the capability NET_BIND_SERVICE; set PORT to a port from 1024 on",
    errno.EADDRINUSE: "another process listens there; stop it, or set PORT to another port",
    errno.EADDRNOTAVAIL: "set HOST to an address of this machine, or to [::] for all of them",
}
ALL_ADDRESSES = "::"


class BindError(Exception):
    """Nothing can be bound. The text says why, and what to do about it."""


def check_address(host: str, port: int) -> None:
    """Raises BindError if no address of `host` can be bound; a transport needs no more than one."""
    name = host.strip("[]")
    reasons = []
    try:
        addresses = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
        if name == ALL_ADDRESSES:  # also where the system has no IPv6
            addresses += socket.getaddrinfo("0.0.0.0", port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BindError(f"{reason}; {REMEDIES[errno.EADDRNOTAVAIL]}") from error
    for family, _, _, _, address in addresses:
        try:
            _bind(family, address, both_versions=name == ALL_ADDRESSES)
        except OSError as error:
            reasons.append("; ".join(filter(None, (error.strerror or str(error), REMEDIES.get(error.errno or 0)))))
        else:
            return
    raise BindError(" / ".join(dict.fromkeys(reasons)))


def _bind(family: int, address: object, *, both_versions: bool) -> None:
    """Binds as gRPC does, and lets go. `both_versions` of IP are for a socket of IPv6."""
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        if os.name != "nt":  # where it would let two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, not both_versions)
        bound.bind(address)  # type: ignore[arg-type]  # each family has a form of its own
