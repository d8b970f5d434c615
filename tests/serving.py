"""Runs the server of a generated project as a process, and asks it as a client that knows only the .proto."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.rpc import error_details_pb2
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_status import rpc_status

from support import ROOT, Project, run

SERVICE = "probe.v1.ProbeService"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
INTRODUCTION = "TRANSPORT="  # how a transport begins that says at the start for whom it is
PATIENCE = 60.0  # seconds after which a state that a test waits for is taken as never coming

SCHEMA = """\
package: probe.v1
service: ProbeService
messages:
  Point:
    fields:
      - {name: x, number: 1, type: float64, maximum: 10}
  Mark:
    fields:
      - {name: note, number: 1, type: string, required: false}
methods:
  Predict:
    request:
      fields:
        - {name: value, number: 1, type: float64, minimum: 0, maximum: 1000}
        - {name: mode, number: 2, type: string, max_length: 20, example: plain}
        - {name: points, number: 3, type: Point, repeated: true, max_items: 1000}
        - {name: near, number: 4, type: Point, required: false}
    response:
      fields:
        - {name: result, number: 1, type: float64, maximum: 100000}
        - {name: vector, number: 2, type: float32, shape: [3], minimum: 0, maximum: 1}
  Count:
    streaming: server
    request:
      fields:
        - {name: until, number: 1, type: int64, example: 1000000}
        - {name: mode, number: 2, type: string, max_length: 20, example: plain}
    response:
      fields:
        - {name: index, number: 1, type: int64, minimum: 0}
        - {name: ballast, number: 2, type: bytes, required: false}
  Echo:
    request:
      fields:
        - {name: text, number: 1, type: string}
        - {name: marks, number: 2, type: Mark, repeated: true}
        - {name: numbers, number: 3, type: int64, repeated: true}
        - {name: weights, number: 4, key: string, value: float64}
        - {name: words, number: 5, type: string, repeated: true}
        - {name: mark, number: 6, type: Mark, required: false}
        - {name: mask, number: 7, type: bool, shape: [n], required: false}
    response:
      fields:
        - {name: text, number: 1, type: string}
"""

# A model that does what a request's `mode` says, tells on standard output what it computes as JSON lines, and waits
# for lines on standard input, so that a test decides when it goes on.
MODEL = '''\
"""A model for tests."""

from __future__ import annotations

import json
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .contract import (
    CountRequest, CountResponse, EchoRequest, EchoResponse, InvalidRequest, PredictRequest, PredictResponse,
    RequestRefused, Violation
)

ARTIFACT = Path("artifacts/model.txt")


def tell(**what: object) -> None:
    sys.stdout.write(json.dumps(what) + "\\n")  # at once: several threads may tell something
    sys.stdout.flush()


def spin() -> None:
    """Holds the interpreter lock as a model in pure Python does, until there is a line to read."""
    released = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.readline(), released.set()), daemon=True).start()
    while not released.is_set():
        pass


class Model:
    def __init__(self, artifact: Path) -> None:
        how = artifact.read_text().strip()
        tell(loading=how)
        if how == "slow":
            sys.stdin.readline()
        if how == "warning":
            warnings.warn("the model is old", stacklevel=1)
        if how == "failing":
            raise RuntimeError("the weights are torn")
        if how == "leaving":
            raise SystemExit(0)
        self.how = how

    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:
        tell(batch=[request.value for request in batch])
        modes = [request.mode for request in batch]
        if "wait" in modes:
            sys.stdin.readline()
        if "spin" in modes:
            spin()
        if "refuse" in modes:
            raise InvalidRequest("is not sold here", field="mode")
        if "refuse much" in modes:
            others = [Violation(f"points[{index}].x", "é must be smaller " * 20) for index in range(999)]
            raise InvalidRequest("is not sold here", field="mode", others=others)
        for code in filter(str.isupper, modes):
            raise RequestRefused(code, "is sold out\\n" + "é" * 500)
        if "raise" in modes or self.how == "raising":
            raise RuntimeError("secret of the house")
        if "break" in modes:
            threading.current_thread()._turn = None
        if "leave" in modes:
            raise SystemExit(3)
        if self.how == "unfit":
            return ["no message"]
        replies = [reply(request) for request in batch]
        for mode in modes:
            match mode:
                case "none":
                    return None
                case "few":
                    return replies[:-1]
                case "many":
                    return [*replies, replies[0]]
                case "odd":
                    return Odd()
                case "generator":
                    return (reply for reply in replies)
        return replies

    def count(self, request: CountRequest) -> Iterator[CountResponse]:
        if request.mode == "no iterator":
            return None
        return self.counted(request)

    def counted(self, request: CountRequest) -> Iterator[CountResponse]:
        tell(opened=request.mode)
        try:
            for index in range(request.until):
                if request.mode == "wait" and index == 2:
                    sys.stdin.readline()
                if request.mode == "raise" and index == 3:
                    raise RuntimeError("secret of the house")
                if request.mode == "refuse" and index == 3:
                    raise InvalidRequest("is not sold here", field="mode")
                if request.mode.isupper() and index == 3:
                    raise RequestRefused(request.mode, "is sold out")
                tell(stream=request.mode, index=index)
                if request.mode == "endless":
                    sum(range(300_000))  # slower than the network, so that it always has room for one reply more
                ballast = bytes(100_000) if request.mode == "heavy" else None
                yield CountResponse(index=-1 if request.mode == "unfit" and index == 3 else index, ballast=ballast)
        finally:
            tell(closed=request.mode)

    def echo(self, batch: Sequence[EchoRequest]) -> Sequence[EchoResponse]:
        return [EchoResponse(text=request.text) for request in batch]


class Odd(list):
    def __len__(self) -> int:
        raise SystemExit("no length")


def reply(request: PredictRequest) -> PredictResponse:
    vector = np.array([request.value / 1000, 0.5, len(request.points) / 1000], np.float32)
    made = PredictResponse(result=request.value * 2, vector=vector)
    match request.mode:
        case "list":
            return [1.0, 2.0, 3.0]
        case "missing":
            made.result = None
        case "shape":
            made.vector = np.zeros(2, np.float32)
        case "limit":
            made.vector = np.array([0, 0, 1.5], np.float32)
    return made
'''


class Lines:
    """What a process writes to a pipe, line by line; waiting for a line needs no polling."""

    def __init__(self, pipe: IO[str]) -> None:
        self.all: list[str] = []
        self._changed = threading.Condition()
        self._ended = False
        self._thread = threading.Thread(target=self._read, args=(pipe,), daemon=True)
        self._thread.start()

    def _read(self, pipe: IO[str]) -> None:
        for line in pipe:
            with self._changed:
                self.all.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait(self, wanted: Callable[[Any], Any], count: int = 1) -> list[Any]:
        """The first `count` JSON lines that are `wanted`; fails when they do not come."""

        def found() -> list[Any]:
            return [line for line in self.json() if wanted(line)]

        with self._changed:
            self._changed.wait_for(lambda: len(found()) >= count or self._ended, timeout=PATIENCE)
            assert len(found()) >= count, "waited in vain; there is only:\n" + "\n".join(self.all)
            return found()[:count]

    def json(self) -> list[Any]:
        """All lines until now that are JSON."""
        return [json.loads(line) for line in self.all if line.startswith("{")]

    def ended(self) -> list[Any]:
        """All of them, after the end."""
        self._thread.join(PATIENCE)
        return self.json()


@dataclass(frozen=True)
class Probe(Project):
    """A project whose model does what a test says, and the messages of its contract as its clients have them.

    Its servers have this transport.
    """

    messages: Mapping[str, Any] = field(default_factory=dict)
    transport: str = "grpcio"

    @property
    def cannot_keep(self) -> dict[str, str]:
        """The settings that its transport cannot keep, with the reason, as the documentation has them."""
        if self.transport == "grpcio":
            return {}
        page = (ROOT / "docs/server.md").read_text(encoding="utf-8")
        table = page.partition("\n## Transports\n")[2].partition("\n## ")[0]
        return dict(re.findall(r"^\| `([A-Z_]+)` \| (.*) \|$", table, re.MULTILINE))

    def with_model(self, source: str, folder: Path) -> Probe:
        """A copy of the project with another model.py."""
        shutil.copytree(self.path, folder)
        (folder / "src" / self.package / "model.py").write_text(source, encoding="utf-8")
        return replace(self, path=folder)

    def artifact(self, text: str, folder: Path) -> Path:
        """An artifact that makes the model load and answer as `text` says; without a digest."""
        path = folder / "model.txt"
        path.write_text(text, encoding="utf-8")
        return path


def make_probe(project: Project) -> Probe:
    """The probe from a project that was created with SCHEMA."""
    (project.path / "src" / project.package / "model.py").write_text(MODEL, encoding="utf-8")
    (project.path / "artifacts" / "model.txt").write_text("plain\n", encoding="utf-8")
    seal = (
        "from pathlib import Path; from probe.server.artifact import seal; seal(Path('artifacts/model.txt'), 'numpy')"
    )
    project.python("-c", seal)
    descriptors = project.path / "probe.binpb"
    protoc = [sys.executable, "-m", "grpc_tools.protoc", "-I", "proto", f"--descriptor_set_out={descriptors}"]
    run([*protoc, "proto/probe/v1/prediction.proto"], cwd=project.path)
    pool = descriptor_pool.DescriptorPool()
    for file in descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes()).file:
        pool.Add(file)
    names = [f"{name}{kind}" for name in ("Predict", "Count", "Echo") for kind in ("Request", "Response")]
    found = {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"probe.v1.{name}")) for name in names}
    return Probe(
        project.path,
        project.package,
        {**found, "Point": message_factory.GetMessageClass(pool.FindMessageTypeByName("probe.v1.Point"))},
    )


class Server:
    """A server process and a channel to it. Its log and what its model tells can be waited for."""

    def __init__(self, probe: Probe, **settings: str) -> None:
        self.probe = probe
        for name, reason in probe.cannot_keep.items():
            if name in settings:
                pytest.skip(f"TRANSPORT={probe.transport} cannot keep {name}: {reason}")
        defaults = {"HOST": "127.0.0.1", "PORT": "0", "LAME_DUCK_SECONDS": "0.05", "TRANSPORT": probe.transport}
        environment = {**probe.environment, **defaults, **settings}
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{probe.package}.server"],
            cwd=probe.path,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdin
        assert self.process.stdout
        assert self.process.stderr
        self.told, self.log = Lines(self.process.stdout), Lines(self.process.stderr)
        self._channel: grpc.Channel | None = None

    @property
    def port(self) -> int:
        line = self.log.wait(lambda line: line["message"].startswith("listening"))[0]
        return int(line["message"].rpartition(" ")[2])

    @property
    def channel(self) -> grpc.Channel:
        if self._channel is None:
            options = [("grpc.enable_http_proxy", 0), ("grpc.max_receive_message_length", -1)]
            self._channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=options)
        return self._channel

    def method(self, name: str) -> Any:
        """A callable of gRPC for one method; as bytes in either direction where the probe knows no message."""
        request, response = (self.probe.messages.get(f"{name}{kind}") for kind in ("Request", "Response"))
        make = self.channel.unary_stream if name == "Count" else self.channel.unary_unary
        serialize = request.SerializeToString if request else None
        return make(f"/{SERVICE}/{name}", serialize, response.FromString if response else None)

    def predict(self, value: float = 1.0, mode: str = "plain", **options: Any) -> Any:
        return self.method("Predict")(self.request(value, mode), timeout=PATIENCE, **options)

    def predict_soon(self, value: float = 1.0, mode: str = "plain", timeout: float = PATIENCE, **options: Any) -> Any:
        """A call that goes on while the test does."""
        return self.method("Predict").future(self.request(value, mode), timeout=timeout, **options)

    def request(self, value: float, mode: str = "plain") -> Any:
        return self.probe.messages["PredictRequest"](value=value, mode=mode)

    def count(self, until: int, mode: str = "plain", timeout: float = PATIENCE) -> Any:
        request = self.probe.messages["CountRequest"](until=until, mode=mode)
        return self.method("Count")(request, timeout=timeout)

    def batches(self) -> list[list[float]]:
        """What the model computed in its predict method, by now."""
        return [line["batch"] for line in self.told.json() if "batch" in line]

    def until_computing(self, value: float) -> None:
        """Returns when the model has a batch with this value."""
        self.told.wait(lambda line: value in line.get("batch", ()))

    def until_full(self) -> None:
        """Returns when MAX_IN_FLIGHT requests are in flight: only then is one refused before it is looked at."""
        send = self.channel.unary_unary(f"/{SERVICE}/Predict")
        while error_of(lambda: send(b"\xff", timeout=PATIENCE)).code() is not grpc.StatusCode.RESOURCE_EXHAUSTED:
            pass

    def release(self) -> None:
        """Lets a model that waits go on."""
        assert self.process.stdin
        self.process.stdin.write("go on\n")
        self.process.stdin.flush()

    def refused(self, call: Any) -> bool:
        """Whether a call ended because the server takes no more; False while it is not answered."""
        try:
            error = call.exception(timeout=0.5)
        except grpc.FutureTimeoutError:
            return False
        return error is not None and error.code() is grpc.StatusCode.UNAVAILABLE

    def health(self, service: str = "") -> int:
        check = self.channel.unary_unary(
            "/grpc.health.v1.Health/Check", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        return int(check(HealthCheckRequest(service=service), timeout=PATIENCE, wait_for_ready=True).status)

    def watch(self, service: str = "") -> Iterator[int]:
        """The states that a watch tells."""
        watch = self.channel.unary_stream(
            "/grpc.health.v1.Health/Watch", HealthCheckRequest.SerializeToString, HealthCheckResponse.FromString
        )
        replies = watch(HealthCheckRequest(service=service), timeout=PATIENCE, wait_for_ready=True)
        return (int(reply.status) for reply in replies)

    def until_serving(self) -> Server:
        assert SERVING in self.watch(), self.log.all
        return self

    def terminate(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """The exit code, when it ends by itself."""
        return self.process.wait(PATIENCE)

    def messages(self, level: str | None = None) -> str:
        """What the log has of one level, or of all, as one text; after the end or while it runs."""
        lines = self.log.ended() if self.process.poll() is not None else self.log.json()
        texts = [line["message"] for line in lines if level in (None, line["level"])]
        return "\n".join(text for text in texts if not text.startswith(INTRODUCTION))

    def close(self) -> None:
        if self._channel is not None:
            self._channel.close()
        self.process.kill()
        self.process.wait()
        self.told.ended()
        self.log.ended()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            assert pipe
            pipe.close()


@contextmanager
def starting(probe: Probe, **settings: str) -> Iterator[Server]:
    """A server that was just started."""
    server = Server(probe, **settings)
    try:
        yield server
    finally:
        server.close()


@contextmanager
def serving(probe: Probe, **settings: str) -> Iterator[Server]:
    """A server that is SERVING."""
    with starting(probe, **settings) as server:
        yield server.until_serving()


def error_of(call: Callable[[], Any]) -> grpc.RpcError:
    """The error with which `call` ends."""
    try:
        result = call()
    except grpc.RpcError as error:
        return error
    raise AssertionError(f"no error, but {result!r}")


def violations(error: Any) -> list[tuple[str, str]]:
    """The field violations that an error carries."""
    status = rpc_status.from_call(error)
    assert status is not None
    details = error_details_pb2.BadRequest()
    assert status.details[0].Unpack(details)
    return [(item.field, item.description) for item in details.field_violations]
