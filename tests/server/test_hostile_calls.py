"""Calls that no gRPC client makes, against a server that others use at the same time."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

import raw_http2
from serving import PATIENCE, SERVICE, SERVING, Probe, Server, serving

pytestmark = pytest.mark.each_transport

TESTS = Path(raw_http2.__file__).parent
NOT_FOUND = b"Method not found!"
PROTOCOL_ERROR = b"\0\0\0\1"  # https://www.rfc-editor.org/rfc/rfc9113#section-8.1.1


@pytest.mark.parametrize(
    "path", [b"/\xff/x", f"/{SERVICE}/Predict\xff".encode("latin-1"), b"/" + b"\xff" * 100, b"", b"/a\nb/\x1b[2J"]
)
def test_a_method_whose_name_is_anything(server: Server, path: bytes) -> None:
    """It is unknown, also where its name is not UTF-8, or no path of HTTP/2 at all; the server goes on."""
    answer = raw_http2.call(server.port, path, b"")
    assert NOT_FOUND in answer or (server.probe.transport == "native" and answer.endswith(PROTOCOL_ERROR))
    assert server.health() == SERVING
    assert server.predict(2).result == 4


BROKEN = """\
from probe.server import lifecycle, logs
from probe.server.transports import call_taker

async def refuse(self, method):
    if method.endswith(b"/Predict"):
        raise OSError("no more calls")
    return await super(call_taker.CallTaker, self)._request_registered_call(method)

call_taker.CallTaker._request_registered_call = refuse
logs.configure("INFO", "json")
raise SystemExit(lifecycle.main())
"""


def test_a_broken_server_of_grpc_ends_the_process(probe_project: Probe) -> None:
    """A server that takes no calls does not look alive."""
    done = probe_project.python("-c", BROKEN, env={"HOST": "127.0.0.1", "PORT": "0"}, check=False)
    assert done.returncode == 1
    assert "gRPC's server broke: OSError('no more calls')" in done.stderr


ANOTHER_GRPC = """\
from grpc._cython import cygrpc

handle_rpc = cygrpc._handle_rpc
cygrpc._handle_rpc = lambda *others: handle_rpc(*others)
"""


def test_a_grpc_with_other_parts_takes_calls_by_itself(probe: Probe, tmp_path: Path) -> None:
    """What is private to gRPC may change in any version: then the server does without, and says so."""
    (tmp_path / "sitecustomize.py").write_text(ANOTHER_GRPC, encoding="utf-8")
    with serving(probe, PYTHONPATH=os.pathsep.join([str(tmp_path), str(probe.path / "src")])) as server:
        assert server.predict(2).result == 4
        assert "has another _handle_rpc than this server knows" in server.messages("WARNING")
        server.terminate()
        assert server.ended() == 0


@pytest.mark.slow
def test_streams_that_are_reset_at_once_keep_no_health_from_others(probe: Probe) -> None:
    """One connection that resets streams of Health/Check delays health of another, and cancels none of its calls."""
    command = (
        "import sys, raw_http2; print(raw_http2.rapid_reset(int(sys.argv[1]), b'/grpc.health.v1.Health/Check', 4))"
    )
    with serving(probe) as server:
        attack = subprocess.Popen(
            [sys.executable, "-c", command, str(server.port)], cwd=TESTS, stdout=subprocess.PIPE, text=True
        )
        latencies = []
        while attack.poll() is None:
            start = time.perf_counter()
            assert server.health() == SERVING
            latencies.append(time.perf_counter() - start)
            time.sleep(0.02)
        assert int(attack.communicate()[0]) > 50_000
        assert statistics.median(latencies) < 2
        assert max(latencies) < PATIENCE / 3
        assert server.predict(2).result == 4
        server.terminate()
        assert server.ended() == 0
        assert server.messages("ERROR") == ""
