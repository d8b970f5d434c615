"""How much has arrived of requests that are not complete: pygrpc-native keeps it all, however much it is.

What the system has received on a connection (TCP), less the requests that were delivered, is what waits in memory. When
that is more than the requests in flight may take, the connections that have sent most of it are closed. Two things get
past this: a compressed request, which is inflated before it is delivered, and what arrives while a model holds the
interpreter's lock. Outside of Linux nothing is watched.
"""

import os
import sys
import threading
import time
from dataclasses import dataclass

from ...logs import logger
from ..sockets import Peer, peer_of, received_bytes, shut_down

LOOK_SECONDS = 1.0  # between two looks at all connections, while the process takes no more memory
QUICK_LOOK_SECONDS = 0.02  # between two looks at the memory of the process
MORE_MEMORY_BYTES = 2**24  # since the last look, after which the connections are looked at
CALL_BYTES = 2**10  # of what was received for a call, beside its request; generously
MEMORY_FILE = "/proc/self/statm"


@dataclass(slots=True)
class Arrivals:
    """What has arrived on a connection: `received` until the last look, `delivered` since then, and what waits."""

    peer: Peer
    received: int = 0
    delivered: int = 0
    waiting: int = 0

    def look(self, received: int) -> None:
        delivered, self.delivered = self.delivered, 0
        self.waiting = max(0, self.waiting + received - self.received - delivered)
        self.received = received


class ReceivedBytes:
    """Watches the connections to `port` in a thread of its own. `max_bytes` may wait for the rest of their requests."""

    def __init__(self, port: int, max_bytes: int) -> None:
        self._port, self._max_bytes = port, max_bytes
        self._by_name: dict[str, Arrivals] = {}
        self._by_peer: dict[Peer, Arrivals] = {}

    def start(self) -> None:
        if sys.platform == "linux":
            threading.Thread(target=self._watch, name="received-bytes", daemon=True).start()

    def arrived(self, connection: str, size: int) -> None:
        """A request of a connection was delivered. Called by one thread."""
        arrivals = self._by_name.get(connection)
        if arrivals is None:
            peer = peer_of(connection)
            arrivals = self._by_name[connection] = self._by_peer.setdefault(peer, Arrivals(peer))
        arrivals.delivered += size + CALL_BYTES

    def _watch(self) -> None:
        memory, next_look = memory_bytes(), 0.0
        while True:
            time.sleep(QUICK_LOOK_SECONDS)
            now, memory_now = time.monotonic(), memory_bytes()
            memory = min(memory, memory_now)
            if now >= next_look or memory_now > memory + MORE_MEMORY_BYTES:
                memory, next_look = memory_now, now + LOOK_SECONDS
                self._look(received_bytes(self._port))

    def _look(self, received: dict[Peer, int]) -> None:
        """Takes note of what each connection has received, and closes those that sent too much."""
        for peer, size in received.items():
            self._by_peer.setdefault(peer, Arrivals(peer)).look(size)
        for peer in self._by_peer.keys() - received.keys():
            del self._by_peer[peer]
        for name, arrivals in list(self._by_name.items()):
            if arrivals.peer not in received:
                self._by_name.pop(name)
        waiting = sum(arrivals.waiting for arrivals in self._by_peer.values())
        closing = []
        for arrivals in sorted(self._by_peer.values(), key=lambda each: each.waiting, reverse=True):
            if waiting <= self._max_bytes:
                break
            closing.append(arrivals)
            waiting -= arrivals.waiting
        for arrivals in closing:
            text = "closed the connection of %s, port %d: it sent %d bytes of requests without their end (%s)"
            logger.warning(text, *arrivals.peer, arrivals.waiting, "MAX_IN_FLIGHT_BYTES")
        if closing:
            shut_down({arrivals.peer for arrivals in closing})


def memory_bytes() -> int:
    """What the process has in memory now."""
    with open(MEMORY_FILE, "rb") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
