"""How long the generated server takes from its start to SERVING, against the least that any such server must do.

    python benchmarks/startup.py [ROUNDS]

The least is a script that imports grpc and the framework and loads the same artifact. Runs alternate. Prints the
medians, and those of the ratios and differences of the rounds. A ratio of at most 1.2 is wanted for scikit-learn, the
default. ONNX Runtime is imported so quickly that the contract's own imports, protobuf above all, count for more.
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

LEAST = {
    "sklearn": """
import sys, grpc, numpy, sklearn, skops.io
skops.io.load("artifacts/model.skops")
print("serving", file=sys.stderr, flush=True)
""",
    "onnx": """
import sys, grpc, numpy, onnxruntime
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
onnxruntime.InferenceSession("artifacts/model.onnx", options, providers=["CPUExecutionProvider"])
print("serving", file=sys.stderr, flush=True)
""",
}


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as temporary:
        template = copy_template(Path(temporary) / "protoserve")
        for framework, least in LEAST.items():
            project = create(template, Path(temporary) / framework, framework=framework)
            project.python("train.py")
            measure(project, framework, {"least": ["-c", least], "server": ["-m", "iris.server"]}, rounds)
    return 0


def measure(project: Project, framework: str, commands: dict[str, list[str]], rounds: int) -> None:
    times: dict[str, list[float]] = {name: [] for name in commands}
    for command in commands.values():
        seconds(project, command)  # reads the files into memory, and compiles what is not compiled yet
    for _ in range(rounds):
        for name, command in commands.items():
            times[name].append(seconds(project, command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{framework:8} {name:8} {value * 1000:6.0f} ms  (median of {rounds})")
    ratio = statistics.median(ours / least for ours, least in zip(times["server"], times["least"], strict=True))
    more = statistics.median(ours - least for ours, least in zip(times["server"], times["least"], strict=True))
    print(f"{framework:8} ratio {ratio:.2f}, {more * 1000:.0f} ms more", flush=True)


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
