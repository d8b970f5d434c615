"""Running servers of the zoo, and the command that verifies them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from support import ROOT, tool
from zoo.js import node_modules
from zoo.proto import stubs
from zoo.tls import certificates


def free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@contextmanager
def running(name: str, listens: bool = True) -> Iterator[int]:
    """The server `name` in a process of its own; gives its port once that is open, or at once where it stays shut."""
    port = free_port()
    path = os.pathsep.join([str(ROOT / "tests"), str(stubs())])
    environment = {**os.environ, "PYTHONPATH": path, "ZOO_CERTIFICATES": str(certificates())}
    if name.startswith("js-"):
        environment["NODE_PATH"] = str(node_modules())
    process = subprocess.Popen([sys.executable, "-m", "zoo", name, str(port)], env=environment)
    try:
        until = time.monotonic() + 30
        while listens and time.monotonic() < until and process.poll() is None:
            with closing(socket.socket()) as attempt:
                if attempt.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        assert process.poll() is None, f"{name} ended with {process.returncode}"
        yield port
    finally:
        process.kill()
        process.wait()


def verify(*arguments: str, timeout: float = 90) -> tuple[int, dict[str, Any]]:
    """The command's exit code, and its report as JSON; fails on any traceback."""
    command = [tool("protoserve"), "verify", *arguments, "--format", "json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False, timeout=timeout)
    assert "Traceback" not in done.stderr, done.stderr
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def found(report: dict[str, Any], verdict: str) -> dict[str, str]:
    """What the checks with this verdict say, by id."""
    return {
        check["id"]: " ".join((check["seen"], check["cause"], check["remedy"]))
        for check in report["checks"]
        if check["verdict"] == verdict
    }
