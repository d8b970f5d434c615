"""What threads cost in a container with a CPU limit, and what the server's own setting of their number saves.

    python benchmarks/cpu_limit.py [--threads N] [--seconds N] [--cpus LIMIT ...]

Runs the same matrix product, of numpy's OpenBLAS, again and again in containers with `docker run --cpus`: once with as
many threads as the library starts by itself, once as the server does it (`server/cpu_limit.py`, from the template).
Prints calls a second, the median and the slowest of a hundred calls, and from `cpu.stat` in how many periods of 0.1 s
the kernel stopped the container.

By itself the library starts a thread for each CPU of the machine. On a machine with few, `--threads` stands in for one
with more: their number is set as OPENBLAS_NUM_THREADS, and the threads share the CPUs that are there.

Needs a Docker engine with BuildKit, the base image and a package index; DOCKER names the command.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

DOCKER = os.environ.get("DOCKER", "docker")
BASE = "python:3.12-slim"
IMAGE = "protoserve-cpu-limit"
LIMITS = (2.0, 1.0, 0.5)
TEMPLATE = Path(__file__).resolve().parents[1] / "template"
CPU_LIMIT = TEMPLATE / "src" / "{{package}}" / "server" / "cpu_limit.py"

DOCKERFILE = f"""\
FROM {BASE}
RUN pip install --no-cache-dir numpy
COPY cpu_limit.py calls.py ./
ENTRYPOINT ["python", "calls.py"]
"""
CALLS = """
import json, os, sys, time
from pathlib import Path

from cpu_limit import limit_threads

seconds, follows = float(sys.argv[1]), sys.argv[2] == "follows"
text = limit_threads(os.environ) if follows else ""

import numpy as np

def stat():
    for path in ("/sys/fs/cgroup/cpu.stat", "/sys/fs/cgroup/cpu/cpu.stat"):
        if Path(path).exists():
            values = dict(line.split() for line in Path(path).read_text().splitlines())
            return int(values.get("nr_periods", 0)), int(values.get("nr_throttled", 0))
    return 0, 0

rows, weights = np.ones((64, 1024), np.float32), np.ones((1024, 1024), np.float32)
end = time.perf_counter() + 1
while time.perf_counter() < end:
    rows @ weights
before, times, start = stat(), [], time.perf_counter()
while time.perf_counter() < start + seconds:
    begin = time.perf_counter()
    assert (rows @ weights)[0, 0] == 1024
    times.append(time.perf_counter() - begin)
after = stat()
times.sort()
print(json.dumps({
    "threads": text.partition(",")[0] or "each CPU",
    "rate": len(times) / (time.perf_counter() - start),
    "median": times[len(times) // 2] * 1e3,
    "slow": times[len(times) * 99 // 100] * 1e3,
    "periods": after[0] - before[0],
    "throttled": after[1] - before[1],
}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--threads", type=int, help="stands in for a machine with so many CPUs")
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--cpus", type=float, nargs="+", default=LIMITS)
    options = parser.parse_args()
    build()
    print(f"{'--cpus':>6} {'threads':18} {'calls/s':>8} {'median ms':>9} {'99 % ms':>8} {'stopped in':>16}")
    try:
        for limit in options.cpus:
            for follows in (False, True):
                measured = run(limit, options.seconds, options.threads, follows=follows)
                stopped = f"{measured['throttled']} of {measured['periods']}"
                print(
                    f"{limit:6g} {measured['threads'] if follows else options.threads or 'each CPU':18} "
                    f"{measured['rate']:8.0f} {measured['median']:9.2f} {measured['slow']:8.2f} {stopped:>16}"
                )
    finally:
        docker("image", "rm", "--force", IMAGE)
    return 0


def build() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "Dockerfile").write_text(DOCKERFILE, encoding="utf-8")
        (folder / "calls.py").write_text(CALLS, encoding="utf-8")
        (folder / "cpu_limit.py").write_text(CPU_LIMIT.read_text(encoding="utf-8"), encoding="utf-8")
        docker("build", "--quiet", "--tag", IMAGE, str(folder))


def run(limit: float, seconds: float, threads: int | None, *, follows: bool) -> dict[str, float]:
    """What a container with this limit measured."""
    stand_in = [] if threads is None or follows else ["--env", f"OPENBLAS_NUM_THREADS={threads}"]
    container = ["run", "--rm", "--cpus", str(limit), *stand_in, IMAGE, str(seconds), "follows" if follows else "as is"]
    measured: dict[str, float] = json.loads(docker(*container))
    return measured


def docker(*arguments: str) -> str:
    environment = {**os.environ, "DOCKER_BUILDKIT": "1"}
    done = subprocess.run([DOCKER, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{DOCKER} {arguments[0]} failed:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    sys.exit(main())
