"""The manifest's container for real: run as the manifest says, probed as it says, loading, under load, and stopped."""

from __future__ import annotations

import copy
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml

from platforms.kubelet import Kubelet, Probe
from platforms.manifests import SPREAD, Resource, container, environment, pod, render
from support import run
from workplace import Workplace
from zoo.process import verify

pytestmark = [pytest.mark.slow, pytest.mark.docker, pytest.mark.xdist_group("kubernetes")]

DOCKER = os.environ.get("DOCKER", "docker")
PATH = "/slow.v1.SlowService/Predict"


def docker(*arguments: str, check: bool = True) -> str:
    return run([DOCKER, *arguments], cwd=Path(), check=check).stdout.strip()


@pytest.fixture(scope="module")
def resources(slow_project: Workplace, tmp_path_factory: pytest.TempPathFactory) -> list[Resource]:
    """Production, with the model in a volume."""
    deploy = tmp_path_factory.mktemp("deploy") / "kubernetes"
    shutil.copytree(slow_project.path / "deploy" / "kubernetes", deploy)
    overlay = deploy / "overlays" / "production" / "kustomization.yaml"
    overlay.write_text(overlay.read_text("utf-8") + "components: [../../components/model-volume]\n", encoding="utf-8")
    return render(overlay.parent)


@pytest.fixture
def models(slow_project: Workplace, tmp_path: Path) -> Path:
    """What the claim holds: the artifact, which a container of user 10001 must be able to read."""
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("model.txt", "model.txt.sha256"):
        shutil.copy2(slow_project.path / "artifacts" / name, folder)
    for path in (tmp_path, folder):
        path.chmod(0o755)
    return folder


def options(resources: list[Resource], volumes: dict[str, Path]) -> list[str]:
    """The arguments of `docker run` that mean what the manifest says; a claim is a folder of this machine."""
    server, spec = container(resources), pod(resources)
    security = server["securityContext"]
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    said = ["--security-opt=no-new-privileges", "--read-only", "--cap-drop=ALL"]
    said.append(f"--user={spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}")
    said += [f"--env={name}={value}" for name, value in environment(resources).items()]
    said.append(f"--memory={server['resources']['limits']['memory'].removesuffix('i').lower()}")
    # There is no limit for CPU; what is requested is what a pod on a busy node has.
    said.append(f"--cpus={server['resources']['requests']['cpu']}")
    kinds = {volume["name"]: volume for volume in spec["volumes"]}
    for mount in server["volumeMounts"]:
        volume = kinds[mount["name"]]
        if "emptyDir" in volume:
            size = volume["emptyDir"]["sizeLimit"].removesuffix("i").lower()
            said.append(f"--tmpfs={mount['mountPath']}:size={size},mode=1777")
        else:
            folder = volumes[volume["persistentVolumeClaim"]["claimName"]]
            said.append(f"--volume={folder}:{mount['mountPath']}:{'ro' if mount.get('readOnly') else 'rw'}")
    return said


class Pod:
    """A container of the manifest that runs."""

    def __init__(self, name: str, grace: int) -> None:
        self.name, self.grace = name, grace
        networks = json.loads(docker("inspect", name))[0]["NetworkSettings"]["Networks"]
        self.host = next(iter(networks.values()))["IPAddress"]
        self.channel = grpc.insecure_channel(f"{self.host}:9100", options=[("grpc.enable_http_proxy", 0)])

    def predict(self, seconds: float, timeout: float = 60) -> grpc.StatusCode:
        # Field 1 as a double: no stubs are needed for one number.
        import struct

        request = b"\x09" + struct.pack("<d", seconds)
        call: Any = self.channel.unary_unary(PATH)
        try:
            reply = call(request, timeout=timeout)
        except grpc.RpcError as error:
            code: grpc.StatusCode = error.code()
            return code
        assert reply == request  # the same field with the same number
        return grpc.StatusCode.OK

    def healthcheck(self, name: str = "") -> int:
        """The exit code of the project's own check, in the container."""
        command = [DOCKER, "exec", self.name, "python", "-m", "slow.server.healthcheck", name]
        return run(command, cwd=Path(), check=False).returncode

    def stop(self) -> tuple[int, float]:
        """Deletes the pod as Kubernetes does; the exit code, and the seconds that it took."""
        began = time.monotonic()
        docker("stop", f"--time={self.grace}", self.name)
        took = time.monotonic() - began
        return int(docker("inspect", "--format={{.State.ExitCode}}", self.name)), took


@contextmanager
def running(image: str, resources: list[Resource], models: Path, *settings: str, **changed: Any) -> Iterator[Pod]:
    """`settings` are NAME=VALUE, besides those of the manifest."""
    more = [f"--env={setting}" for setting in settings]
    name = docker("run", "--detach", *options(resources, {"slow-model": models}), *more, image)
    made = Pod(name, changed.get("grace", pod(resources)["terminationGracePeriodSeconds"]))
    try:
        yield made
    except BaseException:
        print(run([DOCKER, "logs", "--tail=40", name], cwd=Path()).stderr)
        raise
    finally:
        made.channel.close()
        docker("rm", "--force", "--volumes", name)


def changed(server: dict[str, Any], **probes: Any) -> dict[str, Any]:
    """The container with other probes; None takes one away."""
    other = copy.deepcopy(server)
    for name, written in probes.items():
        if written is None:
            del other[name]
        else:
            other[name] |= written
    return other


def test_a_model_that_loads_slowly_is_left_alone_and_one_that_breaks_is_restarted(
    slow_image: str, resources: list[Resource], models: Path
) -> None:
    server = container(resources)
    # The same probes, written as people write them, kill it: so the first would be seen to do it, too.
    impatient = changed(server, startupProbe={"failureThreshold": 2})
    restarting = changed(
        server, startupProbe=None, livenessProbe={"grpc": {"port": 9100}, "periodSeconds": 1, "failureThreshold": 3}
    )
    with (
        running(slow_image, resources, models, "BROKEN_SECONDS=3") as made,
        Kubelet(server, made.host) as kubelet,
    ):
        with Kubelet(impatient, made.host) as other, Kubelet(restarting, made.host) as another:
            kubelet.wait(lambda: len(kubelet.of("startup")) >= 4, 60)
            assert [text.partition(" probe")[0] for text in other.killed] == ["Container failed startup"]
            assert [text.partition(" probe")[0] for text in another.killed] == ["Container failed liveness"]
        assert kubelet.killed == []
        assert not kubelet.started
        assert not kubelet.ready
        assert kubelet.of("startup")[-1].message == 'service unhealthy (responded with "NOT_SERVING")'
        assert kubelet.probes["liveness"].ask(made.host).passed
        assert made.predict(0) is grpc.StatusCode.UNAVAILABLE
        (models / "go").touch()
        kubelet.wait(lambda: kubelet.ready, 30)
        assert made.predict(0) is grpc.StatusCode.OK
        assert (made.healthcheck(), made.healthcheck("liveness")) == (0, 0)
        (models / "broken").touch()
        assert made.predict(0) is grpc.StatusCode.UNAVAILABLE
        assert kubelet.probes["liveness"].ask(made.host).passed
        assert not kubelet.probes["readiness"].ask(made.host).passed
        hurrying = changed(server, startupProbe=None, livenessProbe={"periodSeconds": 1})
        with Kubelet(hurrying, made.host) as hurried:
            hurried.wait(lambda: bool(hurried.killed), 30)
        assert hurried.killed[0].startswith("Container failed liveness probe")
        assert (made.healthcheck(), made.healthcheck("liveness")) == (1, 1)
        code, took = made.stop()
        assert code == 0
        assert took < 5  # there is nothing to drain


def test_verify_takes_image_and_manifest_together(
    slow_image: str, resources: list[Resource], slow_project: Workplace, tmp_path: Path
) -> None:
    """The commands of docs/platforms/kubernetes.md, as one: nothing fails and nothing is warned of."""
    file = tmp_path / "production.yaml"
    file.write_text(yaml.safe_dump_all(resources), encoding="utf-8")
    options = ["--spec", str(file), "--platform", "kubernetes", "--project", str(slow_project.path)]
    code, report = verify("--image", slow_image, *options, "--docker", DOCKER)
    verdicts = {check["id"]: check["verdict"] for check in report["checks"]}
    assert {id: verdict for id, verdict in verdicts.items() if verdict not in ("pass", "skip")} == {}, report
    assert verdicts["spec-routes"] == verdicts["shutdown"] == verdicts["image-user"] == "pass"
    assert code == 0


def test_a_busy_server_passes_every_probe(slow_image: str, resources: list[Resource], models: Path) -> None:
    (models / "go").touch()
    codes: list[grpc.StatusCode] = []
    enough = threading.Event()
    with running(slow_image, resources, models) as made, Kubelet(container(resources), made.host) as kubelet:
        kubelet.wait(lambda: kubelet.ready, 60)

        def call() -> None:
            while not enough.is_set():
                codes.append(made.predict(0.02))

        callers = [threading.Thread(target=call) for _ in range(32)]
        for caller in callers:
            caller.start()
        try:
            asked = len(kubelet.results)
            kubelet.wait(lambda: len(kubelet.of("liveness")) >= 2 and len(kubelet.results) >= asked + 3, 60)
        finally:
            enough.set()
            for caller in callers:
                caller.join()
        assert set(codes) == {grpc.StatusCode.OK}
        assert len(codes) > 64
        busy = kubelet.results[asked:]
        assert all(result.passed for result in busy), busy
        assert max(result.seconds for result in busy) < min(probe.timeout for probe in kubelet.probes.values()) / 2
        assert kubelet.ready
        assert not kubelet.killed


def test_a_pod_that_ends_loses_no_call(slow_image: str, resources: list[Resource], models: Path) -> None:
    (models / "go").touch()
    fresh: list[grpc.StatusCode] = []
    late: list[grpc.StatusCode] = []
    with running(slow_image, resources, models) as made, Kubelet(container(resources), made.host) as kubelet:
        kubelet.wait(lambda: kubelet.ready, 60)
        stopped: list[tuple[int, float]] = []
        stop = threading.Thread(target=lambda: stopped.append(made.stop()))
        began = time.monotonic()
        asked = len(kubelet.of("readiness"))
        kubelet.delete()
        stop.start()
        # Until every node knows, calls come as before.
        while time.monotonic() < began + SPREAD:
            fresh.append(made.predict(0.02))
        # What is in flight when the server begins to refuse takes seconds more.
        burst = [threading.Thread(target=lambda: late.append(made.predict(0.2))) for _ in range(40)]
        for caller in burst:
            caller.start()
        kubelet.wait(lambda: len(kubelet.of("readiness")) > asked, 30)
        assert kubelet.of("readiness")[-1].message == 'service unhealthy (responded with "NOT_SERVING")'
        assert stop.is_alive()
        assert kubelet.probes["liveness"].ask(made.host).passed
        for caller in burst:
            caller.join()
        stop.join()
    assert set(fresh) == set(late) == {grpc.StatusCode.OK}
    ((code, took),) = stopped
    assert code == 0
    lame_duck, grace = float(environment(resources)["LAME_DUCK_SECONDS"]), made.grace
    assert lame_duck < took < grace - 5


def test_too_short_a_grace_would_lose_calls(slow_image: str, resources: list[Resource], models: Path) -> None:
    """What the test before would see if the times did not fit."""
    (models / "go").touch()
    codes: list[grpc.StatusCode] = []
    with running(slow_image, resources, models, grace=2) as made:
        startup = Probe.read(container(resources), "startup")
        with Kubelet(container(resources), made.host) as kubelet:
            kubelet.wait(lambda: kubelet.started, 60)
        assert startup is not None
        callers = [threading.Thread(target=lambda: codes.append(made.predict(1))) for _ in range(8)]
        for caller in callers:
            caller.start()
        code, _ = made.stop()
        for caller in callers:
            caller.join()
    assert code == 137
    assert set(codes) > {grpc.StatusCode.OK} or grpc.StatusCode.OK not in codes


CLIENT = """
import os, struct, grpc
channel = grpc.insecure_channel("dns:///slow-headless:9100", options=[("grpc.service_config", os.environ["CONFIG"])])
call = channel.unary_unary("%s")
for _ in range(300):
    call(b"\\x09" + struct.pack("<d", 0), timeout=30, wait_for_ready=True)
"""


def test_a_name_of_several_addresses_is_balanced_over(slow_image: str, slow_project: Workplace) -> None:
    """What a headless Service is to a client: one name, the address of every pod, in a real DNS."""
    config = (slow_project.path / "deploy/kubernetes/service_config.json").read_text(encoding="utf-8")
    network = f"protoserve-test-{os.getpid()}"
    docker("network", "create", network)
    started: list[str] = []
    try:
        for _ in range(2):
            asked = ["--network", network, "--network-alias", "slow-headless", "--env", "LOG_REQUESTS=true"]
            started.append(docker("run", "--detach", *asked, slow_image))
        for name in started:
            check = [DOCKER, "exec", name, "python", "-m", "slow.server.healthcheck"]
            while run(check, cwd=Path(), check=False).returncode:
                assert docker("inspect", "--format={{.State.Running}}", name) == "true"
        client = ["--rm", "--network", network, "--env", f"CONFIG={config}"]
        docker("run", *client, slow_image, "python", "-c", CLIENT % PATH)
        logs = [run([DOCKER, "logs", name], cwd=Path()).stderr for name in started]
    finally:
        for name in started:
            docker("rm", "--force", name)
        docker("network", "rm", network)
    answered = [sum('"code": "OK"' in line for line in log.splitlines()) for log in logs]
    assert sum(answered) == 300
    assert min(answered) >= 100  # the second connection takes a moment longer than the first
