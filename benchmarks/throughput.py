"""Requests a second through the generated server, against a server written by hand, one request at a time.

    python benchmarks/throughput.py [ROUNDS]

Both serve the default project's scikit-learn model (benchmarks/by_hand.py says what the other one does), and both run
all the time. A round is half a second of each, so that what else the machine does slows both alike. Prints the medians
of their rates and of the rounds' ratios, which is wanted at least 0.9.
"""

from __future__ import annotations

import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import Project, copy_template, create

BY_HAND = Path(__file__).resolve().parent / "by_hand.py"
METHOD = "/iris.v1.PredictionService/Predict"
WARM_UP_SECONDS, TURN_SECONDS = 1.0, 0.5


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 25
    with tempfile.TemporaryDirectory() as temporary, ExitStack() as stack:
        project = create(copy_template(Path(temporary) / "protoserve"), Path(temporary) / "iris")
        project.python("train.py")
        request = eval(project.python("-c", "from iris import contract; print(contract.METHODS[0].sample())").stdout)
        servers = {
            "by hand": stack.enter_context(running(project, [str(BY_HAND)])),
            "generated": stack.enter_context(running(project, ["-m", "iris.server"])),
        }
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for port in servers.values():
            rate(port, request, WARM_UP_SECONDS)
        for _ in range(rounds):
            for name, port in servers.items():
                rates[name].append(rate(port, request, TURN_SECONDS))
    for name, values in rates.items():
        print(f"{name:10} {statistics.median(values):6.0f} requests/s  (median of {rounds} rounds)")
    ratio = statistics.median(ours / hand for ours, hand in zip(rates["generated"], rates["by hand"], strict=True))
    print(f"ratio {ratio:.2f}, wanted at least 0.9")
    return 0


@contextmanager
def running(project: Project, command: list[str]) -> Iterator[int]:
    """A server process; gives its port once it serves."""
    environment = {**project.environment, "HOST": "127.0.0.1", "PORT": "0"}
    process = subprocess.Popen(
        [sys.executable, *command], cwd=project.path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        log = ""
        while "serving" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        yield int(re.findall(r"port (\d+)", log)[-1])
    finally:
        process.terminate()
        process.communicate()


def rate(port: int, request: bytes, seconds: float) -> float:
    """Requests a second of one caller, who waits for each reply before the next request."""
    count, start = 0, time.perf_counter()
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
        call = channel.unary_unary(METHOD)
        while (elapsed := time.perf_counter() - start) < seconds:
            call(request)
            count += 1
    return count / elapsed


if __name__ == "__main__":
    sys.exit(main())
