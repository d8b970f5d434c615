"""Processes that copy themselves for each request: what they answer, and how they end."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from protoserve.fleet.workers import TooLongError, Worker, WorkerError, run_alone
from support import ROOT

HANDLER = """
import os, signal, subprocess, sys, time
count = 0

def prepare():
    return answer

def answer(argument):
    global count
    count += 1
    if argument == "sleep":
        print(subprocess.Popen(["sleep", "100"]).pid, flush=True)
        time.sleep(100)
    if argument == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if argument == "raise":
        raise ValueError("no")
    print(argument, count, sys.stdin.read())
    print("aside", file=sys.stderr)
    return 3
"""


@pytest.fixture
def worker(tmp_path: Path) -> Iterator[Worker]:
    (tmp_path / "handler.py").write_text(HANDLER, encoding="utf-8")
    with Worker(tmp_path, "handler:prepare") as made:
        yield made


def test_each_request_has_a_process_of_its_own(worker: Worker) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda number: worker.run(number, 30), range(8)))
    assert [(answer.code, answer.stdout, answer.stderr) for answer in answers] == [
        (3, f"{number} 1 \n", "aside\n") for number in range(8)
    ]
    assert worker.run("kill", 30).code == -9
    failed = worker.run("raise", 30)
    assert failed.code == 70
    assert failed.stderr.endswith("ValueError: no\n")


def test_a_request_that_takes_too_long_is_ended_with_what_it_started(worker: Worker, tmp_path: Path) -> None:
    with pytest.raises(TooLongError, match="not done within 1 seconds"):
        worker.run("sleep", 1)
    assert worker.run("next", 30).stdout == "next 1 \n"
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(worker.run, "sleep", 30)
        while not waiting.running():
            time.sleep(0.01)
        worker.close()
        with pytest.raises(WorkerError, match="has ended"):
            waiting.result(10)
    assert not list(_children_named("sleep"))


def _children_named(name: str) -> Iterator[int]:
    """The processes of this name that were left by workers of this process: they have its environment."""
    for entry in Path("/proc").iterdir() if Path("/proc/self").exists() else ():
        with suppress(OSError):
            mine = entry.stat().st_uid == os.getuid() and (entry / "comm").read_text().strip() == name
            if mine and f"PYTEST_CURRENT_TEST={os.environ['PYTEST_CURRENT_TEST']}" in (entry / "environ").read_text():
                yield int(entry.name)


def test_a_worker_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "handler.py").write_text("raise ImportError('it needs more')", encoding="utf-8")
    with pytest.raises(WorkerError, match="cannot be imported: ImportError: it needs more"):
        Worker(tmp_path, "handler:prepare")
    (tmp_path / "handler.py").write_text(HANDLER, encoding="utf-8")
    assert run_alone(tmp_path, "handler:prepare", "alone", 30).stdout == "alone 1 \n"


def test_the_generator_of_this_version_can_be_a_worker() -> None:
    with Worker(ROOT / "generator", "run.py") as generator:
        assert generator.run(["generate", "--help"], 60).code == 0
