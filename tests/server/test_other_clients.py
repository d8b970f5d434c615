"""Clients that share no code with gRPC for Python: @grpc/grpc-js, curl and nghttp."""

from __future__ import annotations

import json
import os
import re
import shutil
import struct
import subprocess
from pathlib import Path
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2

from serving import SERVICE, Probe, Server, serving
from support import run

pytestmark = [pytest.mark.each_transport, pytest.mark.slow]

GRPC_JS = "@grpc/grpc-js@1.14.4"
PREDICT, COUNT = f"/{SERVICE}/Predict", f"/{SERVICE}/Count"
CHECK = "/grpc.health.v1.Health/Check"
IS_SERVING = b"\x08\x01"


def program(name: str) -> str:
    """The path of a program; skips the test without it, and fails where PROTOSERVE_CLIENTS says `required`."""
    path = shutil.which(name)
    if path is None:
        assert os.environ.get("PROTOSERVE_CLIENTS") != "required", f"{name} is not installed"
        pytest.skip(f"{name} is not installed")
    return path


@pytest.fixture(scope="module")
def grpc_js(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client, in a folder in which its package is installed."""
    folder = tmp_path_factory.mktemp("grpc-js")
    npm = program("npm")
    run([npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", GRPC_JS], cwd=folder)
    return Path(shutil.copy(Path(__file__).with_name("grpc_js_client.js"), folder))


def predict(probe: Probe, value: float, mode: str = "plain") -> bytes:
    return bytes(probe.messages["PredictRequest"](value=value, mode=mode).SerializeToString())


def count(probe: Probe, until: int) -> bytes:
    return bytes(probe.messages["CountRequest"](until=until, mode="plain").SerializeToString())


def test_grpc_for_javascript(probe: Probe, grpc_js: Path) -> None:
    requests: dict[str, Any] = {
        "predict": predict(probe, 2).hex(),
        "invalid": predict(probe, -1).hex(),
        "slow": predict(probe, 3, "wait").hex(),
        "count": count(probe, 500).hex(),
        "endless": count(probe, 10**6).hex(),
        "paths": {"predict": PREDICT, "count": COUNT},
    }
    with serving(probe) as server:
        command = [program("node"), str(grpc_js), str(server.port)]
        done = subprocess.run(
            command, input=json.dumps(requests), capture_output=True, text=True, timeout=100, check=True
        )
        seen = json.loads(done.stdout)
        server.release()
        assert server.predict(4).result == 8  # what was given up holds nothing up
        server.told.wait(lambda line: line == {"closed": "plain"}, count=3)  # the warm-up's stream, and these two
        server.terminate()
        assert server.ended() == 0
    for name in ("unary", "gzip"):
        reply = probe.messages["PredictResponse"].FromString(bytes.fromhex(seen[name]["reply"]))
        assert reply.result == 4
    assert (seen["stream"]["replies"], seen["stream"]["code"]) == (500, "OK")
    assert seen["cancelled_stream"]["code"] == "CANCELLED"
    assert seen["cancelled_stream"]["replies"] >= 3
    assert bytes.fromhex(seen["health"]["reply"]) == IS_SERVING
    assert seen["unknown"]["code"] == "UNIMPLEMENTED"
    assert (seen["deadline"]["code"], seen["cancelled"]["code"]) == ("DEADLINE_EXCEEDED", "CANCELLED")
    assert (seen["invalid"]["code"], seen["invalid"]["details"]) == (
        "INVALID_ARGUMENT",
        "value: must be from 0 to 1000; got -1.0",
    )
    details = error_details_pb2.BadRequest()
    assert status_pb2.Status.FromString(bytes.fromhex(seen["invalid"]["status"])).details[0].Unpack(details)
    assert [violation.field for violation in details.field_violations] == ["value"]


def framed(message: bytes) -> bytes:
    """https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: Length-Prefixed-Message"""
    return b"\0" + struct.pack(">I", len(message)) + message


def messages(body: bytes) -> list[bytes]:
    found = []
    while body:
        size = int.from_bytes(body[1:5], "big")
        found.append(body[5 : 5 + size])
        body = body[5 + size :]
    return found


class Curl:
    """A call by curl: what came back, and the headers and trailers."""

    def __init__(self, server: Server, path: str, message: bytes, folder: Path, *headers: str) -> None:
        (folder / "request").write_bytes(framed(message))
        command = [
            program("curl"),
            "--silent",
            "--http2-prior-knowledge",
            "--max-time",
            "30",
            "--data-binary",
            "@request",
        ]
        command += ["--dump-header", "headers", "--output", "reply"]
        for header in ("content-type: application/grpc", "te: trailers", *headers):
            command += ["--header", header]
        done = run([*command, f"http://127.0.0.1:{server.port}{path}"], cwd=folder, check=False)
        self.exit_code = done.returncode
        self.headers = (folder / "headers").read_text(encoding="utf-8")
        reply = folder / "reply"
        self.messages = messages(reply.read_bytes()) if reply.exists() else []
        reply.unlink(missing_ok=True)

    def header(self, name: str) -> str:
        return "".join(re.findall(rf"^{name}: (.*?)\r?$", self.headers, re.MULTILINE))


def test_curl(probe: Probe, server: Server, tmp_path: Path) -> None:
    unary = Curl(server, PREDICT, predict(probe, 2), tmp_path)
    assert (unary.header("grpc-status"), len(unary.messages)) == ("0", 1)
    assert probe.messages["PredictResponse"].FromString(unary.messages[0]).result == 4
    stream = Curl(server, COUNT, count(probe, 100), tmp_path)
    indices = [probe.messages["CountResponse"].FromString(each).index for each in stream.messages]
    assert (indices, stream.header("grpc-status")) == ([*range(100)], "0")
    invalid = Curl(server, PREDICT, predict(probe, -1), tmp_path)
    assert (invalid.header("grpc-status"), bool(invalid.header("grpc-status-details-bin"))) == ("3", True)
    assert Curl(server, CHECK, b"", tmp_path).messages == [IS_SERVING]
    late = Curl(server, COUNT, count(probe, 10**9), tmp_path, "grpc-timeout: 300m")
    assert (late.header("grpc-status"), late.exit_code) == ("4", 0)


def test_nghttp(probe: Probe, server: Server, tmp_path: Path) -> None:
    for path, request in ((PREDICT, predict(probe, 2)), (CHECK, b"")):
        (tmp_path / "request").write_bytes(framed(request))
        command = [program("nghttp"), "--verbose", "--null-out", "--no-dep", "--timeout=30", "--data=request"]
        command += ["--header=content-type: application/grpc", "--header=te: trailers"]
        done = run([*command, f"http://127.0.0.1:{server.port}{path}"], cwd=tmp_path)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
        assert re.search(r"recv \(stream_id=\d+\) grpc-status: 0", plain), plain
        assert "GOAWAY" not in plain.partition("recv DATA")[0]
