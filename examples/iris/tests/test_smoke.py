"""Start the real server with the real artifact, as a platform would, and send it requests. Works with any schema."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import grpc
import pytest
from grpc_client import (
    METHODS,
    REQUESTS,
    SERVING,
    call,
    call_bytes,
    connect,
    health,
    parse_request,
    wait_until_serving,
)

from iris.contract import Method, served

PROJECT = Path(__file__).resolve().parent.parent
SETTINGS = {"HOST": "127.0.0.1", "LAME_DUCK_SECONDS": "0"}
SAMPLES = sorted(REQUESTS.rglob("*.json"))


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    channel: grpc.Channel
    log: Path


@contextmanager
def serving(log: Path) -> Iterator[Server]:
    """A server process that is SERVING on a free port, and is killed at the end. Its output goes to the file `log`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as output, connect(f"127.0.0.1:{port}") as channel:
        process = subprocess.Popen(
            [sys.executable, "-m", "iris.server"],
            cwd=PROJECT,
            env=os.environ | SETTINGS | {"PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            wait_until_serving(channel, alive=lambda: process.poll() is None)
            yield Server(process, channel, log)
        except Exception as error:
            error.add_note("The server's log:\n" + log.read_text(encoding="utf-8", errors="replace"))
            raise
        finally:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("server") / "log") as running:
        yield running


@pytest.mark.parametrize("service", ["", *served.SERVICES, "liveness"])
def test_health_reports_serving(server: Server, service: str) -> None:
    assert health(server.channel, service) == SERVING


def test_health_of_an_unknown_service_is_not_found(server: Server) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        health(server.channel, "another.Service")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.relative_to(REQUESTS).as_posix())
def test_a_sample_request_is_answered(server: Server, path: Path) -> None:
    """A file is named after its method. A method may have several, such as Predict.json and Predict.large.json."""
    method = METHODS[".".join([*path.relative_to(REQUESTS).parent.parts, path.name.partition(".")[0]])]
    request = parse_request(method, path.read_text(encoding="utf-8"))
    try:
        replies = list(islice(call(server.channel, method, request), 10))
    except grpc.RpcError as error:
        if method.retired and error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return  # upgrade/ refuses it on purpose
        raise
    assert method.streaming or len(replies) == 1


@pytest.mark.parametrize("method", served.METHODS, ids=lambda method: method.label)
def test_malformed_bytes_are_the_callers_error(server: Server, method: Method) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(call_bytes(server.channel, method, b"\xff" * 16))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_stops_the_server_with_exit_code_0(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as running:
        running.process.send_signal(signal.SIGTERM)
        code = running.process.wait(timeout=60)
    assert code == 0, running.log.read_text(encoding="utf-8", errors="replace")
