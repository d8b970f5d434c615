"""The servers that are compared: how each is installed and started, and in which protocols it is asked."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from socket import socket
from types import ModuleType

import peer_protocols as protocols
from peer_protocols import Grpc, Http
from running import Server, ServerEnded, process, python_server

from support import Project, copy_template, create, tool

FOLDER = Path(__file__).resolve().parent
SERVERS = FOLDER / "peer_servers"
START_SECONDS = 120.0
# The libraries of the model are the same for all; the versions of everything else are what each peer asks for.
MODEL_REQUIREMENTS = ("scikit-learn==1.9.1", "skops==0.16.0", "onnxruntime==1.32.0")
# Relative to the project.
ARTIFACTS = {"sklearn": "artifacts/model.skops", "onnx": "artifacts/model.onnx"}
# One core computes: more threads would only wait for it.
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
# Their versions are shown beside that of the peer.
SHOWN_PACKAGES = ("numpy", "scikit-learn", "onnxruntime", "grpcio", "uvicorn")
ROW = (5.1, 3.5, 1.4, 0.2)

Protocol = Grpc | Http


class Unavailable(Exception):
    """A server cannot be installed or started, or answers wrongly; with the reason."""


class Projects:
    """The generated projects that are measured, each made when it is first asked for.

    They are of a framework, and with or without the HTTP side of Vertex AI (`web`).
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._template = copy_template(folder / "protoserve")
        self._made: dict[tuple[str, bool], Project] = {}

    def project(self, framework: str, *, web: bool = False) -> Project:
        """A project with its model."""
        if (framework, web) not in self._made:
            path = self._folder / (f"{framework}-web" if web else framework)
            answers = {"package": "iris", "framework": framework, "platforms": ["vertex-ai"] if web else []}
            project = self._made[framework, web] = create(self._template, path, **answers)
            project.python("train.py")
        return self._made[framework, web]

    def artifact(self, framework: str) -> Path:
        """The model that all servers of this framework serve."""
        return self.project(framework).path / ARTIFACTS[framework]

    def stubs(self, framework: str) -> ModuleType:
        """The messages of their contract, which is the same for all."""
        path = str(self.project(framework).path / "src")
        if path not in sys.path:
            sys.path.insert(0, path)
        return import_module("iris.v1.prediction_pb2")


@dataclass(frozen=True)
class Peer:
    """A server from the package index. In `arguments`, `{http}`, `{grpc}` and `{metrics}` are free ports."""

    title: str
    requirements: tuple[str, ...]
    arguments: tuple[str, ...]
    protocols: Mapping[str, Protocol]
    batching: str
    environment: Mapping[str, str] = field(default_factory=dict)
    # PyTriton loads libpython3, which only the system's Python has beside it.
    needs_system_python: bool = False
    # Files that it reads, in the folder where it starts.
    files: Mapping[str, str] = field(default_factory=dict)

    @property
    def python(self) -> str:
        """The interpreter of its environment."""
        return "/usr/bin/python3" if self.needs_system_python else sys.executable


@dataclass(frozen=True)
class OwnServer:
    """A server that runs in a generated project, in the environment of the tests."""

    title: str
    arguments: tuple[str, ...]
    protocol_names: tuple[str, ...]
    batching: str
    settings: Mapping[str, str] = field(default_factory=dict)
    has_health: bool = True
    # Has the HTTP side of Vertex AI also where it is asked over gRPC.
    web: bool = False


GENERATED = ("-m", "iris.server")
OWN_SERVERS = {
    "by-hand": OwnServer("by hand, grpc.aio", (str(FOLDER / "by_hand.py"), "aio"), ("grpc",), "none", has_health=False),
    "by-hand-sync": OwnServer(
        "by hand, grpc.server", (str(FOLDER / "by_hand.py"), "sync"), ("grpc",), "none", has_health=False
    ),
    "protoserve": OwnServer("protoserve", GENERATED, ("grpc", "http"), "what is queued, 32"),
    "protoserve-native": OwnServer(
        "protoserve, native", GENERATED, ("grpc",), "what is queued, 32", {"TRANSPORT": "native"}
    ),
    "protoserve-web": OwnServer("protoserve, with its HTTP side", GENERATED, ("grpc",), "what is queued, 32", web=True),
}
# In the server's own process, which is fastest on one core, and without a line in the log for each request.
MLSERVER_SETTINGS = {"MLSERVER_PARALLEL_WORKERS": "0", "MLSERVER_DEBUG": "false"}
MLSERVER_MODEL = {
    "name": "iris",
    "implementation": "mlserver_model.Iris",
    "max_batch_size": 32,
    # The least that turns batching on; a lone caller waits as long for others.
    "max_batch_time": 0.001,
}
PEERS = {
    "kserve": Peer(
        "KServe SDK",
        ("kserve==0.21.0",),
        (str(SERVERS / "kserve_server.py"), "{http}", "{grpc}"),
        {"grpc": protocols.open_inference_grpc("rows"), "http": protocols.KSERVE_HTTP},
        "none in the SDK",
    ),
    "mlserver": Peer(
        "MLServer",
        ("mlserver==1.7.1",),
        ("{bin}/mlserver", "start", "."),
        {"grpc": protocols.open_inference_grpc("rows"), "http": protocols.open_inference_http("rows")},
        "off",
        MLSERVER_SETTINGS,
        files={"model-settings.json": json.dumps({"name": "iris", "implementation": "mlserver_model.Iris"})},
    ),
    "mlserver-batches": Peer(
        "MLServer, batches",
        ("mlserver==1.7.1",),
        ("{bin}/mlserver", "start", "."),
        {"grpc": protocols.open_inference_grpc("rows"), "http": protocols.open_inference_http("rows")},
        "adaptive, 32 or 1 ms",
        MLSERVER_SETTINGS,
        files={"model-settings.json": json.dumps(MLSERVER_MODEL)},
    ),
    "pytriton": Peer(
        "PyTriton",
        ("nvidia-pytriton==0.7.0",),
        (str(SERVERS / "pytriton_server.py"), "{http}", "{grpc}", "{metrics}"),
        {"grpc": protocols.open_inference_grpc("rows"), "http": protocols.open_inference_http("rows")},
        "dynamic, 32",
        needs_system_python=True,
    ),
    "litserve": Peer(
        "LitServe",
        ("litserve==0.2.19",),
        (str(SERVERS / "litserve_server.py"), "{http}"),
        {"http": protocols.LITSERVE_HTTP},
        "32, no waiting",
    ),
    "bentoml": Peer(
        "BentoML",
        ("bentoml==1.4.40",),
        ("-m", "bentoml", "serve", "bentoml_service:Iris", "--host", "127.0.0.1", "--port", "{http}"),
        {"http": protocols.BENTOML_HTTP},
        "adaptive, 32",
        {"BENTOML_DO_NOT_TRACK": "true"},
    ),
}


def install(peer: Peer, cache: Path) -> tuple[Path, dict[str, str]]:
    """The interpreter of the peer's environment, and the versions of what matters in it."""
    own = peer.requirements[0].partition("[")[0].partition("==")[0]
    python = environment(own, (*peer.requirements, *MODEL_REQUIREMENTS), peer.python, cache)
    listed = json.loads(_run([tool("uv"), "pip", "list", "--quiet", "--python", python, "--format", "json"]))
    versions = {package["name"]: package["version"] for package in listed}
    return python, {name: versions[name] for name in (own, *SHOWN_PACKAGES) if name in versions}


def environment(name: str, requirements: Sequence[str], python: str, cache: Path) -> Path:
    """The interpreter of an environment with these packages, which is made if the cache has none."""
    wanted = json.dumps([*requirements, python])
    folder = cache / f"{name}-{hashlib.sha256(wanted.encode()).hexdigest()[:12]}"
    installed, ready = folder / "bin" / "python", folder / "ready"
    if not ready.exists():
        shutil.rmtree(folder, ignore_errors=True)
        cache.mkdir(parents=True, exist_ok=True)
        _run([tool("uv"), "venv", "--quiet", "--python", python, folder])
        _run([tool("uv"), "pip", "install", "--quiet", "--python", installed, *requirements])
        ready.touch()
    return installed


@contextmanager
def peer_server(peer: Peer, python: Path, artifact: Path, folder: Path, **settings: str) -> Iterator[Server]:
    """The peer's server, once it answers in each of its protocols; raises Unavailable if it does not.

    `python` is the interpreter of its environment; `folder` is for its files and its log.
    """
    for name, text in peer.files.items():
        (folder / name).write_text(text, encoding="utf-8")
    ports = {name: _free_port() for name in ("http", "grpc", "metrics")}
    variables = {
        **os.environ,
        **ONE_THREAD,
        **peer.environment,
        **settings,
        "PYTHONPATH": str(SERVERS),
        "MODEL_PATH": str(artifact),
        "HOME": str(folder),
        "MLSERVER_HTTP_PORT": str(ports["http"]),
        "MLSERVER_GRPC_PORT": str(ports["grpc"]),
        "MLSERVER_METRICS_PORT": str(ports["metrics"]),
    }
    command = [python, *(part.format(bin=python.parent, **ports) for part in peer.arguments)]
    with (folder / "log").open("w") as log, process(command, cwd=folder, env=variables, log=log) as started:
        server = Server(started)
        server.ports = {name: ports[name] for name in peer.protocols}
        for name, protocol in peer.protocols.items():
            _wait_for_answer(server, protocol, ports[name], folder / "log")
        yield server


@contextmanager
def own_server(own: OwnServer, project: Project, artifact: Path, **settings: str) -> Iterator[Server]:
    """A server in a generated project, once it serves; raises Unavailable if it ends instead."""
    environment = {**ONE_THREAD, **own.settings, "MODEL_PATH": str(artifact), **settings}
    with ExitStack() as stack:
        try:
            server = stack.enter_context(python_server(project, own.arguments, **environment))
        except ServerEnded as error:
            raise Unavailable(str(error)) from error
        yield server


def own_protocols(own: OwnServer, stubs: ModuleType) -> dict[str, Protocol]:
    """The protocols of a server in a generated project, by the messages of its contract."""
    grpc = protocols.own_grpc(stubs)
    if not own.has_health:
        grpc = replace(grpc, health_path="")
    both: dict[str, Protocol] = {"grpc": grpc, "http": protocols.OWN_HTTP}
    return {name: both[name] for name in own.protocol_names}


def _run(command: Sequence[str | Path]) -> str:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Unavailable(f"`{Path(command[0]).name} {' '.join(map(str, command[1:3]))}` failed: {done.stderr[-500:]}")
    return done.stdout


def _wait_for_answer(server: Server, protocol: Protocol, port: int, log: Path) -> None:
    end = time.monotonic() + START_SECONDS
    reason: Exception | None = None
    while time.monotonic() < end and server.process.poll() is None:
        client = protocol.connect(port)
        try:
            client.probabilities(ROW)
            return
        except Exception as error:  # whatever a server that is not ready yet answers
            reason = error
            time.sleep(0.2)
        finally:
            client.close()
    last_lines = " / ".join(log.read_text(errors="replace").splitlines()[-3:])
    raise Unavailable(
        f"no right answer over {protocol.name}: {str(reason)[-300:]}; its log ends with: {last_lines[-500:]}"
    )


def _free_port() -> int:
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
