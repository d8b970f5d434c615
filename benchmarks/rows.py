"""Wide rows and large tensors: what the checks of the contract cost, in time and in throughput.

    python benchmarks/rows.py [decode] [tensors] [--rounds N]

`decode` takes the contract of messages with 30 and 1,000 doubles, with limits and without, and of arrays, and times the
decoding with all checks against parsing and one `attrgetter` (for arrays: parsing and a numpy array), and the encoding
against setting the fields of a message one by one and serializing it.

`tensors` sends requests with 602 KB (1x3x224x224 float32) to a generated server, and gets replies of that size from it,
in each type of field that the schema has for that: bytes, numbers with a fixed shape and with a variable one, halves.
The server that it is held against is written by hand, with one bytes field and no checks (`tensor_by_hand.py`). Both
run all the time, on one core, with the client on another where there are two; every reply is checked.

Prints medians of the rounds' ratios. Wanted: decoding at most 2.2, throughput of tensors at least 0.9.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import timeit
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from operator import attrgetter
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from protoserve.emit import generated_files
from support import Project, copy_template, create

BY_HAND = Path(__file__).resolve().parent / "tensor_by_hand.py"
SHAPE = (1, 3, 224, 224)
IN_FLIGHT = 16
WARM_UP_SECONDS, TURN_SECONDS = 1.0, 1.0
TIMED_SECONDS = 0.01  # of one measurement of `decode`

MODEL = """
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tensors import contract

ARTIFACT = Path("artifacts/model.npz")


def last(kind: Any, arrays: Any) -> Any:
    return [kind(last=array.flat[-1]) for array in arrays]


def full(request: Any, shape: tuple[int, ...] = (1, 3, 224, 224), dtype: str = "float32") -> Any:
    return np.full(shape, request.value, dtype)


class Model:
    def __init__(self, artifact: Path) -> None:
        pass

    def bytes(self, batch: Any) -> Any:
        return last(contract.BytesResponse, (np.frombuffer(request.pixels, "<f4") for request in batch))

    def numbers(self, batch: Any) -> Any:
        return last(contract.NumbersResponse, (request.pixels for request in batch))

    def limits(self, batch: Any) -> Any:
        return last(contract.LimitsResponse, (request.pixels for request in batch))

    def shaped(self, batch: Any) -> Any:
        return last(contract.ShapedResponse, (request.pixels for request in batch))

    def halves(self, batch: Any) -> Any:
        return last(contract.HalvesResponse, (request.pixels for request in batch))

    def make_bytes(self, batch: Any) -> Any:
        return [contract.MakeBytesResponse(pixels=full(request).tobytes()) for request in batch]

    def make_numbers(self, batch: Any) -> Any:
        return [contract.MakeNumbersResponse(pixels=full(request)) for request in batch]

    def make_limits(self, batch: Any) -> Any:
        return [contract.MakeLimitsResponse(pixels=full(request)) for request in batch]

    def make_shaped(self, batch: Any) -> Any:
        return [contract.MakeShapedResponse(pixels=full(request)) for request in batch]

    def make_halves(self, batch: Any) -> Any:
        return [contract.MakeHalvesResponse(pixels=full(request, (2, 3, 224, 224), "float16")) for request in batch]
"""
TENSORS: dict[str, dict[str, Any]] = {
    "Bytes": {"type": "bytes", "min_length": 4 * 150_528, "max_length": 4 * 150_528},
    "Numbers": {"type": "float32", "shape": list(SHAPE)},
    "Limits": {"type": "float32", "shape": list(SHAPE), "minimum": 0, "maximum": 1},
    "Shaped": {"type": "float32", "shape": ["images", *SHAPE[1:]], "max_items": 1_000_000},
    "Halves": {"type": "float16", "shape": [2, *SHAPE[1:]]},
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("parts", nargs="*", choices=["decode", "tensors", []], default=[])
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    parts = options.parts or ["decode", "tensors"]
    with tempfile.TemporaryDirectory() as temporary:
        if "decode" in parts:
            decode(Path(temporary), options.rounds)
        if "tensors" in parts:
            tensors(Path(temporary), options.rounds)
    return 0


def decode(folder: Path, rounds: int) -> None:
    limits = {"minimum": 0, "maximum": 100}
    wide = {
        f"{count} doubles{', limits' if given else ''}": [{"type": "float64", **given}] * count
        for count in (30, 1000)
        for given in ({}, limits)
    }
    arrays = {
        f"float64[{count}]{', limits' if given else ''}": [{"type": "float64", "shape": [count], **given}]
        for count in (30, 1000)
        for given in ({}, limits)
    }
    print(
        f"{'a message with':20} {'decode':>8} {'parse':>8} {'ratio':>6} {'encode':>8} {'build':>8} {'ratio':>6}  (us)"
    )
    for number, (name, kinds) in enumerate((wide | arrays).items()):
        fields = [{"name": f"x{index}", "number": index + 1, **kind} for index, kind in enumerate(kinds)]
        times = timed(decoding(contract(folder, f"message_{number}", fields)), rounds)
        cells = []
        for ours, least in (("decode", "parse"), ("encode", "build")):
            ratio = statistics.median(a / b for a, b in zip(times[ours], times[least], strict=True))
            cells += [f"{min(times[ours]):8.2f} {min(times[least]):8.2f} {ratio:6.2f}"]
        print(f"{name:20} {' '.join(cells)}")


def contract(folder: Path, package: str, fields: list[dict[str, Any]]) -> ModuleType:
    """The contract module of a service whose requests and replies have these fields."""
    root = folder / package
    root.mkdir()
    message = {"fields": fields}
    methods = {"Predict": {"request": message, "response": message}}
    schema = {"package": f"{package}.v1", "service": "Prediction", "methods": methods}
    (root / "schema.yaml").write_text(json.dumps(schema), encoding="utf-8")
    generated_files.apply(generated_files.plan(root, package))
    sys.path.insert(0, str(root / "src"))
    return importlib.import_module(f"{package}.contract.v1")


def decoding(contract: ModuleType) -> dict[str, Callable[[], object]]:
    """The contract's decoding and encoding of a valid message, and what is the least for either."""
    generator = np.random.default_rng(0)
    sample = contract.decode_predict_response(contract.sample_predict_request())
    names = list(sample.__slots__)
    for name in names:
        value = getattr(sample, name)
        values = generator.uniform(1, 99, getattr(value, "shape", ()))
        setattr(sample, name, values if isinstance(value, np.ndarray) else float(values))
    data = contract.encode_predict_response(sample)
    assert contract.encode_predict_response(contract.decode_predict_response(data)) == data
    kind = contract.pb.PredictResponse
    parse, getter = kind.FromString, attrgetter(*names)
    if isinstance(sample.x0, np.ndarray):

        def least() -> object:
            return np.asarray(parse(data).x0)

        def build() -> object:
            return kind(x0=sample.x0.tolist()).SerializeToString()
    else:

        def least() -> object:
            return getter(parse(data))

        def build() -> object:
            message = kind()
            for name in names:
                setattr(message, name, getattr(sample, name))
            return message.SerializeToString()

    return {
        "decode": lambda: contract.decode_predict_request(data),
        "parse": least,
        "encode": lambda: contract.encode_predict_response(sample),
        "build": build,
    }


def timed(calls: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Microseconds of each call, several times in turns."""
    counts = {name: max(int(TIMED_SECONDS / timeit.timeit(call, number=3) * 3), 1) for name, call in calls.items()}
    times: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(10 * rounds):
        for name, call in calls.items():
            times[name].append(timeit.timeit(call, number=counts[name]) / counts[name] * 1e6)
    return times


def tensors(folder: Path, rounds: int) -> None:
    project = tensor_project(folder)
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    with ExitStack() as stack:
        by_hand = stack.enter_context(running(project, [str(BY_HAND)], cores[:1]))
        generated = stack.enter_context(running(project, ["-m", "tensors.server"], cores[:1]))
        if len(cores) > 1:
            os.sched_setaffinity(0, cores[1:])
        turns = {
            f"{kind}{name}": (Turn(by_hand, f"{kind}Bytes", project), Turn(generated, f"{kind}{name}", project))
            for kind in ("", "Make")
            for name in TENSORS
        }
        for pair in turns.values():
            for turn in pair:
                turn.run(WARM_UP_SECONDS)
        print(f"{'':12} {'requests/s':>10} {'by hand':>8} {'ratio':>6}   {'CPU us':>7} {'by hand':>8} {'ratio':>6}")
        for name, (hand, ours) in turns.items():
            for _ in range(rounds):
                hand.run(TURN_SECONDS)
                ours.run(TURN_SECONDS)
            rate = statistics.median(a / b for a, b in zip(ours.rates, hand.rates, strict=True))
            cost = statistics.median(a / b for a, b in zip(ours.costs, hand.costs, strict=True))
            print(
                f"{name:12} {statistics.median(ours.rates):10.0f} {statistics.median(hand.rates):8.0f} {rate:6.2f}   "
                f"{statistics.median(ours.costs):7.0f} {statistics.median(hand.costs):8.0f} {cost:6.2f}"
            )


def tensor_project(folder: Path) -> Project:
    """A project with a method for each tensor in requests, and one for each in replies."""
    value = {"name": "value", "number": 1, "type": "float32"}
    last = {"name": "last", "number": 1, "type": "float32"}
    methods = {}
    for name, kind in TENSORS.items():
        pixels = {"name": "pixels", "number": 1, **kind}
        methods[name] = {"request": {"fields": [pixels]}, "response": {"fields": [last]}}
        methods[f"Make{name}"] = {"request": {"fields": [value]}, "response": {"fields": [pixels]}}
    schema = {"package": "tensors.v1", "service": "PredictionService", "methods": methods}
    path = folder / "tensors.yaml"
    path.write_text(json.dumps(schema), encoding="utf-8")
    template = copy_template(folder / "protoserve")
    answers = {"project_name": "Tensors", "package": "tensors", "framework": "python", "schema": str(path)}
    project = create(template, folder / "tensors", **answers)
    project.python("train.py")
    (project.path / "src" / "tensors" / "model.py").write_text(MODEL, encoding="utf-8")
    return project


class Server:
    """A running server: its port, and the time that its process has taken."""

    def __init__(self, port: int, process: int) -> None:
        self.port, self._process = port, process

    def cpu_seconds(self) -> float:
        fields = Path(f"/proc/{self._process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(project: Project, command: list[str], cores: list[int]) -> Iterator[Server]:
    """A server process on these cores, once it serves."""
    environment = {**project.environment, "HOST": "127.0.0.1", "PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=project.path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        if cores:
            os.sched_setaffinity(process.pid, cores)
        assert process.stderr
        log = ""
        while "serving" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        yield Server(int(re.findall(r"port (\d+)", log)[-1]), process.pid)
    finally:
        process.terminate()
        process.communicate()


class Turn:
    """Calls of one method with one request, and what they cost."""

    def __init__(self, server: Server, method: str, project: Project) -> None:
        self._server, self._path = server, f"/tensors.v1.PredictionService/{method}"
        snake = re.sub(r"(?<!^)(?=[A-Z])", "_", method).lower()
        code = f"""
import sys
import numpy as np
from tensors import contract
dtype, count = ("float16", 2) if {method.endswith("Halves")} else ("float32", 1)
pixels = np.full((count, 3, 224, 224), 0.5, dtype)
if {method.endswith("Bytes")}:
    pixels = pixels.tobytes()
if {method.startswith("Make")}:
    request, reply = contract.{method}Request(value=0.5), contract.{method}Response(pixels=pixels)
else:
    request, reply = contract.{method}Request(pixels=pixels), contract.{method}Response(last=0.5)
data = contract.encode_{snake}_request(request)
sys.stdout.buffer.write(len(data).to_bytes(4, "big") + data + contract.encode_{snake}_response(reply))
"""
        command = [sys.executable, "-c", code]
        out = subprocess.run(command, env=project.environment, stdout=subprocess.PIPE, check=True).stdout
        size = int.from_bytes(out[:4], "big")
        self._request, self._reply = out[4 : 4 + size], out[4 + size :]
        self.rates: list[float] = []
        self.costs: list[float] = []

    def run(self, seconds: float) -> None:
        """Has several callers at once, and notes calls a second and the server's microseconds for each."""
        counts = [0] * IN_FLIGHT
        cpu, start = self._server.cpu_seconds(), time.perf_counter()

        def calls(caller: int) -> None:
            options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
            with grpc.insecure_channel(f"127.0.0.1:{self._server.port}", options=options) as channel:
                call = channel.unary_unary(self._path)
                while time.perf_counter() - start < seconds:
                    reply = call(self._request)
                    assert reply == self._reply, f"{self._path}: a reply of {len(reply)} bytes is wrong"
                    counts[caller] += 1

        callers = [threading.Thread(target=calls, args=(caller,)) for caller in range(IN_FLIGHT)]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
        assert all(counts), f"{self._path}: a call failed"
        self.rates.append(sum(counts) / (time.perf_counter() - start))
        self.costs.append((self._server.cpu_seconds() - cpu) / sum(counts) * 1e6)


if __name__ == "__main__":
    sys.exit(main())
