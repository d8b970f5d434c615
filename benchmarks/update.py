"""`protoserve update` and `protoserve status` against bare `copier update`, which does the same merge.

    .venv/bin/python benchmarks/update.py [RUNS]

A template of three releases, made from this checkout, and a project of the first that its author has worked in. In each
run the same update is made by both, in copies, and the status is asked, one after the other; the ratios are those of
the medians. The goals: `protoserve update` at most 1.2 times as long, whole commands; `status` at most 0.25 times, less
the start: of Copier importing itself (`copier --version`), and of Python importing the same Copier for the status.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from releases import Work, make_project, make_template  # noqa: E402

UPDATE, STATUS = 1.2, 0.25


def main(runs: int) -> int:
    times: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory(prefix="protoserve-benchmark-") as temporary:
        folder = Path(temporary)
        (folder / "home").mkdir()
        template = make_template(folder / "models")
        project = make_project(template, folder / "iris", "v1.0.0", folder / "home")
        project.edit(
            "src/iris/server/core/outcomes.py", "from enum import Enum, auto\n", "from enum import Enum, auto  # mine\n"
        )
        project.commit()
        project.status(check=False)  # fetches the recorded version into the cache, once for each user
        for run in range(runs):
            for name, command in commands().items():
                copy = folder / f"{run}-{name.replace(' ', '-')}"
                shutil.copytree(project.path, copy, symlinks=True)
                work = Work(copy, project.home)
                began = time.perf_counter()
                done = work.run(*command, check=False)
                times.setdefault(name, []).append(time.perf_counter() - began)
                assert done.returncode == (1 if name == "protoserve status" else 0), done.stderr
                shutil.rmtree(copy)
    median = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in median.items():
        print(f"{name:<28} {seconds:6.2f} s   ({', '.join(f'{value:.2f}' for value in times[name])})")
    update = median["protoserve update"] / median["copier update"]
    status = (median["protoserve status"] - median["python imports for status"]) / (
        median["copier update"] - median["copier --version"]
    )
    print(f"protoserve update / copier update: {update:.2f} (at most {UPDATE})")
    print(f"protoserve status / copier update, less the start: {status:.2f} (at most {STATUS})")
    return 0 if update <= UPDATE and status <= STATUS else 1


def commands() -> dict[str, list[str]]:
    imports = "import copier, rich.table, protoserve.project.status.command, protoserve.compat.project_comparison"
    return {
        "copier update": ["copier", "update", "--trust", "--defaults"],
        "protoserve update": ["protoserve", "update"],
        "protoserve status": ["protoserve", "status"],
        "copier --version": ["copier", "--version"],
        "python imports for status": [sys.executable, "-c", imports],
    }


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
