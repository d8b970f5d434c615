"""Requests whose few bytes would become much work and memory: counted, bounded, and no burden for anyone else."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving import PATIENCE, SERVICE, Probe, Server, error_of, serving

pytestmark = pytest.mark.each_transport

TEXT = b"\x0a\x01x"  # the one field that a request must have
MASK = b"\x3a"


def varint(value: int) -> bytes:
    return bytes([value]) if value < 0x80 else bytes([value & 0x7F | 0x80]) + varint(value >> 7)


def field(tag: bytes, content: bytes) -> bytes:
    return tag + varint(len(content)) + content


def attacks(size: int) -> dict[str, bytes]:
    """Requests of about so many bytes."""
    array_shape = field(b"\x0a", varint(size))
    return {
        "empty messages": b"\x12\x00" * (size // 2),
        "entries of a map": b"".join(field(b"\x22", field(b"\x0a", b"%x" % number)) for number in range(size // 9)),
        "empty texts": b"\x2a\x00" * (size // 2),
        "numbers in a run": field(b"\x1a", b"\x01" * size),
        "numbers in many runs": b"\x1a\x01\x01" * (size // 3),
        "numbers without a run": b"\x18\x01" * (size // 2),
        "one message, merged again and again": b"\x32\x00" * (size // 2),
        "unknown fields": b"\xf8\x07\x01" * (size // 3),
        "unknown groups": b"\xfb\x07\xfc\x07" * (size // 4),
        "an array without runs": field(MASK, array_shape + b"\x10\x01" * (size // 2)),
        "an array, which is valid": field(MASK, array_shape + field(b"\x12", b"\x01" * size)),
    }


class Watched:
    """What a server's health took, in seconds, and what the process used, while something went on."""

    def __init__(self, server: Server) -> None:
        self._server, self._folder = server, Path(f"/proc/{server.process.pid}")
        self.slowest, self._done = 0.0, threading.Event()

    def cpu_seconds(self) -> float:
        fields = (self._folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def megabytes(self, name: str) -> float:
        """`VmRSS`, or `VmHWM` for its highest value since `forget_peak`."""
        lines = (self._folder / "status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{name}:"))

    def forget_peak(self) -> None:
        (self._folder / "clear_refs").write_text("5", encoding="ascii")

    @contextmanager
    def health(self) -> Iterator[None]:
        """Asks for health all the time."""
        thread = threading.Thread(target=self._ask)
        thread.start()
        try:
            yield
        finally:
            self._done.set()
            thread.join()

    def _ask(self) -> None:
        while not self._done.is_set():
            started = time.monotonic()
            self._server.health()
            self.slowest = max(self.slowest, time.monotonic() - started)
            time.sleep(0.005)


def outcome(server: Server, request: bytes) -> str:
    """The status of a call, and its text."""
    try:
        server.channel.unary_unary(f"/{SERVICE}/Echo")(request, timeout=PATIENCE)
    except grpc.RpcError as error:
        return f"{error.code().name} {error.details()}"
    return "OK"


def attack(server: Server, size: int, *, at_once: int = 1) -> dict[str, str]:
    """Sends all attacks, one after the other, so many of each at a time; the outcomes. Asserts what they may cost."""
    watched, outcomes = Watched(server), {}
    server.health()
    requests = {name: TEXT + request for name, request in attacks(size).items()}
    cpu, before = watched.cpu_seconds(), watched.megabytes("VmRSS")
    watched.forget_peak()
    with watched.health():
        for name, request in requests.items():
            threads = [threading.Thread(target=outcome, args=(server, request)) for _ in range(at_once - 1)]
            for thread in threads:
                thread.start()
            outcomes[name] = outcome(server, request)
            for thread in threads:
                thread.join()
    megabytes = at_once * sum(map(len, requests.values())) / 1e6
    assert watched.slowest < 0.5  # under 0.1 on a machine that does nothing else
    assert watched.cpu_seconds() - cpu < 1 + 0.5 * megabytes
    most = 16 * at_once * size / 1e6  # a number of the array is a byte on the wire, and is parsed, copied and held
    assert watched.megabytes("VmHWM") - before < 60 + most
    return outcomes


def test_the_work_for_a_request_is_bounded(probe: Probe) -> None:
    with serving(probe, MAX_REQUEST_ELEMENTS="20000") as server:
        outcomes = attack(server, 500_000)
        assert outcomes.pop("an array, which is valid") == "OK"
        assert set(outcomes.values()) == {
            "RESOURCE_EXHAUSTED the request has more than 20000 elements (MAX_REQUEST_ELEMENTS)"
        }
        assert outcome(server, TEXT + b"\x12\x00" * 10_000 + b"\x18\x01" * 5_000) == "OK"
        assert server.predict(5).result == 10
        assert server.messages("ERROR") == ""


def test_a_bad_message_in_a_list_is_one_of_a_hundred_violations(server: Server) -> None:
    """The rest of the list is not read."""
    request = server.request(1, "plain").SerializeToString() + b"\x1a\x00" * 1000
    error = error_of(lambda: server.channel.unary_unary(f"/{SERVICE}/Predict")(request, timeout=PATIENCE))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "points[99].x: is required" not in error.details()
    assert error.details().startswith("points[0].x: is required; points[1].x: is required")
    far_too_long = server.request(1, "plain").SerializeToString() + b"\x1a\x00" * 5000
    error = error_of(lambda: server.channel.unary_unary(f"/{SERVICE}/Predict")(far_too_long, timeout=PATIENCE))
    assert error.details() == "points: must have at most 1000 items; got more than 2000"


def test_requests_in_flight_are_bounded_by_their_memory(probe: Probe) -> None:
    """A request that is being computed leaves no room for another large one, but for small ones."""
    with serving(probe, MAX_IN_FLIGHT_BYTES="300000") as server:
        waiting = server.predict_soon(7, "wait")
        server.until_computing(7)
        request = server.probe.messages["EchoRequest"](text="x" * 200_000)
        refused, held = in_order_of_ends([server.method("Echo").future(request) for _ in range(2)])
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert refused.details().startswith("the requests that are in flight already take 2")
        server.release()
        assert waiting.result(PATIENCE).result == 14
        assert len(held.result(PATIENCE).text) == 200_000
        for _ in range(3):
            assert len(server.method("Echo")(server.probe.messages["EchoRequest"](text="x" * 250_000)).text) == 250_000


def in_order_of_ends(calls: Sequence[Any]) -> list[Any]:
    """Those that have ended, once there is one, before the others; either of two may arrive first."""
    is_any_done = threading.Event()
    for call in calls:
        call.add_done_callback(lambda _: is_any_done.set())
    assert is_any_done.wait(PATIENCE)
    return sorted(calls, key=lambda call: not call.done())


def test_a_cancelled_caller_stops_the_count(probe: Probe) -> None:
    """Five seconds of counting, which nobody waits for, hold up nobody who asks for something after that."""
    with serving(probe, MAX_REQUEST_ELEMENTS=str(2**31 - 1), MAX_REQUEST_BYTES="30000000") as server:
        watched = Watched(server)
        request = TEXT + b"\xfb\x07\xfc\x07" * 5_000_000
        options = {"timeout": 0.5}
        for _ in range(3):
            error = error_of(lambda: server.channel.unary_unary(f"/{SERVICE}/Echo")(request, **options))
            assert error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        cpu = watched.cpu_seconds()
        assert outcome(server, TEXT + b"\x12\x00" * 2_000) == "OK"
        assert watched.cpu_seconds() - cpu < 2


@pytest.mark.slow
def test_large_requests_at_once(probe: Probe) -> None:
    """Of 10 MB, which the contract allows, two at a time, with the default bounds."""
    with serving(probe, MAX_REQUEST_BYTES="30000000") as server:
        outcomes = attack(server, 10_000_000, at_once=2)
        assert outcomes.pop("an array, which is valid") == "OK"
        assert {each.partition(" ")[0] for each in outcomes.values()} == {"RESOURCE_EXHAUSTED"}
        assert server.predict(5).result == 10
        assert server.messages("ERROR") == ""
