"""TRANSPORT=native: what only it has, the process for health and the watch of bytes that have arrived."""

from __future__ import annotations

import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from serving import MODEL, PATIENCE, SERVING, Probe, Server, error_of, serving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes by /proc")
HOLDING = '        if "hold" in modes:\n            sum(range(40_000_000))  # one call, which never gives the lock up\n'
MODE = '        if "spin" in modes:\n'
MIB = 2**20


@pytest.fixture(scope="module")
def holding(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """A model that holds the interpreter's lock for a second or two when it is asked to."""
    return probe.with_model(MODEL.replace(MODE, HOLDING + MODE), tmp_path_factory.mktemp("native") / "project")


@pytest.fixture
def sockets() -> Iterator[Path]:
    """The folder for temporary files of a server, with a short path."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture
def native(holding: Probe, sockets: Path) -> Iterator[Server]:
    limits = {"MAX_IN_FLIGHT_BYTES": str(8 * MIB), "MODEL_TIMEOUT_SECONDS": "4"}
    with serving(holding, TRANSPORT="native", TMPDIR=str(sockets), **limits) as server:
        yield server


def test_the_process_for_health(native: Server, sockets: Path) -> None:
    """It answers while the model holds the lock, is started again, judges by itself, and ends with the server."""
    call = native.predict_soon(3, "hold")
    native.until_computing(3)
    answers = []
    while not call.done():
        start = time.perf_counter()
        with socket.create_connection(("127.0.0.1", native.port)) as broken:  # which nobody must wait for the lock for
            broken.sendall(b"no preface of HTTP/2")
        assert native.health() == SERVING
        answers.append(time.perf_counter() - start)
    assert len(answers) > 20  # of one, if it waited
    assert call.result().result == 6

    os.kill(child(native), signal.SIGKILL)
    until(lambda: healthy(native))
    assert "the process for health ended with -9; it is started again" in native.messages("ERROR")
    assert native.predict(2).result == 4

    native.process.send_signal(signal.SIGSTOP)
    beside = child(native)
    assert list(sockets.iterdir())
    until(lambda: "NOT_SERVING: the server shows no sign of life (MODEL_TIMEOUT_SECONDS)" in native.messages("ERROR"))
    native.process.send_signal(signal.SIGCONT)
    until(lambda: native.health() == native.health("liveness") == SERVING)

    native.process.kill()
    until(lambda: not runs(beside) and not list(sockets.iterdir()))


def test_plain_requests_without_an_end_are_bounded(native: Server) -> None:
    """A request that is larger than all that may be in flight is not kept until it is complete."""
    before = peak_memory(native)
    options = [("grpc.max_send_message_length", -1), ("grpc.use_local_subchannel_pool", 1)]
    with grpc.insecure_channel(f"127.0.0.1:{native.port}", options) as channel:
        send: Any = channel.unary_unary("/probe.v1.ProbeService/Predict")
        assert error_of(lambda: send(bytes(400 * MIB), timeout=PATIENCE)).code() is grpc.StatusCode.UNAVAILABLE
    assert peak_memory(native) - before < 200 * MIB
    assert "of requests without their end (MAX_IN_FLIGHT_BYTES)" in native.messages("WARNING")
    assert native.predict(2).result == 4


PEERS = """\
from probe.server.transports.sockets import peer_of

names = ["ipv4:1.2.3.4:5", "ipv6:%5B::1%5D:5", "ipv6:[::1]:5", "ipv6:%5Bfe80::1%2510%5D:5", "ipv6:[fe80::1%10]:5"]
print(*(peer_of(name)[0] for name in names), {peer_of(name)[1] for name in names})
"""


def test_a_peer_has_one_name_whichever_transport_says_it(probe: Probe) -> None:
    assert probe.python("-c", PEERS).stdout == "1.2.3.4 ::1 ::1 fe80::1 fe80::1 {5}\n"


def child(server: Server) -> int:
    """The process for health."""
    threads = Path(f"/proc/{server.process.pid}/task").glob("*/children")
    return int(" ".join(file.read_text() for file in threads).split()[0])


def runs(process: int) -> bool:
    """Whether a process has not ended; whoever adopted it may not have asked yet how it did."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


def healthy(server: Server) -> bool:
    try:
        return server.health() == SERVING
    except grpc.RpcError:
        return False


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.05)


def peak_memory(server: Server) -> int:
    """The most memory that the process has had, in bytes."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024
