"""`protoserve verify -- COMMAND`: a server that the run starts, watches from its first moment, and stops."""

from __future__ import annotations

import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from protoserve.verify.address import UsageError
from support import ROOT, tool
from zoo.process import checks_with, free_port, verify, verify_here
from zoo.proto import PROTO, stubs

CONTRACT = ("--proto", str(PROTO))
PYTHON = sys.executable


@pytest.fixture(autouse=True)
def path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "tests"), str(stubs())]))


def script(text: str) -> tuple[str, ...]:
    return "--", PYTHON, "-c", text


def started(what: str) -> tuple[str, ...]:
    return "--", PYTHON, "-m", "zoo.started", what


def fails(report: dict[str, Any]) -> tuple[str, str]:
    """The only check that fails, and its text."""
    ((name, text),) = checks_with(report, "fail").items()
    return name, text


def test_its_start_and_its_end_are_judged() -> None:
    code, report = verify_here(*CONTRACT, "--only", "shutdown,health-serving", *started("honest"))
    passes = checks_with(report, "pass")
    assert code == 0, report["checks"]
    assert "health said NOT_SERVING until" in passes["implemented"]
    assert "NOT_SERVING after" in passes["shutdown"]
    assert report["target"] == shlex.join(started("honest")[1:])


def test_serving_before_the_model_is_loaded_is_seen() -> None:
    _, report = verify_here(*CONTRACT, "--only", "health-honest", *started("early"))
    name, text = fails(report)
    assert name == "health-honest"
    assert "still loading" in text


def test_what_it_prints_explains_why_it_ended_and_is_bounded() -> None:
    text = "import sys; print('x' * 30_000_000); print('no model in /models', file=sys.stderr); sys.exit(7)"
    code, report = verify_here(*CONTRACT, *script(text))
    name, seen = fails(report)
    assert (code, name) == (1, "reachable")
    assert "before it listened: exit code 7" in seen
    assert "no model in /models" in seen
    assert len(seen) < 2000


@pytest.mark.parametrize("serves", [True, False])
def test_another_port_than_the_given_one_is_named(serves: bool) -> None:
    """Soon if it serves there; at the end of --timeout if it only listens."""
    port = free_port()
    text = f"import socket, time; listening = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    command = script(text)
    if serves:
        command = "--", "sh", "-c", f"setsid {PYTHON} -m zoo sync {port} & wait"  # in a session of its own
    _, report = verify_here(*CONTRACT, *([] if serves else ["--timeout", "1"]), *command)
    name, seen = fails(report)
    assert name == "reachable"
    assert f":{port}, and not on port " in seen
    assert f"protoserve verify --port {port} ... -- {shlex.join(command[1:3])}" in seen
    assert report["seconds"] < 15
    with socket.socket() as attempt:
        assert attempt.connect_ex(("127.0.0.1", port)), "it is left"


def test_the_port_is_in_its_arguments_and_nothing_of_it_is_left(tmp_path: Path) -> None:
    """The server takes no notice of SIGTERM, and has a child."""
    text = (
        "import os, signal, socket, subprocess, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen(['sleep', '600'])\n"
        "open(sys.argv[2], 'w').write(f'{os.getpid()} {child.pid}')\n"
        "assert sys.argv[1] == os.environ['PORT'] + '/'\n"
        "socket.create_server(('127.0.0.1', int(os.environ['PORT']))).accept()[0].send(b'HTTP/1.0 200 OK')\n"
        "time.sleep(600)"
    )
    _, report = verify_here(*CONTRACT, *script(text), "{port}/", str(tmp_path / "pids"))
    name, seen = fails(report)
    assert name == "reachable", seen
    assert "This is an HTTP/1 server" in seen
    for pid in (tmp_path / "pids").read_text(encoding="utf-8").split():
        assert ended(int(pid))


def ended(pid: int) -> bool:
    """Whether the process is gone, or will be as soon as its parent notices."""
    try:
        return " Z " in Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    except (FileNotFoundError, ProcessLookupError):
        return True


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--", "/no/such/command"), "/no/such/command: the command cannot be run: No such file"),
        (("--", "/tmp"), "Permission denied"),
        (("--", "a\0b"), "cannot be run: embedded null byte"),
        (("127.0.0.1:1", "--", "true"), "a target of its own"),
        (("--image", "x", "--", "true"), "a target of its own"),
        (("--",), "say what to verify"),
    ],
)
def test_what_cannot_be_run(arguments: tuple[str, ...], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        verify_here(*arguments)


def test_a_port_that_is_taken_is_not_judged_in_its_place() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UsageError, match=f"--port {port}: something already listens there"):
            verify_here("--port", str(port), "--", "true")


@pytest.mark.slow
def test_a_shell_that_does_not_pass_the_signal_on() -> None:
    _, report = verify(*CONTRACT, "--only", "shutdown", "--", "sh", "-c", f"{shlex.join(started('honest')[1:])}; true")
    name, text = fails(report)
    assert name == "shutdown"
    assert "`exec python server.py`" in text


@pytest.mark.slow
@pytest.mark.parametrize("alone", [True, False], ids=["http", "both"])
def test_the_http_side_of_vertex_is_watched_from_the_start(alone: bool) -> None:
    both = "import os, threading, zoo.tables, zoo.http, zoo\n"
    if not alone:
        both += "import subprocess, sys\nsubprocess.Popen([sys.executable, '-m', 'zoo.started', 'honest'])\n"
    text = f"{both}zoo.SERVERS['http-slow-start'](int(os.environ['AIP_HTTP_PORT']))"
    code, report = verify_here(*CONTRACT, "--platform", "vertex", "--skip", "shutdown", *script(text))
    assert code == 0, report["checks"]
    assert {"http-health", "http-predict"} <= checks_with(report, "pass").keys()
    assert ("implemented" in checks_with(report, "pass")) is not alone


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_ends_it(number: signal.Signals, tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    text = "import os, sys, time; open(sys.argv[1], 'w').write(str(os.getpid())); time.sleep(600)"
    command = [tool("protoserve"), "verify", *CONTRACT, *script(text), str(pids)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        until = time.monotonic() + 30
        while not (pids.exists() and pids.read_text(encoding="utf-8")) and time.monotonic() < until:
            time.sleep(0.05)
        run.send_signal(number)
        out, errors = run.communicate(timeout=30)
    assert run.returncode == 1
    assert "interrupted" in out
    assert "Traceback" not in errors
    assert ended(int(pids.read_text(encoding="utf-8")))
