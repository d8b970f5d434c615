"""Clients that balance over the pods of a headless Service, as docs/platforms/kubernetes.md has them; real servers."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from support import ROOT, Project, create

PAGE = (ROOT / "docs" / "platforms" / "kubernetes.md").read_text(encoding="utf-8")
CONFIG = "deploy/kubernetes/service_config.json"


class Pod:
    """A server at an address of its own, whose log tells the calls that it answered."""

    def __init__(self, project: Project, host: str) -> None:
        settings = {"HOST": host, "PORT": "0", "LOG_REQUESTS": "true", "LOG_FORMAT": "json", "LAME_DUCK_SECONDS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{project.package}.server"],
            cwd=project.path,
            env={**project.environment, **settings},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr is not None
        self.lines: list[dict[str, Any]] = []
        for line in map(json.loads, self.process.stderr):
            if "listening" in line["message"]:
                self.address = f"{host}:{line['message'].rpartition(' ')[2]}"
                break
        self._reader = threading.Thread(target=lambda: self.lines.extend(map(json.loads, self.process.stderr or ())))
        self._reader.start()
        with grpc.insecure_channel(self.address) as channel:
            watch = health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=60)
            assert any(reply.status == health_pb2.HealthCheckResponse.SERVING for reply in watch)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0
        self._reader.join()

    def answered(self) -> list[str]:
        """The codes of its calls, and `stopping` where it was told to end."""
        codes = ("stopping" if line["message"].startswith("stopping") else line.get("code") for line in self.lines)
        return [code for code in codes if code]


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    dest = tmp_path_factory.mktemp("balanced") / "iris"
    made = create(template, dest, framework="python", platforms=["kubernetes"])
    made.python("train.py")
    return made


@pytest.fixture
def pods(project: Project) -> Iterator[tuple[Pod, Pod]]:
    with ExitStack() as stack:
        made = []
        for host in ("127.0.0.2", "127.0.0.3"):
            made.append(Pod(project, host))
            stack.callback(made[-1].stop)
        yield made[0], made[1]


@pytest.fixture
def call(project: Project) -> Callable[[grpc.Channel], bytes]:
    code = "import sys; from grpc_client import METHODS, parse_request; m = METHODS['Predict']; "
    code += "sys.stdout.buffer.write(parse_request(m, open('tests/requests/Predict.json').read()).SerializeToString())"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=project.path,
        env={**project.environment, "PYTHONPATH": f"{project.path}/src:{project.path}/scripts"},
        capture_output=True,
        check=True,
    )
    request = done.stdout

    def one(channel: grpc.Channel) -> bytes:
        method: Any = channel.unary_unary("/iris.v1.PredictionService/Predict")
        reply: bytes = method(request, timeout=20)
        return reply

    return one


def channel_of_the_page(project: Project, target: str, monkeypatch: pytest.MonkeyPatch) -> grpc.Channel:
    """What the page's example in Python makes, with the addresses that the name would resolve to."""
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert "dns:///iris-headless:9000" in example
    monkeypatch.chdir(project.path)
    made: dict[str, Any] = {}
    exec(example.replace("dns:///iris-headless:9000", target), made)
    channel: grpc.Channel = made["channel"]
    return channel


def both(pods: tuple[Pod, Pod]) -> str:
    return "ipv4:" + ",".join(pod.address for pod in pods)


def test_the_page_has_the_file(project: Project) -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert shown == (project.path / CONFIG).read_text(encoding="utf-8")


def test_calls_are_spread_and_a_pod_that_ends_costs_none(
    project: Project, pods: tuple[Pod, Pod], call: Callable[[grpc.Channel], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with channel_of_the_page(project, both(pods), monkeypatch) as channel:
        # The second connection takes a moment longer than the first.
        while not all("OK" in pod.answered() for pod in pods):
            call(channel)
        before = [len(pod.answered()) for pod in pods]
        for _ in range(100):
            call(channel)
        while sum(len(pod.answered()) for pod in pods) < sum(before) + 100:
            threading.Event().wait(0.01)  # their logs come a little later
        share = [len(pod.answered()) - already for pod, already in zip(pods, before, strict=True)]
        assert max(share) - min(share) <= 4

        # Every call is answered while one of them ends, and after that.
        ended = threading.Thread(target=pods[0].stop)
        ended.start()
        calls = 0
        while ended.is_alive():
            call(channel)
            calls += 1
        for _ in range(20):
            call(channel)
    assert calls > 20
    pods[1].stop()
    assert set(pods[1].answered()) == {"OK", "stopping"}
    first = pods[0].answered()
    # Health took it out: what came after SIGTERM is what was on its way.
    assert len(first) - first.index("stopping") < 10
    assert set(first) == {"OK", "stopping"}


def test_without_the_config_one_pod_has_all(pods: tuple[Pod, Pod], call: Callable[[grpc.Channel], bytes]) -> None:
    """What the page says of a client as it is."""
    with grpc.insecure_channel(both(pods)) as channel:
        for _ in range(50):
            call(channel)
    for pod in pods:
        pod.stop()
    assert sorted(pod.answered().count("OK") for pod in pods) == [0, 50]


def test_predict_takes_the_config(project: Project, pods: tuple[Pod, Pod], tmp_path: Path) -> None:
    done = project.python("scripts/predict.py", "--target", both(pods), "--service-config", CONFIG)
    assert "species" in json.loads(done.stdout)
    (tmp_path / "wrong.json").write_text("{", encoding="utf-8")
    for wrong in ("nowhere.json", str(tmp_path / "wrong.json")):
        done = project.python("scripts/predict.py", "--service-config", wrong, check=False)
        assert done.returncode == 2
        assert f"{wrong} is not a service config: " in done.stderr
