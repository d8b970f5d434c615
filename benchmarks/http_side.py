"""What the HTTP side for Vertex AI costs gRPC, and how many requests a second it answers itself.

    python benchmarks/http_side.py [ROUNDS]

First gRPC, one caller and 16 in flight, to a project with the answer vertex-ai and to one without: wanted is a ratio of
at least 0.97. Then one row of JSON by 16 connections, to that project, to BentoML and to LitServe, which serve the same
scikit-learn model as their documentation shows it, each in an environment of its own that is made here: wanted is at
least twice the rate of either. One that cannot be installed, or stops to answer, is left out, and told.

All servers of a part run all the time, where the system can pin them on one core, with the client on another. A round
is half a second of each, so that what else the machine does slows all alike.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from throughput import METHOD, TURN_SECONDS, WARM_UP_SECONDS, rate

from support import Project, copy_template, create, tool

ALL_CORES = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
IN_FLIGHT = 16
ROW = {"sepal_length": 5.1, "sepal_width": 3.5, "petal_length": 1.4, "petal_width": 0.2}
START_SECONDS = 120.0
STOP_SECONDS = 20.0

MODEL = """\
import numpy as np
import skops.io

NAMES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
SPECIES = ("SPECIES_SETOSA", "SPECIES_VERSICOLOR", "SPECIES_VIRGINICA")


def predict(model, instances):
    outputs = model.predict_proba(np.array([[row[name] for name in NAMES] for row in instances]))
    return [{"species": SPECIES[o.argmax()], "probabilities": o.tolist()} for o in outputs]


"""
OTHERS = {
    "bentoml": (
        MODEL
        + """\
import bentoml


@bentoml.service
class Iris:
    def __init__(self) -> None:
        self.model = skops.io.load("artifacts/model.skops")

    @bentoml.api
    def predict(self, instances: list[dict[str, float]]) -> dict:
        return {"predictions": predict(self.model, instances)}
""",
        ["-m", "bentoml", "serve", "served:Iris", "--port", "{port}"],
    ),
    "litserve": (
        MODEL
        + """\
import sys

import litserve


class Iris(litserve.LitAPI):
    def setup(self, device):
        self.model = skops.io.load("artifacts/model.skops")

    def decode_request(self, request):
        return request["instances"]

    def predict(self, instances):
        return predict(self.model, instances)

    def encode_response(self, output):
        return {"predictions": output}


if __name__ == "__main__":
    litserve.LitServer(Iris(), accelerator="cpu").run(port=int(sys.argv[1]), generate_client_file=False)
""",
        ["served.py", "{port}"],
    ),
}


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    _pin(0, -1)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        template = copy_template(folder / "protoserve")
        plain = create(template, folder / "plain")
        web = create(template, folder / "web", platforms=["vertex-ai"])
        for project in (plain, web):
            project.python("train.py")
        _grpc(plain, web, rounds)
        _http(web, folder, rounds)
    return 0


def _pin(pid: int, core: int) -> None:
    """Keeps a process (0: this one) to the first or the last core, if there are two."""
    if hasattr(os, "sched_setaffinity") and len(cores := sorted(ALL_CORES)) > 1:
        os.sched_setaffinity(pid, {cores[core]})


def _grpc(plain: Project, web: Project, rounds: int) -> None:
    request = eval(plain.python("-c", "from iris import contract; print(contract.METHODS[0].sample())").stdout)
    with ExitStack() as stack:
        ports = {
            "without HTTP": stack.enter_context(_serving(plain))["gRPC"],
            "with HTTP": stack.enter_context(_serving(web))["gRPC"],
        }
        for title, measure in {"one caller": rate, f"{IN_FLIGHT} in flight": _rate_of_many}.items():

            def call(port: int, seconds: float, measure: Callable[[int, bytes, float], float] = measure) -> float:
                return measure(port, request, seconds)

            rates = _rounds(ports, call, rounds)
            _tell(f"gRPC, {title}", rates)
            print(f"  ratio {_ratio(rates, 'with HTTP', 'without HTTP'):.3f}, wanted at least 0.97")


def _http(web: Project, folder: Path, rounds: int) -> None:
    with ExitStack() as stack:
        ports = {"generated": stack.enter_context(_serving(web))["HTTP"]}
        for name in OTHERS:
            try:
                ports[name] = stack.enter_context(_other(name, web, folder))
            except (subprocess.CalledProcessError, TimeoutError) as error:
                print(f"{name} is left out: {str(getattr(error, 'stderr', None) or error)[-300:]}")
        rates = _rounds(ports, _rate_over_http, rounds)
        _tell(f"HTTP, one row, {IN_FLIGHT} connections", rates)
        for name in rates.keys() - {"generated"}:
            print(f"  ratio to {name} {_ratio(rates, 'generated', name):.2f}, wanted at least 2")


def _rounds(ports: dict[str, int], measure: Callable[[int, float], float], rounds: int) -> dict[str, list[float]]:
    rates: dict[str, list[float]] = {name: [] for name in ports}
    order = list(rates)
    for seconds in (WARM_UP_SECONDS, *[TURN_SECONDS] * rounds):
        order.reverse()  # who comes first in a round has another time than who comes last
        for name in [name for name in order if name in rates]:
            try:
                found = measure(ports[name], seconds)
            except OSError as error:
                print(f"{name} is left out: {error}")
                del rates[name]
                continue
            if seconds == TURN_SECONDS:
                rates[name].append(found)
    return rates


def _tell(title: str, rates: dict[str, list[float]]) -> None:
    print(title)
    for name, values in rates.items():
        print(f"  {name:12} {statistics.median(values):6.0f} requests/s  (median of {len(values)} rounds)")


def _ratio(rates: dict[str, list[float]], one: str, other: str) -> float:
    return statistics.median(a / b for a, b in zip(rates[one], rates[other], strict=True))


@contextmanager
def _serving(project: Project) -> Iterator[dict[str, int]]:
    """The project's server; gives its ports once it serves."""
    environment = {**project.environment, "HOST": "127.0.0.1", "PORT": "0", "AIP_HTTP_PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, "-m", "iris.server"], cwd=project.path, env=environment, stderr=subprocess.PIPE, text=True
    )
    _pin(process.pid, 0)
    try:
        assert process.stderr
        log = ""
        while '"serving ' not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        ports = {"gRPC": int(re.findall(r"listening on 127.0.0.1, port (\d+)", log)[-1])}
        if found := re.findall(r"HTTP: listening on port (\d+)", log):
            ports["HTTP"] = int(found[-1])
        yield ports
    finally:
        process.terminate()
        process.communicate()


@contextmanager
def _other(name: str, project: Project, folder: Path) -> Iterator[int]:
    """Another server in an environment of its own; raises CalledProcessError where it cannot be installed."""
    source, command = OTHERS[name]
    place = folder / name
    place.mkdir()
    subprocess.run([tool("uv"), "venv", "--quiet", "--python", sys.executable, place / "env"], check=True)
    python = place / "env" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    wanted = [name, "scikit-learn", "skops"]
    install = [tool("uv"), "pip", "install", "--quiet", "--python", python, *wanted]
    subprocess.run(install, check=True, capture_output=True, text=True)
    (place / "served.py").write_text(source, encoding="utf-8")
    (place / "artifacts").symlink_to(project.path / "artifacts", target_is_directory=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    environment = {**os.environ, "BENTOML_DO_NOT_TRACK": "true", "BENTOML_HOME": str(place / "home")}
    process = subprocess.Popen(
        [str(python), *(part.format(port=port) for part in command)],
        cwd=place,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _pin(process.pid, 0)
    try:
        end = time.monotonic() + START_SECONDS
        while not _answers(port):
            if time.monotonic() > end or process.poll() is not None:
                raise TimeoutError(f"it does not answer after {START_SECONDS:.0f} s")
            time.sleep(0.2)
        yield port
    finally:
        process.terminate()  # BentoML's workers have sessions of their own, which only their parent ends
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _answers(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(_post())
            return _read(connection).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def _rate_of_many(port: int, request: bytes, seconds: float) -> float:
    """Requests a second with IN_FLIGHT of them under way."""
    count, room = 0, threading.Semaphore(IN_FLIGHT)
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(METHOD)
        start = time.perf_counter()
        while time.perf_counter() - start < seconds:
            room.acquire()
            call.future(request).add_done_callback(lambda _: room.release())
            count += 1
        for _ in range(IN_FLIGHT):
            room.acquire()
        return count / (time.perf_counter() - start)


def _post() -> bytes:
    body = json.dumps({"instances": [ROW]}).encode()
    head = f"POST /predict HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _read(connection: socket.socket) -> bytes:
    """One answer with a Content-Length."""
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise OSError("closed")
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = int(re.search(rb"(?i)content-length: *(\d+)", head)[1])  # type: ignore[index]
    while len(body) < length:
        body += connection.recv(65536)
    return head


def _rate_over_http(port: int, seconds: float) -> float:
    """Requests a second by IN_FLIGHT connections, each of which waits for its answer before it asks again."""
    message, count, selector = _post(), 0, selectors.DefaultSelector()
    connections = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(IN_FLIGHT)]
    try:
        for connection in connections:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            selector.register(connection, selectors.EVENT_READ)
            connection.sendall(message)
        start = time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            for key, _ in selector.select(1):
                asked: Any = key.fileobj
                assert _read(asked).startswith(b"HTTP/1.1 200")
                asked.sendall(message)
                count += 1
        return count / elapsed
    finally:
        selector.close()
        for connection in connections:
            connection.close()


if __name__ == "__main__":
    sys.exit(main())
