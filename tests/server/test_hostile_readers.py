"""Callers that do not read what they asked for: they keep nobody out, and what waits for them is bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from raw_http2 import DATA, HEADERS
from serving import SERVICE, Probe, Server, serving
from slow_reader import SlowReader

pytestmark = pytest.mark.each_transport

MODEL = '''\
"""A model with large replies: a request's value says how many kilobytes, and `until` of a stream how many of them."""

from pathlib import Path

import numpy as np

from .contract import CountResponse, EchoResponse, PredictResponse

ARTIFACT = Path("artifacts/model.txt")


class Model:
    def __init__(self, artifact: Path) -> None: ...

    def predict(self, batch):
        return [PredictResponse(result=request.value, vector=np.zeros(3, np.float32)) for request in batch]

    def count(self, request):
        for index in range(request.until):
            yield CountResponse(index=index, ballast=bytes(100_000))

    def echo(self, batch):
        return [EchoResponse(text=request.text * 1000) for request in batch]
'''
LIMITS = {"MAX_IN_FLIGHT": "32", "STREAM_IDLE_SECONDS": "1", "MAX_UNREAD_BYTES": "50000000", "MAX_BATCH_SIZE": "4"}


@pytest.fixture(scope="module")
def server(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    project = probe.with_model(MODEL, tmp_path_factory.mktemp("readers") / "project")
    limits = {name: value for name, value in LIMITS.items() if name not in probe.cannot_keep}
    with serving(project, **limits) as running:
        yield running


def count_request(server: Server, until: int) -> bytes:
    return bytes(server.probe.messages["CountRequest"](until=until, mode="plain").SerializeToString())


def echo_request(server: Server, kilobytes: int) -> bytes:
    return bytes(server.probe.messages["EchoRequest"](text="x" * kilobytes).SerializeToString())


def resident_megabytes(server: Server) -> float:
    pages = Path(f"/proc/{server.process.pid}/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * 4096 / 1e6


def open_files(server: Server) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def answers(server: Server) -> bool:
    """Whether another caller gets a reply."""
    call = server.predict_soon()
    return call.exception(timeout=30) is None


def test_streams_that_nobody_reads(server: Server) -> None:
    """One connection cannot take all that can be in flight; several can, until their streams are idle and end."""
    server.predict()
    files = open_files(server)
    with ExitStack() as stack:
        connections = [stack.enter_context(SlowReader(server.port)) for _ in range(3)]
        for _ in range(32):
            connections[0].call(f"/{SERVICE}/Count", count_request(server, 10**6))
        time.sleep(0.3)
        assert answers(server)
        for connection in connections[1:]:
            for _ in range(32):
                connection.call(f"/{SERVICE}/Count", count_request(server, 10**6))
        started = time.monotonic()
        while not answers(server):
            time.sleep(0.05)
        assert time.monotonic() - started < 10
        assert connections[0].is_closed(10)
    assert server.messages("ERROR") == ""
    server.predict()
    assert open_files(server) <= files + 1


def test_the_status_says_why_a_stream_ended(server: Server) -> None:
    """A reader that comes back in time gets the replies that were on the way, and then the reason."""
    with SlowReader(server.port) as reader:
        stream = reader.call(f"/{SERVICE}/Count", count_request(server, 10**6))
        assert [frame.kind for frame in reader.frames(1.6) if frame.stream == stream] == [HEADERS]
        reader.allow(stream, 10**7)
        frames = [frame for frame in reader.frames(1) if frame.stream == stream]
    assert sum(len(frame.payload) for frame in frames if frame.kind == DATA) > 100_000
    assert b"the caller took nothing for" in frames[-1].payload
    assert b"grpc-status: 8\n" in frames[-1].payload


def test_a_slow_reader_is_not_ended(server: Server) -> None:
    """It takes 20 kB a second, which is less than a reply a second, for twice as long as STREAM_IDLE_SECONDS."""
    with SlowReader(server.port) as reader:
        stream = reader.call(f"/{SERVICE}/Count", count_request(server, 10**6))
        received = 0
        for _ in range(10):
            reader.allow(stream, 4_000)
            frames = [frame for frame in reader.frames(0.2) if frame.stream == stream]
            assert all(frame.kind != HEADERS or frame is frames[0] for frame in frames)
            received += sum(len(frame.payload) for frame in frames if frame.kind == DATA)
    assert received == 10 * 4_000


def test_unary_replies_that_nobody_takes(server: Server) -> None:
    """What waits for callers is bounded, others are answered, and the memory is given back."""
    if reason := server.probe.cannot_keep.get("MAX_UNREAD_BYTES"):
        pytest.skip(reason)
    before = resident_megabytes(server)
    with ExitStack() as stack:
        connections = [stack.enter_context(SlowReader(server.port)) for _ in range(20)]
        for connection in connections:
            for _ in range(20):
                connection.call(f"/{SERVICE}/Echo", echo_request(server, kilobytes=1000))  # 400 MB in all
        time.sleep(1)
        assert answers(server)
        assert resident_megabytes(server) < before + 200
        given_back = time.monotonic() + 20
        while resident_megabytes(server) > before + 130 and time.monotonic() < given_back:
            time.sleep(0.1)
        assert resident_megabytes(server) < before + 130
    server.log.wait(lambda line: line["message"].startswith("closed the connection of ipv4:127.0.0.1:"))
    assert server.messages("ERROR") == ""
