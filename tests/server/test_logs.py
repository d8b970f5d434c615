"""The log when nobody reads it, when it cannot be written, and when what is logged comes from others."""

from __future__ import annotations

import json
import os
import pty
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

import raw_http2
from serving import PATIENCE, SERVICE, Lines, Probe

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kinds of standard error are those of Linux")

LATENCY = 2.0  # seconds for an answer of health on a busy machine; without an attack it takes a millisecond
MEMORY = 400  # MiB at most, of a server that has 75 without an attack
LINE_BYTES = 16384
MODEL = '''\
"""A model that logs and raises what its requests name."""

import logging
import os
import sys
import threading
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np

from .contract import EchoResponse, InvalidRequest, ModelBroken, PredictResponse, RequestRefused

ARTIFACT = Path("artifacts/model.txt")
MUCH = 50_000_000
FORGED = "\\n2026-11-29 12:00:00,000 CRITICAL forged \\x1b[2J \\u202e \\u2028 \\x85 \\ud800"


class Rude(Exception):
    def __repr__(self):
        raise SystemExit("no repr")

    def __str__(self):
        raise KeyboardInterrupt("no str")

    @property
    def __notes__(self):
        raise SystemExit("no notes")


class RudeRefusal(InvalidRequest, Rude): ...


class Deleted:
    def __del__(self):
        raise RuntimeError("x" * MUCH)


def chained():
    error = None
    for number in range(2000):
        error, cause = RuntimeError(FORGED * 100 + str(number)), error
        error.__cause__ = cause
    return error


def grouped(depth=50):
    members = [ValueError("z" * 10_000) for _ in range(100)]
    return ExceptionGroup("g" * 10_000, [*members, grouped(depth - 1)] if depth else members)


def noted():
    error = RuntimeError("noted")
    for _ in range(1000):
        error.add_note(FORGED * 100)
    return error


def recurse():
    recurse()


def in_a_thread(error):
    def fail():
        raise error

    thread = threading.Thread(target=fail, name=FORGED)
    thread.start()
    thread.join()


def native():
    for descriptor in (1, 2):
        with suppress(BlockingIOError):
            os.write(descriptor, b"n" * 3_000_000 + b"\\n")


RAISED = {
    "much": lambda: RuntimeError("x" * MUCH),
    "wide": lambda: RuntimeError("\\U0001f600" * 1_000_000),
    "forged": lambda: RuntimeError(FORGED),
    "rude": Rude,
    "rude refusal": lambda: RudeRefusal("no"),
    "chained": chained,
    "grouped": grouped,
    "noted": noted,
    "refused": lambda: RequestRefused("INTERNAL", FORGED * 100_000),
    "broken": lambda: ModelBroken(FORGED * 100_000),
}
DONE = {
    "recursion": recurse,
    "message": lambda: logging.getLogger("author").warning("mine %s", FORGED + "x" * 1_000_000),
    "rude message": lambda: logging.getLogger("author").warning("%s", Rude()),
    "wrong message": lambda: logging.getLogger("author").warning("%s %s", 1),
    "wrong field": lambda: logging.getLogger("author").warning("field", extra={"method": Rude(), "code": 10**6000}),
    "warning": lambda: warnings.warn(FORGED),
    "thread": lambda: in_a_thread(RuntimeError(FORGED + "x" * 1_000_000)),
    "rude thread": lambda: in_a_thread(Rude()),
    "deletion": Deleted,
    "flood": lambda: [logging.getLogger("author").info("flood " + "x" * 8000) for _ in range(400)],
    "print": lambda: (print("p" * 3_000_000), print("p" * 3_000_000, file=sys.stderr)),
    "native": native,
    "last": lambda: (logging.getLogger("author").warning("the last line"), os._exit(7)),
}


class Model:
    def __init__(self, artifact):
        pass

    def predict(self, batch):
        for request in batch:
            DONE.get(request.mode, lambda: None)()
            if request.mode in RAISED:
                raise RAISED[request.mode]()
        return [PredictResponse(result=1.0, vector=np.zeros(3, np.float32)) for _ in batch]

    def count(self, request):
        return iter(())

    def echo(self, batch):
        return [EchoResponse(text=request.text) for request in batch]
'''


class Server:
    """A server process whose standard error is of the test's choice."""

    def __init__(self, project: Probe, stderr: int | None, *, log_format: str = "json", **options: Any) -> None:
        port = _free_port()
        settings = {"HOST": "127.0.0.1", "PORT": str(port), "LAME_DUCK_SECONDS": "0.05", "LOG_REQUESTS": "true"}
        environment = {**project.environment, **settings, "LOG_FORMAT": log_format}
        command = [sys.executable, "-m", f"{project.package}.server"]
        self.process = subprocess.Popen(command, cwd=project.path, env=environment, stderr=stderr, **options)
        self.port, self._messages = port, project.messages
        self._channels = [
            grpc.insecure_channel(
                f"127.0.0.1:{port}", [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
            )
            for _ in range(2)
        ]
        self._check = self._channels[0].unary_unary(
            "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        self._predict = self._channels[1].unary_unary(f"/{SERVICE}/Predict")

    def until_serving(self) -> None:
        end = time.monotonic() + PATIENCE
        while self._check(HealthCheckRequest(), timeout=PATIENCE, wait_for_ready=True).status != 1:
            assert time.monotonic() < end
            assert self.process.poll() is None
            time.sleep(0.05)

    def health_latency(self) -> float:
        start = time.perf_counter()
        self._check(HealthCheckRequest(), timeout=PATIENCE)
        return time.perf_counter() - start

    def request(self, mode: str) -> bytes:
        data: bytes = self._messages["PredictRequest"](value=1, mode=mode).SerializeToString()
        return data

    def predict(self, mode: str = "plain") -> tuple[str, float]:
        """How a call ends, and the slowest answer of health meanwhile."""
        call = self._predict.future(self.request(mode), timeout=PATIENCE)
        slowest = self.health_latency()
        while not call.done():
            slowest = max(slowest, self.health_latency())
            time.sleep(0.01)
        return call.code().name, slowest

    def peak_memory(self) -> int:
        """In MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) // 1024

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def project(probe: Probe, tmp_path_factory: pytest.TempPathFactory) -> Probe:
    return probe.with_model(MODEL, tmp_path_factory.mktemp("logs") / "project")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as bound:
        return int(bound.getsockname()[1])


@contextmanager
def running(project: Probe, stderr: int | None, **options: Any) -> Iterator[Server]:
    server = Server(project, stderr, **options)
    try:
        server.until_serving()
        yield server
    finally:
        server.close()


def test_nobody_reads_what_the_server_prints_and_logs(project: Probe) -> None:
    """Calls and health are answered. Once somebody reads, the log says how much is missing."""
    (log, for_log), (printed, for_printed) = os.pipe(), os.pipe()
    with running(project, for_log, stdout=for_printed) as server, open(printed):
        os.close(for_log)
        os.close(for_printed)
        for mode in ("flood", "print", "native", "flood"):
            code, latency = server.predict(mode)
            assert (code, latency < LATENCY) == ("OK", True), (mode, latency)
        assert server.peak_memory() < MEMORY
        with open(log, encoding="ascii") as pipe:
            lines = Lines(pipe)
            (dropped,) = lines.wait(lambda line: "were dropped" in line["message"])
            assert server.predict()[0] == "OK"
            lines.wait(lambda line: line.get("code") == "OK")
            assert server.stop() == 0
            floods = sum(line["message"].startswith("flood ") for line in lines.ended())
    assert dropped["level"] == "WARNING"
    count = re.fullmatch(r"([\d,]+) lines of the log were dropped: standard error was not read", dropped["message"])
    assert count
    assert 0 <= int(count[1].replace(",", "")) - (800 - floods) < 6  # what was printed, and the calls


@contextmanager
def unusable(kind: str) -> Iterator[tuple[int | None, Callable[[], object]]]:
    """A standard error of a kind, and what to do once the server serves."""
    if kind == "closed":
        yield None, lambda: None
    elif kind == "full":
        with open("/dev/full", "wb") as full:
            yield full.fileno(), lambda: None
    else:
        reader, writer = pty.openpty() if kind == "terminal" else os.pipe()
        yield writer, lambda: (os.close(writer), kind == "unread" or os.close(reader))


@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(("closed", "unread"), id="fast"),
        pytest.param(("full", "broken", "terminal"), id="slow", marks=pytest.mark.slow),
    ],
)
def test_the_log_cannot_be_written(project: Probe, kinds: Sequence[str]) -> None:
    """Neither at the start nor later does that end the server, or keep it from ending."""

    def serve(kind: str) -> tuple[list[str], bool, int, bool]:
        with unusable(kind) as (stderr, later):
            options = {"preexec_fn": lambda: os.closerange(0, 3)} if kind == "closed" else {}
            with running(project, stderr, **options) as server:
                later()
                codes = [server.predict(mode)[0] for mode in ("flood", "print", "plain")]
                is_answered = server.health_latency() < LATENCY
                start = time.monotonic()
                return codes, is_answered, server.stop(), time.monotonic() - start < 5

    with ThreadPoolExecutor(len(kinds)) as pool:
        seen = dict(zip(kinds, pool.map(serve, kinds), strict=True))
    assert seen == {kind: (["OK"] * 3, True, 0, True) for kind in kinds}


METADATA = [
    (b"x-request-id", b"\xff\xfe"),
    (b"x-request-id", b"forged\x1b[2J\xe2\x80\xae"),
    (b"other", b"\xff\xfe"),
    (b"user-agent", b"\xff"),
]
CODES = {"broken": "UNAVAILABLE", "rude refusal": "INVALID_ARGUMENT"}
RAISED = ["much", "wide", "forged", "rude", "rude refusal", "chained", "grouped", "noted", "refused", "recursion"]
DONE = ["message", "rude message", "wrong message", "wrong field", "warning", "thread", "rude thread", "deletion"]


@pytest.mark.parametrize("log_format", ["json", pytest.param("text", marks=pytest.mark.slow)])
def test_what_others_wrote_is_escaped_and_cut(project: Probe, tmp_path: Path, log_format: str) -> None:
    """Request ids, metadata, exceptions and messages, whatever their own code does; up to the last line of all."""
    with (tmp_path / "log").open("wb") as file, running(project, file.fileno(), log_format=log_format) as server:
        for field in METADATA:
            assert b"grpc-status" in raw_http2.call(server.port, f"/{SERVICE}/Echo".encode(), b"", [field])
        for method in ("grpc.health.v1.Health/Check", "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"):
            assert b"grpc-status" in raw_http2.call(server.port, f"/{method}".encode(), b"no message")
        for mode in (*RAISED, *DONE, "broken"):
            code, latency = server.predict(mode)
            assert code == CODES.get(mode, "INTERNAL" if mode in RAISED else "OK"), mode
            assert latency < LATENCY, mode
        assert server.peak_memory() < 600
        server.until_serving()
        with suppress(grpc.RpcError):
            server.predict("last")
        assert server.process.wait(PATIENCE) == 7
    log = (tmp_path / "log").read_text(encoding="utf-8")
    assert len(log) < 200_000
    assert all(each == "\n" or each.isprintable() for each in set(log))
    lines = log.split("\n")[:-1]
    assert max(map(len, lines)) < LINE_BYTES
    records = [check_record(line) for line in lines if log_format == "json" or not line.startswith("    ")]
    assert sum("last line" in record for record in records) == 1
    assert sum("Traceback" in line for line in lines) < 60
    assert "DecodeError" not in log


def check_record(line: str) -> str:
    """The message of a line of the log, whose form is right."""
    if not line.startswith("{"):
        assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} (INFO|WARNING|ERROR|CRITICAL) ", line), line
        assert not re.search("CRITICAL forged", line[:45]), line
        return line
    record = json.loads(line)
    assert all(each == "\n" or each.isprintable() for text in record.values() for each in str(text)), line
    return str(record["message"])


OUTPUT = """\
import os, socket, sys, threading
from probe.server.output import Output

def check(reader, writer, read):
    output = Output(writer, "the log", "standard error")
    for number in range(6000):
        output.write(b"%06d %s\\n" % (number, b"x" * 500))
    received = b""
    while b"dropped" not in received or not received.endswith(b"005999 " + b"x" * 500 + b"\\n"):
        received += read(reader, 2**16)
    output.flush(1)
    child = os.fork()
    if child == 0:
        output.write(b"of a child\\n")
        os._exit(0)
    os.waitpid(child, 0)
    assert read(reader, 100) == b"of a child\\n"
    lines = received.decode().splitlines()
    (index,) = [index for index, line in enumerate(lines) if "dropped" in line]
    dropped = int(lines.pop(index).split()[0].replace(",", ""))
    numbers = [int(line.split()[0]) for line in lines]
    assert all(len(line) == 507 for line in lines)
    assert numbers == [*range(index), *range(index + dropped, 6000)], (index, dropped)
    output.own == writer or os.close(output.own)

check(*os.pipe(), os.read)
ours, theirs = socket.socketpair()
check(ours.fileno(), theirs.fileno(), os.read)
reader, writer = os.pipe()
os.open = lambda *_: os.stat("missing")  # as where the pipe cannot be opened once more
check(reader, writer, os.read)
print("checked")
"""


def test_lines_keep_their_order_and_the_gap_is_counted(project: Probe) -> None:
    """In a pipe, a socket, and a pipe that cannot be opened once more; a child of a fork writes, too."""
    assert project.python("-c", OUTPUT).stdout == "checked\n"


TRACEBACKS = """\
import traceback
from probe.server.tracebacks import described, traceback_of

def fail(error, cause=None):
    raise error from cause

def caught(*errors):
    try:
        fail(*errors)
    except BaseException as error:
        return error

def handled():
    try:
        fail(KeyError("k"))
    except KeyError:
        fail(OSError(2, "missing"))

for error in (caught(ValueError("é" * 900)), caught(OSError("a\\nb"), caught(KeyError("k"))), caught(RuntimeError())):
    lines = [line for line in traceback.format_exception(error) if line.strip(" ^~\\n")]
    assert traceback_of(error) == "".join(lines).rstrip(), traceback_of(error)
    assert described(error) == repr(error)
try:
    handled()
except OSError as error:
    assert traceback_of(error) == "".join(traceback.format_exception(error)).rstrip()
try:
    compile("def f(:", "model.py", "exec")
except SyntaxError as error:
    text = '  File "model.py", line 1\\n    def f(:\\nSyntaxError: invalid syntax (model.py, line 1)'
    assert traceback_of(error).endswith(text), traceback_of(error)
assert described(UnicodeDecodeError("utf-8", b"x", 0, 1, "why")) == "UnicodeDecodeError('utf-8', b'x', 0, 1, 'why')"
group = caught(ExceptionGroup("all", [caught(ValueError("one")), *map(ValueError, range(9))]))
text = traceback_of(group)
assert text.endswith("ExceptionGroup: all (10 sub-exceptions)") and "ValueError: one" in text
print("checked")
"""


def test_tracebacks_are_those_of_python(project: Probe) -> None:
    """Of ordinary exceptions, but for the marks below a line of code."""
    assert project.python("-c", TRACEBACKS).stdout == "checked\n"
