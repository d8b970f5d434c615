"""grpc.health.v1 and reflection, as platforms and tools ask for them."""

from __future__ import annotations

import subprocess
import sys

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from serving import NOT_SERVING, PATIENCE, SERVICE, SERVING, Probe, Server, error_of, starting

pytestmark = pytest.mark.each_transport


@pytest.mark.parametrize("service", ["", SERVICE, "liveness"])
def test_all_names_are_serving_while_the_model_answers(server: Server, service: str) -> None:
    assert server.health(service) == SERVING


def test_another_name_is_not_found(server: Server) -> None:
    assert error_of(lambda: server.health("another.Service")).code() is grpc.StatusCode.NOT_FOUND


def test_a_watch_of_another_name_says_so_and_stays_open(server: Server) -> None:
    states = health_pb2_grpc.HealthStub(server.channel).Watch(
        health_pb2.HealthCheckRequest(service="x"), timeout=PATIENCE
    )
    assert next(states).status == health_pb2.HealthCheckResponse.SERVICE_UNKNOWN
    assert states.is_active()
    states.cancel()


def test_list_has_every_name(server: Server) -> None:
    found = health_pb2_grpc.HealthStub(server.channel).List(health_pb2.HealthListRequest(), timeout=PATIENCE)
    assert {name: state.status for name, state in found.statuses.items()} == dict.fromkeys(
        ("", SERVICE, "liveness"), SERVING
    )


def test_a_watch_tells_the_whole_life_and_ends_with_it(probe: Probe) -> None:
    with starting(probe, MODEL_PATH=str(probe.artifact("slow", probe.path))) as server:
        states, alive = server.watch(SERVICE), server.watch("liveness")
        assert next(states) == NOT_SERVING
        assert next(alive) == SERVING
        server.release()
        assert next(states) == SERVING
        server.terminate()
        assert list(states) == [NOT_SERVING]
        assert list(alive) == []
        assert server.ended() == 0


def test_while_the_model_loads_only_liveness_is_serving(probe: Probe) -> None:
    with starting(probe, MODEL_PATH=str(probe.artifact("slow", probe.path))) as server:
        server.told.wait(lambda line: line == {"loading": "slow"})
        assert [server.health(name) for name in ("", SERVICE, "liveness")] == [NOT_SERVING, NOT_SERVING, SERVING]
        error = error_of(server.predict)
        assert (error.code(), error.details()) == (grpc.StatusCode.UNAVAILABLE, "the model is still loading")
        server.release()
        assert server.until_serving().predict(3).result == 6


def healthcheck(probe: Probe, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return probe.python("-m", "probe.server.healthcheck", *arguments, env=settings, check=False)


def test_the_containers_health_check_asks_for_health(probe: Probe, server: Server) -> None:
    for arguments in ([], [SERVICE], ["liveness"]):
        asked = healthcheck(probe, *arguments, PORT=str(server.port))
        assert (asked.returncode, asked.stdout, asked.stderr) == (0, "", "")
    unknown = healthcheck(probe, "another.Service", PORT=str(server.port), HOST="127.0.0.1")
    assert unknown.returncode == 1
    assert unknown.stderr == f"127.0.0.1:{server.port}: NOT_FOUND: unknown service\n"


def test_the_containers_health_check_fails_while_the_model_loads_and_without_a_server(probe: Probe) -> None:
    with starting(probe, MODEL_PATH=str(probe.artifact("slow", probe.path))) as server:
        port = server.port
        asked = healthcheck(probe, PORT=str(port))
        assert (asked.returncode, asked.stderr) == (1, f"localhost:{port}: NOT_SERVING\n")
    asked = healthcheck(probe, PORT=str(port))
    assert asked.returncode == 1
    assert asked.stderr.startswith(f"localhost:{port}: UNAVAILABLE: ")


def test_reflection_has_the_service_and_its_messages(server: Server) -> None:
    stub = reflection_pb2_grpc.ServerReflectionStub(server.channel)
    asked = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol=SERVICE),
    ]
    listed, file = stub.ServerReflectionInfo(iter(asked), timeout=PATIENCE)
    names = {service.name for service in listed.list_services_response.service}
    assert names == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    found = FileDescriptorProto.FromString(file.file_descriptor_response.file_descriptor_proto[0])
    assert found.package == "probe.v1"
    assert [method.name for method in found.service[0].method] == ["Predict", "Count", "Echo"]


def test_it_listens_on_every_interface(probe: Probe) -> None:
    with starting(probe, HOST="") as server:
        assert server.until_serving().health() == SERVING  # by IPv4, though the default is written as IPv6's
        assert sys.platform != "linux" or server.log.wait(lambda line: "listening on [::], port" in line["message"])
