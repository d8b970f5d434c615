"""How long the generated server takes from its start to SERVING, against the least that any such server must do.

    python benchmarks/startup.py [ROUNDS]

The least is a script that imports grpc and the framework and loads the same artifact. Runs alternate. Prints the
medians and their ratio, wanted at most 1.2.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import Project, copy_template, create

LEAST = """\
import sys
import grpc
import numpy
import sklearn
import skops.io
skops.io.load("artifacts/model.skops")
print("serving", file=sys.stderr, flush=True)
"""


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as temporary:
        project = create(copy_template(Path(temporary) / "protoserve"), Path(temporary) / "iris")
        project.python("train.py")
        commands = {"least": ["-c", LEAST], "server": ["-m", "iris.server"]}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for command in commands.values():
            seconds(project, command)  # reads the files into memory, and compiles what is not compiled yet
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(seconds(project, command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:8} {value * 1000:6.0f} ms  (median of {rounds})")
    print(f"ratio {medians['server'] / medians['least']:.2f}, wanted at most 1.2")
    return 0


def seconds(project: Project, command: list[str]) -> float:
    """From the start of a process until it says that it serves; the server says so when health is SERVING."""
    environment = {**project.environment, "HOST": "127.0.0.1", "PORT": "0", "PYTHONDONTWRITEBYTECODE": ""}
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=project.path, env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr
        assert any("serving" in line for line in process.stderr)
        return time.perf_counter() - start
    finally:
        process.kill()
        process.communicate()


if __name__ == "__main__":
    sys.exit(main())
