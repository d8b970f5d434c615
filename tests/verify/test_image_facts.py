"""What is read of an image, of a container's sockets, and of the last words of a server; no engine is needed."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from protoserve.verify.address import UsageError
from protoserve.verify.targets import image, sockets
from protoserve.verify.targets.crash_causes import crash_cause
from protoserve.verify.targets.docker import Docker

# From /proc/net/tcp and tcp6 of a container on x86-64: listening, and one connection that is established (01).
TCP = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 708341 1 0 100 0 0 10 0
   1: 00000000:2329 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 708342 1 0 100 0 0 10 0
   2: 020011AC:2329 010011AC:D431 01 00000000:00000000 00:00000000 00000000     0        0 708343 1 0 100 0 0 10 0
"""
TCP6 = """\
  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when
   0: 00000000000000000000000000000000:C383 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   1: 00000000000000000000000001000000:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
   2: 0000000000000000FFFF00000100007F:1F92 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000
"""


def test_listening_sockets() -> None:
    found = [(str(host), port, host.is_loopback) for host, port in sockets.in_table(TCP)]
    assert found == [("127.0.0.1", 8080, True), ("0.0.0.0", 9001, False)]
    found = [(str(host), port, host.is_loopback) for host, port in sockets.in_table(TCP6)]
    assert found == [("::", 50051, False), ("::1", 8081, True), ("127.0.0.1", 8082, True)]


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("exit code 137, OOMKilled (out of memory)", "more memory than"),
        ("exit code 1\nMemoryError: Unable to allocate 7.45 GiB for an array", "more memory than"),
        ("exit code 137\nloading", "SIGKILL"),
        ("exit code 1\nexec /x: exec format error", "another architecture"),
        ("exit code 1\nOSError: [Errno 30] Read-only file system: '/app/cache'", "read-only"),
        ("exit code 1\nError: EROFS: read-only file system, open '/app/log'", "read-only"),
        ("exit code 1\nopen /var/log/x: read-only file system", "read-only"),
        ('the engine cannot start it: exec: "nosuch": executable file not found in $PATH', "does not exist"),
        ("the engine cannot start it: No command specified", "neither CMD nor ENTRYPOINT"),
        ("exit code 1\nPermissionError: [Errno 13] Permission denied: 'model.onnx'", "may not do"),
        ("exit code 1\nModuleNotFoundError: No module named 'catboost'", "not installed"),
        ("exit code 127\nlibgomp.so.1: cannot open shared object file: No such file or directory", "not installed"),
        ("exit code 1\nError: Cannot find module '@grpc/grpc-js'", "not installed"),
        ("exit code 1\nRuntimeError: Failed to bind to address [::]:9000", "cannot bind"),
        ("exit code 1\nError: listen EADDRINUSE: address already in use :::9000", "cannot bind"),
        ("exit code 0\ntrained", "reached its end"),
        ("exit code 1\nValueError: no model", "crashed"),
        ("exit code 10\nValueError", "crashed"),
    ],
)
def test_why_a_server_ended(told: str, words: str) -> None:
    cause, remedy = crash_cause(told)
    assert words in cause
    assert remedy


def config(**given: object) -> image.Image:
    ports = given.pop("ports", ())
    return image.Image("x", "linux/amd64", "10001", tuple(ports), 1)  # type: ignore[arg-type]


def test_ports_that_may_speak_grpc() -> None:
    first, *others = image._candidates("generic", config(ports=(8080, 9000)), None)
    assert 20000 <= first < 30000
    assert others == [8080, 9000]
    assert image._candidates("generic", config(ports=(8080,)), 50051) == [50051]
    assert image._candidates("kubernetes", config(ports=(8080, 9000)), None) == [8080, 9000]
    assert image._candidates("vertex", config(ports=(8080, 9000)), None) == [9000, 8080]
    assert image._candidates("vertex", config(), 50051) == [50051, 8080]
    with pytest.raises(UsageError, match="--port N"):
        image._candidates("kubernetes", config(), None)


def engine(folder: Path, output: object, error: str = "") -> Docker:
    """A command that always says the same."""
    script = folder / "docker"
    body = f"echo '{error}' >&2; exit 1" if error else f"echo '{json.dumps(output)}'"
    script.write_text(f"#!/bin/sh\n{body}\n", encoding="utf-8")
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return Docker(str(script))


def test_an_image_as_the_engine_tells_it(tmp_path: Path) -> None:
    ports = {"9000/tcp": {}, "8080/tcp": {}, "53/udp": {}}
    told = {"Os": "linux", "Architecture": "arm64", "Size": 12, "Config": {"User": "1:2", "ExposedPorts": ports}}
    found = image.inspect(engine(tmp_path, [told]), "x")
    assert found == image.Image("x", "linux/arm64", "1", (8080, 9000), 12)
    bare = image.inspect(engine(tmp_path, [{"Os": "linux", "Architecture": "amd64", "Config": None}]), "x")
    assert bare == image.Image("x", "linux/amd64", "", (), 0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("Error: No such image: x", "pull x"),
        ("Error: No such object: x", "pull x"),
        ("Error: inspecting object: x: image not known", "pull x"),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "start the engine"),
        ("invalid reference format", "cannot inspect the image"),
    ],
)
def test_no_image_and_no_engine(tmp_path: Path, error: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        image.inspect(engine(tmp_path, None, error), "x")
