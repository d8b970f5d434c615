"""Runs servers of the zoo, and the command that verifies them."""

from __future__ import annotations

import argparse
import atexit
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

from commands import protoserve
from protoserve.verify import command, options
from protoserve.verify.output import as_json
from support import ROOT
from zoo.js import node_modules
from zoo.proto import stubs
from zoo.tls import certificates


def free_port() -> int:
    with closing(socket.socket()) as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def running(name: str, listens: bool = True) -> Iterator[int]:
    """Runs the server `name` in a process of its own; yields its port once it is open, or at once if it never opens."""
    if name.startswith("js-"):
        node_modules()  # which takes longer than a server may take to start
    port = free_port()
    pid = _fork(name, port)
    try:
        until = time.monotonic() + 30
        while listens and time.monotonic() < until and _runs(pid):
            with closing(socket.socket()) as attempt:
                connected = attempt.connect_ex(("127.0.0.1", port)) == 0
                if connected and attempt.getsockname() != attempt.getpeername():  # not with itself
                    break
            time.sleep(0.02)
        assert _runs(pid), f"{name} has ended"
        yield port
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        while _runs(pid):
            time.sleep(0.002)


_FORKING = threading.Lock()


def _fork(name: str, port: int) -> int:
    """Starts a server; tests that run side by side take turns. The process id."""
    with _FORKING:
        forks = _forks()
        assert forks.stdin is not None
        assert forks.stdout is not None
        print(name, port, file=forks.stdin, flush=True)
        return int(forks.stdout.readline())


@functools.cache
def _forks() -> subprocess.Popen[str]:
    """The process that forks servers: it has imported them all."""
    path = os.pathsep.join([str(ROOT / "tests"), str(stubs())])
    environment = {**os.environ, "PYTHONPATH": path, "ZOO_CERTIFICATES": str(certificates())}
    pipe = subprocess.PIPE
    forks = subprocess.Popen([sys.executable, "-m", "zoo"], env=environment, stdin=pipe, stdout=pipe, text=True)
    atexit.register(forks.kill)
    return forks


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def verify_here(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The result of `verify` without a process of its own, whose start takes longer than most checks."""
    parser = argparse.ArgumentParser()
    options.add_arguments(parser)
    words, server_command = options.split_command(arguments)
    parsed = parser.parse_args([*words, "--format", "json"])
    parsed.server_command = server_command
    report = command.verify(parsed)
    return report.exit_code, json.loads(as_json.dumps(as_json.whole(report)))


def verify(*arguments: str) -> tuple[int, dict[str, Any]]:
    """The command's exit code, and its report as JSON; fails on any traceback."""
    done = protoserve("verify", "--format", "json", *arguments, cwd=Path.cwd(), check=False)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def checks_with(report: dict[str, Any], verdict: str) -> dict[str, str]:
    """The texts of the checks with this verdict, by id."""
    return {
        check["id"]: " ".join((check["seen"], check["cause"], check["remedy"]))
        for check in report["checks"]
        if check["verdict"] == verdict
    }


def assert_passes(project: str | os.PathLike[str]) -> dict[str, Any]:
    """Verifies a generated project, which must pass without a warning; the report."""
    code, report = verify(os.fspath(project))
    assert not {**checks_with(report, "fail"), **checks_with(report, "warn")}, report["checks"]
    assert code == 0
    passed = checks_with(report, "pass")
    expected = {"reachable", "implemented", "serialization", "health-service", "health-serving", "health-honest"}
    assert expected | {"shutdown"} <= passed.keys(), report["checks"]
    assert "NOT_SERVING after" in passed["shutdown"]
    assert "none lost" in passed["shutdown"]
    return report
