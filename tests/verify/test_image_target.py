"""`protoserve verify --image`: containers of small images with one fault each, and of two real projects."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from protoserve.verify.targets import image as image_target
from protoserve.verify.targets.image import ImageServer, Options
from support import ROOT, Project, create, need, run, tool
from zoo.process import checks_with, verify_here
from zoo.proto import PROTO, stubs

pytestmark = [pytest.mark.slow, pytest.mark.docker]

DOCKER = os.environ.get("DOCKER", "docker")
BASE = """\
FROM python:3.12-slim
RUN --mount=type=cache,target=/root/.cache/pip pip install --root-user-action=ignore {packages}
RUN useradd --uid 10001 app
WORKDIR /app
COPY . .
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
"""
PACKAGES = ("grpcio", "grpcio-health-checking", "grpcio-reflection")
CONTRACT = ("--proto", str(PROTO))
VERTEX = ("--platform", "vertex")
Build = Callable[..., str]


def docker(*arguments: str, cwd: Path = ROOT, check: bool = True) -> str:
    return run([DOCKER, *arguments], cwd=cwd, env=os.environ | {"DOCKER_BUILDKIT": "1"}, check=check).stdout.strip()


@pytest.fixture(scope="module")
def build(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Build]:
    """Builds images, and removes them in the end: of a kind of server, with further lines of its Dockerfile."""
    context = tmp_path_factory.mktemp("image")
    (context / "zoo").mkdir()
    for name in ("__init__.py", "base.py"):
        shutil.copy2(ROOT / "tests" / "zoo" / name, context / "zoo")
    shutil.copy2(Path(__file__).with_name("image_server.py"), context)
    shutil.copytree(stubs() / "zoo_pb", context / "zoo_pb", ignore=shutil.ignore_patterns("__pycache__"))
    packages = " ".join(f"{name}=={metadata.version(name)}" for name in PACKAGES)
    (context / "Dockerfile").write_text(BASE.format(packages=packages), encoding="utf-8")
    prefix = f"protoserve-verify-test-{os.getpid()}"
    docker("build", "--quiet", "--tag", f"{prefix}:base", ".", cwd=context)
    made = [f"{prefix}:base"]
    empty = tmp_path_factory.mktemp("empty")

    def of(kind: str, *lines: str, command: str = "", options: tuple[str, ...] = (), start: str = "") -> str:
        tag = f"{prefix}:{len(made)}"
        command = command or f'CMD ["python", "/app/image_server.py", "{kind}"]'
        text = "\n".join([start or f"FROM {made[0]}", *lines, command])
        (empty / "Dockerfile").write_text(f"{text}\n", encoding="utf-8")
        docker("build", "--quiet", *options, "--tag", tag, ".", cwd=empty)
        made.append(tag)
        return tag

    yield of
    for tag in reversed(made):
        docker("image", "rm", "--force", tag, check=False)


def judged(image: str, *options: str) -> tuple[int, dict[str, Any]]:
    """What verify finds in this process; there is no container of the image left."""
    code, report = verify_here("--image", image, *options)
    assert left_of(image) == ""
    return code, report


def left_of(image: str) -> str:
    return docker("ps", "--all", "--quiet", "--filter", f"ancestor={image}")


def warned(report: dict[str, Any]) -> list[str]:
    """Without `shutdown`: what comes in the moment of grpc's own stop() may end with CANCELLED."""
    return [check for check in checks_with(report, "warn") if check != "shutdown"]


def fails(report: dict[str, Any], check: str, *words: str) -> None:
    """Exactly this check fails, and says all that."""
    told = checks_with(report, "fail")
    assert list(told) == [check], report["checks"]
    for text in words:
        assert text.lower() in told[check].lower(), told


@pytest.mark.parametrize("contract", [(), CONTRACT], ids=["reflection", "proto"])
def test_a_healthy_server(build: Build, contract: tuple[str, ...]) -> None:
    """It gets PORT, and nothing else; `EXPOSE` is not needed."""
    code, report = judged(build("healthy"), *contract)
    assert code == 0, report["checks"]
    assert not warned(report)
    assert {"image-architecture", "image-user", "image-size", "reachable", "serialization"} <= set(
        checks_with(report, "pass")
    )
    assert not {"http-health", "http-predict"} & {check["id"] for check in report["checks"]}


@pytest.mark.parametrize("platform", ["generic", "kubernetes", "vertex"])
def test_a_fixed_port_is_found_where_the_image_exposes_it(build: Build, platform: str) -> None:
    """The one that listens: not the first, not the one that it was told."""
    image = build("fixed", "EXPOSE 9090 50051 9091")
    code, report = judged(image, "--platform", platform)
    assert code == 0, report["checks"]
    assert not warned(report)
    if platform == "vertex":
        assert "grpcPorts" in checks_with(report, "skip")["http-health"]


def test_a_fixed_port_is_given(build: Build) -> None:
    image = build("fixed")
    code, report = judged(image, "--port", "50051", "--only", "serialization")
    assert code == 0, report["checks"]
    code, report = judged(image)
    fails(report, "reachable", "0.0.0.0:50051, and not on port", "(PORT=", "EXPOSE 50051")
    assert report["seconds"] < 15  # known long before the server's time to start is over
    _, report = judged(build("fixed", "EXPOSE 9000"), "--platform", "kubernetes")
    fails(report, "reachable", "0.0.0.0:50051, and not on port 9000", "EXPOSE 50051")
    assert report["seconds"] < 15


def test_kubernetes_tells_no_port(build: Build) -> None:
    done = subprocess.run(
        [tool("protoserve"), "verify", "--image", build("fixed"), "--platform", "kubernetes"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "--port N" in done.stderr


def test_bound_to_the_loopback(build: Build) -> None:
    code, report = judged(build("loopback"))
    assert code == 1
    assert report["seconds"] < 15
    fails(report, "reachable", "inside, it listens on 127.0.0.1:", "bound to the loopback")


def test_ends_at_once(build: Build) -> None:
    _, report = judged(build("ends"))
    fails(report, "reachable", "exit code 1", "the model is not where it should be", "crashed")
    assert report["seconds"] < 10
    _, report = judged(build("finished"))
    fails(report, "reachable", "exit code 0", "trained", "wait_for_termination")


def test_writes_to_its_root_file_system(build: Build) -> None:
    image = build("writes", "USER 0", "RUN chown 10001 /app", "USER 10001")
    _, report = judged(image)
    fails(report, "reachable", "Read-only file system", "/tmp only")
    code, report = judged(image, "--writable", "--only", "serialization")
    assert code == 0, report["checks"]


def test_needs_more_memory_than_it_gets(build: Build) -> None:
    _, report = judged(build("hungry"), "--memory", "128m")
    fails(report, "reachable", "exit code 137, OOMKilled", "needed more memory")


def test_a_command_that_cannot_run(build: Build) -> None:
    _, report = judged(build("", command='CMD ["nosuch"]'))
    fails(report, "reachable", "cannot start it", "does not exist where the server runs")
    garbage = build("", "USER 0", "RUN echo garbage > /run.me && chmod 755 /run.me", command='CMD ["/run.me"]')
    _, report = judged(garbage)
    fails(report, "reachable", "exec format error", "another architecture")


def test_an_image_for_another_machine(build: Build) -> None:
    """One verdict: what is said of its start would be the same fault again."""
    other = "arm64" if docker("version", "--format", "{{.Server.Arch}}") == "amd64" else "amd64"
    image = build(
        "",
        "COPY Dockerfile /run",
        start="FROM scratch",
        command='CMD ["/run"]',
        options=("--platform", f"linux/{other}"),
    )
    _, report = judged(image)
    fails(report, "image-architecture", f"linux/{other}", "--platform")
    assert checks_with(report, "skip")["reachable"].startswith("image-architecture failed")


@pytest.mark.parametrize(("user", "words"), [("root", "is root"), ("0:0", "is root"), ("app", "by name")])
def test_who_it_runs_as(build: Build, user: str, words: str) -> None:
    """Others say so; Kubernetes refuses it. It can serve all the same."""
    image = build("fixed", "EXPOSE 50051", f"USER {user}")
    code, report = judged(image, "--only", "image-user,reachable")
    assert code == 0, report["checks"]
    assert warned(report) == ["image-user"]
    assert words in checks_with(report, "warn")["image-user"]
    _, report = judged(image, "--platform", "kubernetes", "--only", "image-user,reachable")
    fails(report, "image-user", "runAsNonRoot", "USER 10001")


def test_ignores_a_stop(build: Build) -> None:
    """As PID 1 without a handler; the container is gone all the same."""
    _, report = judged(build("deaf"))
    fails(report, "shutdown", "SIGTERM")


def test_http_alone_is_enough_for_vertex(build: Build) -> None:
    for kind in ("http", "http-slow"):
        code, report = judged(build(kind), *VERTEX, *CONTRACT)
        assert code == 0, report["checks"]
        assert not warned(report)
        assert {"http-health", "http-predict"} <= set(checks_with(report, "pass")), report["checks"]
        assert "speaks HTTP only" in checks_with(report, "skip")["reachable"]
    # What speaks HTTP/1 is no gRPC server where one is wanted.
    _, report = judged(build("http", "ENV AIP_HTTP_PORT=5000", "EXPOSE 5000"), "--platform", "kubernetes")
    fails(report, "reachable", "HTTP/1")


def test_http_beside_grpc(build: Build) -> None:
    code, report = judged(build("http-and-grpc", "EXPOSE 8080 50051"), *VERTEX, "--only", "http-predict,serialization")
    assert code == 0, report["checks"]
    assert {"reachable", "http-health", "http-predict"} <= set(checks_with(report, "pass"))
    _, report = judged(build("http-loopback-and-grpc", "EXPOSE 50051"), *VERTEX)
    fails(report, "http-health", "127.0.0.1:8080", "bound to the loopback")


def test_http_health_before_the_model(build: Build) -> None:
    """Seen although it is over by the time at which the check runs."""
    _, report = judged(build("http-early", "EXPOSE 8080"), *VERTEX, *CONTRACT)
    fails(report, "http-health", "before the model can answer", "503")


def test_http_on_another_port(build: Build) -> None:
    _, report = judged(build("http-elsewhere", "EXPOSE 5000"), *VERTEX, *CONTRACT, "--timeout", "4")
    fails(report, "reachable", "0.0.0.0:5000, and not on port 8080 (AIP_HTTP_PORT=8080)")


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_run_that_is_stopped_leaves_nothing(build: Build, stop: signal.Signals) -> None:
    image = build("loopback")
    command = [tool("protoserve"), "verify", "--image", image, "--format", "json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 20
        while not left_of(image) and time.monotonic() < until:
            assert process.poll() is None
        process.send_signal(stop)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 1, err
    assert '"stopped": "interrupted"' in out
    assert "Traceback" not in err
    assert left_of(image) == ""


def test_what_cannot_be_run() -> None:
    done = subprocess.run(
        [tool("protoserve"), "verify", "--image", "protoserve-verify-test:none"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "pull protoserve-verify-test:none" in done.stderr


def test_sockets_of_an_engine_elsewhere(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the container is no process of this machine, it is asked from within."""
    monkeypatch.setattr(image_target, "_local_pid", lambda *_: 0)
    server = ImageServer(build("loopback"), "generic", Options(DOCKER), {})
    try:
        server.start()
        until = time.monotonic() + 20
        while server.listens_elsewhere() is None and time.monotonic() < until:
            assert not server.ended(), server.exit_report()
        assert server.listens_elsewhere() == f"127.0.0.1:{server.inside}"
        server.terminate()
        assert server.wait(20) == 0
        assert server.ended()
    finally:
        server.close()
        server.close()  # as often as one likes
    assert left_of(server.image.name) == ""


@pytest.mark.parametrize(
    ("framework", "platforms"), [("sklearn", ("generic", "vertex")), ("onnx", ("kubernetes",))], ids=["sklearn", "onnx"]
)
def test_a_generated_project(framework: str, platforms: tuple[str, ...], template: Path, tmp_path: Path) -> None:
    """All checks pass, and nothing is to be warned of."""
    need(framework)
    project = create(template, tmp_path / "iris", framework=framework)
    project.python("train.py")
    lock(project)
    image = f"protoserve-verify-test:{framework}"
    docker("build", "--quiet", "--tag", image, ".", cwd=project.path)
    try:
        for platform in platforms:
            code, report = judged(image, "--project", str(project.path), "--platform", platform)
            assert code == 0, report["checks"]
            assert not checks_with(report, "warn"), report["checks"]
    finally:
        docker("image", "rm", "--force", image)


def lock(project: Project) -> None:
    """requirements.lock, as `make lock` writes it."""
    command = [tool("uv"), "pip", "compile", "--quiet", "--generate-hashes", "--python-version", "3.12"]
    files = ["requirements/server.txt", "requirements/model.txt"]
    run([*command, "--output-file", "requirements.lock", *files], cwd=project.path)
