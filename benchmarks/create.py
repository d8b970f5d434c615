"""How long creating a project takes, against a bare `copier copy` of as many static files, in one run.

    python benchmarks/create.py [ROUNDS]

Both are processes that start at nothing: Copier is imported, the template is a git repository with a tag, the answers
are given. Prints the medians and their ratio, which the project wants at most 1.5.
"""

from __future__ import annotations

import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support import copy_template, run, tool


def main() -> int:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        ours = release(copy_template(folder / "protoserve"))
        seconds(ours, folder / "first")
        static = folder / "static"
        shutil.copytree(folder / "first", static, ignore=shutil.ignore_patterns(".copier-answers.yml"))
        count = sum(path.is_file() for path in static.rglob("*"))
        release(static)
        times: dict[str, list[float]] = {"protoserve": [], "static": []}
        for index in range(rounds):
            times["static"].append(seconds(static, folder / f"static-{index}"))
            times["protoserve"].append(seconds(ours, folder / f"ours-{index}"))
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, value in medians.items():
        print(f"{name:12} {value * 1000:7.0f} ms  (median of {rounds})")
    print(f"{count} files; ratio {medians['protoserve'] / medians['static']:.2f}, wanted at most 1.5")
    return 0


def release(folder: Path) -> Path:
    """The folder as a git repository with a tag, as a team would publish its template."""
    identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@example.org"]
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=1"], ["tag", "v1.0.0"]):
        run(["git", *identity, *command], cwd=folder)
    return folder


def seconds(template: Path, dest: Path) -> float:
    start = time.perf_counter()
    command = [tool("copier"), "copy", "--trust", "--defaults", "--quiet", str(template), str(dest)]
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main())
