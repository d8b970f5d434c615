"""Health under load and under a held interpreter lock, and replies that are lost at a SIGTERM."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time

import h2load
from peer_catalog import ROW, Protocol
from peer_check import KnownRows
from rows_model import HELD_SECONDS, HOLD_GIL_AT
from running import Server

IN_FLIGHT = 64
ASK_SECONDS = 0.02
LOAD_SECONDS = 4.0
# The generated server takes new calls for a second; less of it is looked at, since clients are not exact.
STOP_AFTER_SECONDS, LOOK_SECONDS = 1.5, 0.8
MANY_REQUESTS = 10_000_000


class HealthWatch(threading.Thread):
    """Asks for health 50 times a second while the block runs, on a connection of its own."""

    def __init__(self, protocol: Protocol, port: int) -> None:
        super().__init__(daemon=True)
        self.seconds: list[float] = []
        self.failures = 0
        self._client = protocol.connect(port)
        self._client.check_health()
        self._end = threading.Event()

    def run(self) -> None:
        """Runs in the thread."""
        while not self._end.is_set():
            start = time.perf_counter()
            try:
                self._client.check_health()
            except Exception:  # of any client
                self.failures += 1
            self.seconds.append(time.perf_counter() - start)
            time.sleep(ASK_SECONDS)

    def __enter__(self) -> HealthWatch:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()
        self._client.close()

    def result(self) -> dict[str, float]:
        """The slowest answer and the median, in milliseconds, and how many were not healthy or did not come."""
        ordered = sorted(self.seconds)
        return {
            "slowest_ms": ordered[-1] * 1000,
            "median_ms": ordered[len(ordered) // 2] * 1000,
            "failures": self.failures,
            "asked": len(ordered),
        }


def health_under_load(server: Server, protocol: Protocol) -> dict[str, float]:
    """While h2load keeps calls in flight; it runs at a lower priority, so that it does not delay who measures."""
    port = server.ports[protocol.name]
    with h2load.start(protocol, port, ROW, MANY_REQUESTS, IN_FLIGHT, niceness=10) as load:
        try:
            with HealthWatch(protocol, port) as watch:
                time.sleep(LOAD_SECONDS)
                if load.poll() is not None:
                    raise RuntimeError("the load has ended")
        finally:
            load.kill()
    return watch.result()


def health_under_a_held_lock(server: Server, protocol: Protocol) -> dict[str, float]:
    """While the model computes a row and lets no other Python code of its process run."""
    port = server.ports[protocol.name]
    caller = protocol.connect(port)
    with HealthWatch(protocol, port) as watch:
        time.sleep(0.2)
        start = time.perf_counter()
        caller.probabilities((HOLD_GIL_AT, *ROW[1:]))
        if time.perf_counter() - start < HELD_SECONDS:
            raise RuntimeError("the model did not hold the lock")
    caller.close()
    return watch.result()


def lost_at_sigterm(server: Server, protocol: Protocol, known: KnownRows) -> dict[str, int]:
    """How many calls began before a SIGTERM, and how many of them got no right reply.

    New calls go on for LOOK_SECONDS, as they do while a platform takes the server out of its list; `refused` counts
    those of them that failed.
    """
    port, numbers = server.ports[protocol.name], itertools.count()
    failed_at: list[float] = []
    answered: list[float] = []
    running: set[int] = set()
    ended = threading.Event()

    def call_in_turn() -> None:
        client = protocol.connect(port)
        while not ended.is_set():
            began = time.perf_counter()
            running.add(threading.get_ident())
            try:
                known.check_one(client, next(numbers))
                answered.append(began)
            except Exception:  # of any client
                failed_at.append(began)
                client.close()
                client = protocol.connect(port)
                time.sleep(0.05)
            running.discard(threading.get_ident())
        client.close()

    threads = [threading.Thread(target=call_in_turn, daemon=True) for _ in range(IN_FLIGHT)]
    for thread in threads:
        thread.start()
    time.sleep(STOP_AFTER_SECONDS)
    signalled = time.perf_counter()
    in_flight = len(running)
    os.kill(server.pid, signal.SIGTERM)
    time.sleep(LOOK_SECONDS)
    ended.set()
    for thread in threads:
        thread.join()
    return {
        "answered_before": sum(began < signalled for began in answered),
        "in_flight": in_flight,
        "lost": sum(began < signalled for began in failed_at),
        "answered_after": sum(began >= signalled for began in answered),
        "refused": sum(began >= signalled for began in failed_at),
    }
