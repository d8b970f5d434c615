"""Pings, age and idle time of connections, each with a real client: the servers of all settings run in one process."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import grpc
import pytest

from serving import PATIENCE, SERVICE, Lines, Probe, error_of

RUNNER = """\
import asyncio, json, sys
from probe.server.lifecycle import Server
from probe.server.logs import configure
from probe.server.settings import Settings
from probe.server.transports import transport_class

async def main(*all_settings):
    def server(number, settings):
        these = Settings(host=f"127.0.2.{number}", port=0, **json.loads(settings))
        return Server(these, transport_class(these, {}), [])
    await asyncio.gather(*(server(*each).run() for each in enumerate(all_settings, 1)))

configure("INFO", "json")
asyncio.run(main(*sys.argv[1:]))
"""
SETTINGS: list[dict[str, float]] = [
    {},
    {"max_connection_age_seconds": 0.5},
    {"max_connection_age_seconds": 0.5, "max_connection_age_grace_seconds": 0.5},
    {"max_connection_idle_seconds": 0.5},
    {"keepalive_seconds": 1.0, "keepalive_timeout_seconds": 0.5},
]
MODEL = '''\
"""A model that takes as many seconds for a request as its mode says."""

import time
from pathlib import Path

import numpy as np

from .contract import CountResponse, EchoResponse, PredictResponse

ARTIFACT = Path("artifacts/model.txt")


class Model:
    def __init__(self, artifact: Path) -> None: ...

    def predict(self, batch):
        time.sleep(max(float(request.mode.replace("plain", "0")) for request in batch))
        return [PredictResponse(result=1.0, vector=np.zeros(3, np.float32)) for _ in batch]

    def count(self, request):
        yield CountResponse(index=0)

    def echo(self, batch):
        return [EchoResponse(text=request.text) for request in batch]
'''


class Client:
    """A client with a connection of its own, which sends pings; `states` are those of its channel."""

    def __init__(self, probe: Probe, address: str) -> None:
        options = {
            "grpc.enable_http_proxy": 0,
            "grpc.use_local_subchannel_pool": 1,
            "grpc.keepalive_time_ms": 600,
            "grpc.keepalive_permit_without_calls": 1,
            "grpc.http2.max_pings_without_data": 0,
        }
        self.channel = grpc.insecure_channel(address, options=list(options.items()))
        self.states: list[str] = []
        self._changed = threading.Condition()
        self.channel.subscribe(self._note)
        request, response = probe.messages["PredictRequest"], probe.messages["PredictResponse"]
        self._make = request
        self._send = self.channel.unary_unary(f"/{SERVICE}/Predict", request.SerializeToString, response.FromString)

    def _note(self, state: grpc.ChannelConnectivity) -> None:
        with self._changed:
            self.states.append(state.name)
            self._changed.notify_all()

    def until_closed(self) -> None:
        """Returns when the connection is closed; the channel is idle then, until the next call."""
        with self._changed:
            assert self._changed.wait_for(lambda: "IDLE" in self.states[self.states.index("READY") :], PATIENCE)

    def call(self, seconds: float = 0) -> float:
        """A call for which the model takes so long."""
        mode = str(seconds) if seconds else "plain"
        return float(self._send(self._make(value=1, mode=mode), timeout=PATIENCE).result)


@pytest.fixture(scope="module")
def addresses(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[str]]:
    """The addresses of servers with SETTINGS."""
    project = probe.with_model(MODEL, tmp_path_factory.mktemp("connections") / "project")
    command = [sys.executable, "-c", RUNNER, *map(json.dumps, SETTINGS)]
    with subprocess.Popen(
        command, cwd=project.path, env=project.environment, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr
        log = Lines(process.stderr)
        try:
            log.wait(lambda line: line["message"].startswith("serving"), count=len(SETTINGS))
            listening = log.wait(lambda line: line["message"].startswith("listening"), count=len(SETTINGS))
            yield sorted(line["message"].removeprefix("listening on ").replace(", port ", ":") for line in listening)
        finally:
            process.kill()
            log.ended()


def test_connections(probe: Probe, addresses: list[str]) -> None:
    """All at the same time: they wait more than they compute."""
    checks = [frequent_pings, age, grace, idle_time, keepalive]
    with ThreadPoolExecutor() as pool:
        for end in [pool.submit(check, probe, at) for check, at in zip(checks, addresses, strict=True)]:
            end.result()


def frequent_pings(probe: Probe, address: str) -> None:
    """Pings during a call and without one are no reason to close a connection."""
    client = Client(probe, address)
    with closing(client.channel):
        assert client.call(seconds=3) == 1
        time.sleep(3)
        assert client.states[-1] == "READY"
        assert client.states.count("READY") == 1


def age(probe: Probe, address: str) -> None:
    """A connection of that age is closed, and the call on it ends well, by default whatever it takes."""
    client = Client(probe, address)
    with closing(client.channel):
        assert client.call(seconds=2) == 1
        client.until_closed()
        assert client.call() == 1


def grace(probe: Probe, address: str) -> None:
    """A call that takes longer than the grace is cut off."""
    client = Client(probe, address)
    with closing(client.channel):
        error = error_of(lambda: client.call(seconds=3))
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "max connection age")


def idle_time(probe: Probe, address: str) -> None:
    client = Client(probe, address)
    with closing(client.channel):
        assert client.call(seconds=1) == 1  # longer than the idle time
        client.until_closed()
        assert client.call() == 1


def keepalive(probe: Probe, address: str) -> None:
    """A client that answers no ping is gone, whether or not it has calls."""
    host, _, port = address.partition(":")
    with socket.create_connection((host, int(port)), timeout=PATIENCE) as connection:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0")  # without settings
        received = b"".join(iter(lambda: connection.recv(65536), b""))  # to the end, which the server makes
    assert b"\0\0\x08\6\0\0\0\0\0" in received  # a ping
