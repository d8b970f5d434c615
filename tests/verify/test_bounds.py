"""Servers that send without end, or more than fits: bounded in time and memory, and with a sentence that says so."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from protoserve.verify.targets.docker import Docker
from zoo import tables
from zoo.process import running, verify_here
from zoo.proto import PROTO

__all__ = ["tables"]  # which brings in the servers of the other tables
MOST_MIB = 400
PROMISED_SECONDS = 62


@dataclass(frozen=True)
class Case:
    """What the check `id` says of the server `name`: its verdict, and words. `options` are of the command."""

    name: str
    id: str
    verdict: str
    words: str
    options: tuple[str, ...] = ("--proto", str(PROTO))


WITHOUT_PROTO = ("--timeout", "2")
CASES = (
    Case("huge-reply", "serialization", "fail", "more than 16 MiB"),
    Case("gzip-bomb", "serialization", "fail", "more than 16 MiB"),
    Case("many-items", "serialization", "warn", "more than 300000 fields and items"),
    Case("huge-error", "serialization", "fail", "more metadata than gRPC's clients accept"),
    Case("huge-reflection", "implemented", "skip", "reflection sends too much", WITHOUT_PROTO),
    Case("files-that-import-each-other", "implemented", "skip", "does not describe it", WITHOUT_PROTO),
    Case("ping-flood", "reachable", "fail", "answers no call", ("--timeout", "2")),
    Case("a-byte-at-a-time", "reachable", "fail", "not HTTP/2", ("--timeout", "2")),
    Case("http-endless-body", "http-predict", "fail", "more than 8 MiB", ("--proto", str(PROTO), "--timeout", "2")),
)


def judge(case: Case) -> tuple[int, list[dict[str, str]], float]:
    """The exit code, what the checks say, and the seconds of the run."""
    with running(case.name) as port:
        address = f"127.0.0.1:{port}"
        target = ("--http", address, "--platform", "vertex") if case.name.startswith("http") else (address,)
        code, report = verify_here(*target, *case.options)
    return code, report["checks"], report["seconds"]


@pytest.fixture(scope="module")
def judged() -> Iterator[dict[Case, Future[tuple[int, list[dict[str, str]], float]]]]:
    """All of them side by side: they wait more than they compute."""
    with ThreadPoolExecutor(len(CASES)) as pool:
        yield {case: pool.submit(judge, case) for case in CASES}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_a_server_sends_is_bounded(
    case: Case, judged: dict[Case, Future[tuple[int, list[dict[str, str]], float]]]
) -> None:
    code, checks, seconds = judged[case].result()
    found = next(check for check in checks if check["id"] == case.id)
    assert (found["verdict"], code) == (case.verdict, {"fail": 1, "warn": 0, "skip": 3}[case.verdict]), checks
    assert case.words in " ".join((found["seen"], found["cause"])), found
    assert not any("crashed" in check["seen"] for check in checks), checks
    assert seconds < PROMISED_SECONDS


# Prints the most memory that its only child process held, in KiB. A process inherits this figure from the one that
# starts it, and a process of the tests may have held more.
MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[2:], stdout=open(sys.argv[1], "wb"), stderr=subprocess.STDOUT, check=False)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["huge-reply", "many-items"])
def test_the_process_stays_small(name: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    with running(name) as port:
        command = [sys.executable, "-m", "protoserve", "verify", f"127.0.0.1:{port}", "--proto", str(PROTO)]
        started = time.monotonic()
        measured = subprocess.run(
            [sys.executable, "-c", MEASURE, str(out), *command], capture_output=True, text=True, check=True
        )
    assert time.monotonic() - started < PROMISED_SECONDS
    assert int(measured.stdout) / 1024 < MOST_MIB
    assert "Traceback" not in out.read_text(encoding="utf-8")


def test_what_a_container_has_logged_is_bounded(tmp_path: Path) -> None:
    engine = tmp_path / "docker"
    engine.write_text("#!/bin/sh\nhead -c 40000000 /dev/zero | tr '\\0' x\necho end\n", encoding="utf-8")
    engine.chmod(0o755)
    text = Docker(str(engine))("logs", "container")
    assert len(text) <= 4 << 20
    assert text.endswith("xend")
