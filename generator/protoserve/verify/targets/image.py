"""A container, run as a strict platform runs it."""

from __future__ import annotations

import contextlib
import json
import random
import re
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protoserve.verify.address import Address, UsageError
from protoserve.verify.protocol_detection import Answerer, detect
from protoserve.verify.targets.docker import Docker, Refused
from protoserve.verify.targets.elsewhere import Elsewhere
from protoserve.verify.targets.process import shortened_line
from protoserve.verify.targets.sockets import Listening, in_table, shown

LABEL = "protoserve.verify"
PIDS = 1024
# https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
VERTEX_HTTP_PORT = 8080
_LOG_LINES = 12
_MAX_PORTS = 32  # of those that an image EXPOSEs
_POLL_SECONDS = 0.05
_FINAL_PROTOCOLS = ("http1", "tls", "other")  # a port that speaks one of these will not speak gRPC later
_SETTLING_SECONDS = 2.0  # after the first port is open, a gRPC port may still open
# The engine's errors that are faults of the image: they give a verdict, and are not a run that could not begin.
_IMAGE_FAULT = re.compile(
    r"no command specified|executable file not found|exec format error|no such file or directory|permission denied"
    r"|is a directory|unable to find user|no matching entries in passwd|not a valid user",
    re.I,
)
_UNUSED_PORT = 1  # tcpmux; nothing listens there


@dataclass(frozen=True, slots=True)
class Options:
    """How to run it: `port` is the container's gRPC port (None: look for it), `memory` a size as docker takes it."""

    docker: str = "docker"
    port: int | None = None
    memory: str = "2g"
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """What the engine knows about an image; `size` is in bytes, unpacked on the disk."""

    name: str
    platform: str
    user: str
    exposed: tuple[int, ...]
    size: int


class ImageServer:
    """A container of the image, from `start()` to `close()`.

    `inside` is the container's gRPC port, and `address` where this machine reaches it; `http` is the container's HTTP
    port, None if the platform does not need one.
    """

    def __init__(self, image: str, platform: str, options: Options, variables: dict[str, str]) -> None:
        """`variables` are those that the platform sets beside PORT. Raises UsageError if there is nothing to start."""
        self.started = time.monotonic()
        self._options = options
        self._docker = Docker(options.docker)
        self.image = inspect(self._docker, image)
        self.engine = self._docker.platform()
        self._candidates = _candidates(platform, self.image, options.port)
        self.http = VERTEX_HTTP_PORT if platform == "vertex" else None
        self.variables = dict(variables)
        if platform == "generic":
            self.variables["PORT"] = str(self._candidates[0])
        # The port that it must use; None if any port that it EXPOSEs will do.
        self._required_port = self._candidates[0] if platform == "generic" else options.port
        self.name = f"protoserve-verify-{secrets.token_hex(6)}"
        self.inside = self._required_port or self.http or self._candidates[0]
        self.grpc = False
        self._published: dict[int, int] = {}
        self._start_error = ""  # what the engine said, if it could not start the container
        self._pid = 0
        self._bridge_host = ""  # its address in the engine's network
        self._elsewhere = Elsewhere(self._unreached_port)

    @property
    def address(self) -> Address:
        """For a container that could not be started: a port on which nothing listens."""
        return self.published(self.inside)

    def published(self, port: int) -> Address:
        """Where this machine reaches a port of the container."""
        return Address("127.0.0.1", self._published.get(port, _UNUSED_PORT))

    def find_grpc_port(self, protocol: Callable[[Address], str], http_ready: Callable[[], bool], until: float) -> None:
        """Waits for a port that speaks gRPC, and points `address` to it; `grpc` says whether there is one.

        `protocol` gives what an address speaks (gRPC is `http2`). `http_ready` says whether the platform's HTTP server
        is ready: a gRPC server beside it would listen by then.
        """
        first_open: float | None = None
        protocols: dict[int, str] = {}
        while not self.ended() and time.monotonic() < until:
            open_ports = self._open_ports()
            if self._required_port in open_ports:  # the checks judge what it speaks
                self.inside, self.grpc = open_ports[0], True
                return
            for port in [port for port in open_ports if protocols.get(port) not in _FINAL_PROTOCOLS]:
                protocols[port] = protocol(self.published(port))
                if protocols[port] == "http2":
                    self.inside, self.grpc = port, True
                    return
            if open_ports and first_open is None:
                first_open = time.monotonic()
            is_settled = first_open is not None and time.monotonic() > first_open + _SETTLING_SECONDS
            if http_ready() and (is_settled or self._candidates == [VERTEX_HTTP_PORT]):
                return
            if is_settled and self.http is None:
                self.inside = open_ports[0] if open_ports else self.inside
                return
            if self.http is None and self.serves_elsewhere():
                return
            time.sleep(_POLL_SECONDS)

    def _open_ports(self) -> list[int]:
        """The published ports on which something listens for outsiders; all of them if that cannot be known."""
        sockets = self.sockets()
        if sockets is None:
            return list(self._candidates)
        reachable = {port for host, port in sockets if not host.is_loopback}
        return [port for port in self._candidates if port in reachable]

    def sockets(self) -> list[Listening] | None:
        """Address (of `ipaddress`) and port of each listening socket in the container, None if they cannot be read."""
        tables = [table for name in ("tcp", "tcp6") if (table := self._table(name)) is not None]
        return [listening for table in tables for listening in in_table(table)] if tables else None

    def _table(self, name: str) -> str | None:
        """The kernel's table of the container's connections, read from this machine if the engine runs on it."""
        if self._pid:
            with contextlib.suppress(OSError):
                return Path(f"/proc/{self._pid}/net/{name}").read_text(encoding="ascii")
            return None
        with contextlib.suppress(Refused):
            return self._docker("exec", self.name, "cat", f"/proc/net/{name}")
        return None

    def ended(self) -> bool:
        if self._pid and Path(f"/proc/{self._pid}/net").exists():
            return False  # faster than asking the engine
        return bool(self._start_error) or not self._state().get("Running", False)

    def exit_report(self) -> str:
        if self._start_error:
            return f"the engine cannot start it: {self._start_error}"
        state = self._state()
        code = "still running" if state.get("Running") else f"exit code {state.get('ExitCode')}"
        killed = ", OOMKilled (out of memory)" if state.get("OOMKilled") else ""
        return "\n".join([code + killed, *self._log()])

    def listens_elsewhere(self) -> str | None:
        sockets = self.sockets()
        if not sockets:
            return None
        hosts = [host for host, port in sockets if port == self.inside]
        if hosts:
            return None if any(not host.is_loopback for host in hosts) else shown(hosts[0], self.inside)
        sockets = sorted(sockets, key=lambda socket: (socket[1] != self._elsewhere.port, shown(*socket)))
        elsewhere = dict.fromkeys(shown(host, port) for host, port in sockets if not _is_engine_dns(host))
        if not elsewhere:
            return None
        variables = " ".join(f"{name}={value}" for name, value in self.variables.items() if value == str(self.inside))
        return f"{', '.join(elsewhere)}, and not on port {self.inside}" + (f" ({variables})" if variables else "")

    def serves_elsewhere(self) -> bool:
        """Also whether it has held its own port on the loopback alone for some seconds."""
        return self._elsewhere.is_settled()

    def _unreached_port(self) -> int | None:
        """One of the loopback alone, or one that is not published and speaks HTTP/2 on the engine's network."""
        sockets = self.sockets() or []
        own = [host for host, port in sockets if port in self._candidates]
        if own:
            is_only_port = self._required_port is not None or len(self._candidates) == 1
            return self.inside if is_only_port and all(host.is_loopback for host in own) else None
        if not self._pid or not self._bridge_host:
            return None
        others = dict.fromkeys(port for host, port in sockets if not host.is_loopback)
        serving = (port for port in others if detect(Address(self._bridge_host, port), 1.0).kind is Answerer.HTTP2)
        return next(serving, None)

    def terminate(self) -> None:
        with contextlib.suppress(Refused):  # one that has ended gets no signal
            self._docker("kill", "--signal", "TERM", self.name)

    def wait(self, seconds: float) -> int | None:
        if self._start_error:
            return None
        with contextlib.suppress(Refused):
            return int(self._docker("wait", self.name, timeout=max(0.1, seconds)))
        return None

    def close(self) -> None:
        try:
            self._docker("rm", "--force", "--volumes", self.name)
        except Refused as error:
            if "no such container" not in str(error).lower():
                print(f"protoserve: the container {self.name} could not be removed: {error}", file=sys.stderr)

    def start(self) -> None:
        """Creates the container and starts it. Raises UsageError if the engine cannot run it."""
        options = self._options
        limits = ["--cap-drop=ALL", "--security-opt=no-new-privileges", f"--pids-limit={PIDS}"]
        limits += [f"--memory={options.memory}", f"--memory-swap={options.memory}"]  # no swap beside it
        if not options.writable:
            limits += ["--read-only", "--tmpfs=/tmp"]
        variables = [f"--env={name}={value}" for name, value in self.variables.items()]
        ports = [f"--publish=127.0.0.1::{port}" for port in self._candidates]
        label = f"--label={LABEL}={self.name.rpartition('-')[2]}"
        try:
            self._docker(
                "create", "--pull=never", f"--name={self.name}", label, *limits, *variables, *ports, self.image.name
            )
            self.started = time.monotonic()
            self._docker("start", self.name)
        except Refused as error:
            if not _IMAGE_FAULT.search(str(error)):
                raise UsageError(f"{self.image.name} cannot be run: {error}") from None
            self._start_error = " ".join(str(error).replace("Error response from daemon: ", "").split())
            return
        container = self._docker.inspect("container", self.name)
        published = container["NetworkSettings"].get("Ports") or {}
        for name, host_ports in published.items():
            if host_ports:
                self._published[int(name.partition("/")[0])] = int(host_ports[0]["HostPort"])
        networks = (container["NetworkSettings"].get("Networks") or {}).values()
        self._bridge_host = next((network["IPAddress"] for network in networks if network.get("IPAddress")), "")
        self._pid = _local_pid(int(container["State"].get("Pid") or 0), str(container["Id"]))

    def _state(self) -> dict[str, Any]:
        try:
            state: dict[str, Any] = json.loads(self._docker("inspect", "--format", "{{json .State}}", self.name))
        except Refused:
            return {}
        return state

    def _log(self) -> list[str]:
        try:
            text = self._docker("logs", f"--tail={_LOG_LINES}", self.name, errors=True)
        except Refused as error:
            return [f"its log cannot be read: {error}"]
        return [shortened_line(line) for line in text.splitlines()[-_LOG_LINES:]]


def inspect(docker: Docker, name: str) -> Image:
    """What the engine knows about the image. Raises UsageError without the image, or without an engine."""
    try:
        description = docker.inspect("image", name)
    except Refused as error:
        message = str(error)
        if re.search(r"no such (image|object)|not known|unable to find", message, re.I):
            raise UsageError(
                f"the image {name} is not on this machine: run `{docker.command} pull {name}` (or build it) first"
            ) from None
        hint = "; start the engine, or name another command with --docker" if "connect" in message.lower() else ""
        raise UsageError(f"{docker.command} cannot inspect the image {name}: {message}{hint}") from None
    config = description.get("Config") or {}
    exposed = (config.get("ExposedPorts") or {}).keys()
    ports = sorted(int(port.partition("/")[0]) for port in exposed if not port.endswith("/udp"))
    user = str(config.get("User") or "").partition(":")[0]
    platform = f"{description.get('Os') or 'linux'}/{description.get('Architecture') or 'unknown'}"
    return Image(name, platform, user, tuple(ports), int(description.get("Size") or 0))


def _candidates(platform: str, image: Image, grpc_port: int | None) -> list[int]:
    """The container's ports that may speak gRPC, the likeliest first; all are published."""
    exposed = image.exposed[:_MAX_PORTS]
    if platform == "vertex":
        # Its HTTP port last: it only speaks gRPC if the specification's grpcPorts names it.
        others = [grpc_port] if grpc_port is not None else [port for port in exposed if port != VERTEX_HTTP_PORT]
        return list(dict.fromkeys([*others, VERTEX_HTTP_PORT]))
    if grpc_port is not None:
        return [grpc_port]
    if platform == "generic":
        return [random.choice([port for port in range(20000, 30000) if port not in exposed]), *exposed]
    if not exposed:
        raise UsageError(f"{image.name} does not EXPOSE a port: name the one that speaks gRPC with --port N")
    return list(exposed)


def _local_pid(pid: int, container: str) -> int:
    """The process id if the container's process is on this machine, 0 if the engine runs elsewhere."""
    with contextlib.suppress(OSError):
        if pid and container in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"):
            return pid
    return 0


def _is_engine_dns(host: Any) -> bool:
    """Whether it is Docker's own resolver, which listens in containers of user-defined networks."""
    return str(host) == "127.0.0.11"
