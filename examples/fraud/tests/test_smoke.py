"""Start the real server with the real artifact, as a platform would, and send it requests. Works with any schema.

Two environment variables matter: LOGS=1 prints the server's log below what fails, and SMOKE_SECONDS is how long the
server may take to become SERVING.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NoReturn

import grpc
import pytest
import smoke_report
from google.protobuf.message import Message
from grpc_client import (
    METHODS,
    REQUESTS,
    SERVING,
    NotServing,
    call,
    call_bytes,
    connect,
    explain,
    health,
    parse_request,
    wait_until_serving,
)

from fraud.contract import Method, served

PROJECT = Path(__file__).resolve().parent.parent
SETTINGS = {
    "HOST": "127.0.0.1",
    "LAME_DUCK_SECONDS": "0",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "INFO",
    "PYTHONFAULTHANDLER": "1",  # a crash in native code, or SIGABRT, prints what each thread was doing
}
SMOKE_SECONDS = float(os.environ.get("SMOKE_SECONDS") or 120)
SAMPLES = sorted(REQUESTS.rglob("*.json"))
FAILED_STARTS: list[str] = []  # the test that says why; to the others it is enough that it did


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    channel: grpc.Channel
    log: Path
    seen: int = 0  # characters of the log that an earlier test has caused

    def text(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def served_model(self) -> str:
        return smoke_report.served_model(smoke_report.entries(self.text()))

    def fail(self, reason: str) -> NoReturn:
        """Fails the test with the cause from the log, which is printed only on request."""
        log = smoke_report.entries(self.text()[self.seen :])
        model = self.served_model().splitlines()
        lines = [reason, *smoke_report.causes(log), *(f"The model is {line}." for line in model[:1])]
        if os.environ.get("LOGS"):
            lines += ["", "The server's log:", smoke_report.readable(smoke_report.entries(self.text()))]
        else:
            lines += ["", "For the server's log: make smoke LOGS=1"]
        pytest.fail("\n".join(lines), pytrace=False)

    def ends(self, seconds: float = 5) -> bool:
        """Whether the process ends within that time."""
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def dump_threads(self) -> None:
        """Ends the process, which prints what each of its threads is doing."""
        if sys.platform != "win32":
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()


@contextmanager
def serving(log: Path) -> Iterator[Server]:
    """A server process that is SERVING on a free port, and is killed at the end. Its output goes to the file `log`."""
    if FAILED_STARTS:
        pytest.skip(f"the server does not start, as {FAILED_STARTS[0]} says")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("wb") as output, connect(f"127.0.0.1:{port}") as channel:
        process = subprocess.Popen(
            [sys.executable, "-m", "fraud.server"],
            cwd=PROJECT,
            env=os.environ | SETTINGS | {"PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        server = Server(process, channel, log)
        try:
            _wait(server)
            yield server
        finally:
            process.kill()
            process.wait()


def _wait(server: Server) -> None:
    """Waits until the server is SERVING, or fails the test."""
    with suppress(NotServing):
        wait_until_serving(server.channel, alive=lambda: server.process.poll() is None, seconds=SMOKE_SECONDS)
        return
    FAILED_STARTS.append(os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0])
    if server.process.poll() is not None:
        server.fail(f"The server does not start: {smoke_report.ending(server.process.returncode)}.")
    server.dump_threads()
    server.fail(f"The server is not SERVING after {SMOKE_SECONDS:g} s (SMOKE_SECONDS), when it was doing this:")


class SharedServer:
    """One server for all tests of a file. The first test starts it, so that a failure is reported once."""

    def __init__(self, log: Path) -> None:
        self._log, self._stack = log, ExitStack()
        self._server: Server | None = None

    def get(self, config: pytest.Config) -> Server:
        if self._server is None:
            self._server = self._stack.enter_context(serving(self._log))
            if not config.pluginmanager.has_plugin(ServedModel.__name__):
                config.pluginmanager.register(ServedModel(self._server.served_model()), ServedModel.__name__)
        return self._server

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SharedServer]:
    with closing(SharedServer(tmp_path_factory.mktemp("server") / "log")) as shared:
        yield shared


@pytest.fixture
def server(shared: SharedServer, pytestconfig: pytest.Config) -> Server:
    """The running server; what it has logged so far belongs to earlier tests."""
    server = shared.get(pytestconfig)
    if server.process.poll() is not None:
        pytest.skip("the server has ended, as the first failure says")
    server.seen = len(server.text())
    return server


class ServedModel:
    """Says at the end which model was tested: it may not be the one that the reader had in mind."""

    def __init__(self, text: str) -> None:
        self.text = text

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("the model that was served")
        terminalreporter.write_line(self.text)


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
    replies = _replies(server, method, request)
    assert method.streaming or method.retired or len(replies) == 1


def _replies(server: Server, method: Method, request: Message) -> list[Message]:
    """The first replies to a sample request; fails the test with the reason for an error."""
    try:
        return list(islice(call(server.channel, method, request), 10))
    except grpc.RpcError as error:
        code, reason = error.code(), "\n".join(explain(error))
    if method.retired and code is grpc.StatusCode.UNIMPLEMENTED:
        return []  # upgrade/ refuses it on purpose
    if code is grpc.StatusCode.UNAVAILABLE and server.ends():
        reason = f"The server ended during the call: {smoke_report.ending(server.process.returncode)}."
    elif code is grpc.StatusCode.DEADLINE_EXCEEDED:
        server.dump_threads()
        reason = f"{reason}. The server was doing this:"
    return server.fail(reason)


@pytest.mark.parametrize("method", served.METHODS, ids=lambda method: method.label)
def test_malformed_bytes_are_the_callers_error(server: Server, method: Method) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(call_bytes(server.channel, method, b"\xff" * 16))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM")
def test_sigterm_stops_the_server_with_exit_code_0(tmp_path: Path) -> None:
    with serving(tmp_path / "log") as server:
        server.process.send_signal(signal.SIGTERM)
        if not server.ends(60):
            server.dump_threads()
            server.fail("The server has not ended 60 s after SIGTERM; it was doing this:")
        if server.process.returncode != 0:
            server.fail(f"After SIGTERM {smoke_report.ending(server.process.returncode)}, which must be 0.")
