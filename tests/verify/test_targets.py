"""Targets in gRPC's own forms, against real servers."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2_grpc

from zoo.process import checks_with, free_port, running, verify_here

ONLY = ("--only", "health-service")


@contextmanager
def listening(target: str) -> Iterator[None]:
    """A server with nothing but health."""
    server = grpc.server(ThreadPoolExecutor(4))
    health_pb2_grpc.add_HealthServicer_to_server(health.HealthServicer(), server)
    server.add_insecure_port(target)
    server.start()
    yield
    server.stop(None).wait()


@pytest.mark.parametrize("form", ["unix:{}", "unix://{}", "unix-abstract:{}"])
def test_a_unix_socket(form: str, tmp_path: Path) -> None:
    target = form.format(tmp_path / "it.sock")
    with listening(target):
        code, report = verify_here(target, *ONLY)
    assert code == 0, report["checks"]
    assert f"{target} speaks gRPC" in checks_with(report, "pass")["reachable"]
    assert report["target"] == target


@pytest.mark.parametrize("form", ["dns:///localhost:{}", "dns:localhost:{}", "ipv4:127.0.0.1:{}"])
def test_a_name_as_grpc_resolves_it(form: str) -> None:
    port = free_port()
    with listening(f"127.0.0.1:{port}"):
        code, report = verify_here(form.format(port), *ONLY)
    assert code == 0, report["checks"]


def test_every_check_over_a_unix_socket() -> None:
    with running("unix") as port:
        code, report = verify_here(f"unix-abstract:zoo-{port}")
    assert code == 0, report["checks"]
    assert report["verdict"] == "pass"


def test_a_socket_without_a_server(tmp_path: Path) -> None:
    for target in (f"unix:{tmp_path}/none.sock", f"unix:{tmp_path / ('x' * 200)}"):
        _, report = verify_here(target, "--timeout", "0.5", *ONLY)
        seen = checks_with(report, "fail")["reachable"]
        assert 'add_insecure_port("unix:' in seen
        assert "0.0.0.0" not in seen


def test_a_name_that_does_not_resolve() -> None:
    _, report = verify_here("dns:///no-such-host.invalid:1", *ONLY)
    assert "does not resolve" in checks_with(report, "fail")["reachable"]
