"""A container of an image, run as a strict platform runs it."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import random
import re
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from protoserve.verify.address import Address, UsageError
from protoserve.verify.targets.docker import Docker, Refused

LABEL = "protoserve.verify"
PIDS = 1024
# https://cloud.google.com/vertex-ai/docs/predictions/custom-container-requirements
VERTEX_HTTP_PORT = 8080
_LOG_LINES = 12
_MOST_PORTS = 32  # of those that an image EXPOSEs
_POLL = 0.05
_WILL_STAY = ("http1", "tls", "other")
_SETTLED = 2.0  # so long after the first port is open, a better one may open
# Faults of the image, which the engine finds when it is to run it: a verdict, and not a run that could not begin.
_UNSTARTED = re.compile(
    r"no command specified|executable file not found|exec format error|no such file or directory|permission denied"
    r"|is a directory|unable to find user|no matching entries in passwd|not a valid user",
    re.I,
)
_LISTEN = "0A"
_NOWHERE = 1  # tcpmux, which nobody serves


@dataclass(frozen=True, slots=True)
class Options:
    """How to run it: `port` is the container's port that speaks gRPC (None: find it), `memory` as docker writes it."""

    docker: str = "docker"
    port: int | None = None
    memory: str = "2g"
    writable: bool = False


@dataclass(frozen=True, slots=True)
class Image:
    """What the engine says of an image; `size` is in bytes, as it lies unpacked on the disk."""

    name: str
    platform: str
    user: str
    exposed: tuple[int, ...]
    size: int


class ImageServer:
    """The container.

    `inside` is its port that speaks gRPC, and `address` where this machine reaches that; `http` is the port of its HTTP
    server where the platform wants one.
    """

    def __init__(self, image: str, platform: str, options: Options, variables: dict[str, str]) -> None:
        """`variables` are what the platform sets beside PORT. Raises UsageError where there is nothing to start."""
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
        # The port that it must use; None where any of those that it EXPOSEs will do.
        self._told = self._candidates[0] if platform == "generic" else options.port
        self.name = f"protoserve-verify-{secrets.token_hex(6)}"
        self.inside = self._told or self.http or self._candidates[0]
        self.grpc = False
        self._published: dict[int, int] = {}
        self._failed = ""  # what the engine said where it could not start the container
        self._pid = 0

    @property
    def address(self) -> Address:
        """Of a container that could not be started it is a port on which nothing listens."""
        return self.published(self.inside)

    def published(self, port: int) -> Address:
        """Where this machine reaches a port of the container."""
        return Address("127.0.0.1", self._published.get(port, _NOWHERE))

    def find(self, kind: Callable[[Address], str], ready: Callable[[], bool], until: float) -> None:
        """Waits for a port that speaks gRPC, and points `address` there; `grpc` tells whether there is one.

        `kind` tells what speaks at an address (`http2` is what is looked for), `ready` whether the platform's HTTP
        server says so: a gRPC server beside it would listen by then.
        """
        first: float | None = None
        others: dict[int, str] = {}  # what speaks at ports, where it is not gRPC
        while not self.ended() and time.monotonic() < until:
            heard = self._open()
            if self._told in heard:  # what it speaks there is judged by the checks
                self.inside, self.grpc = heard[0], True
                return
            for port in [port for port in heard if others.get(port) not in _WILL_STAY]:
                others[port] = kind(self.published(port))
                if others[port] == "http2":
                    self.inside, self.grpc = port, True
                    return
            if heard and first is None:
                first = time.monotonic()
            settled = first is not None and time.monotonic() > first + _SETTLED
            if ready() and (settled or self._candidates == [VERTEX_HTTP_PORT]):
                return
            if settled and self.http is None:
                self.inside = heard[0] if heard else self.inside
                return
            time.sleep(_POLL)

    def _open(self) -> list[int]:
        """The published ports on which something listens that outsiders reach; all where that cannot be known."""
        sockets = self.sockets()
        if sockets is None:
            return list(self._candidates)
        heard = {port for host, port in sockets if not host.is_loopback}
        return [port for port in self._candidates if port in heard]

    def sockets(self) -> list[tuple[Any, int]] | None:
        """Address (of `ipaddress`) and port of every listening socket in the container, None where none can be seen."""
        tables = [self._table(name) for name in ("tcp", "tcp6")]
        known = [table for table in tables if table is not None]
        return [found for table in known for found in _sockets(table)] if known else None

    def _table(self, name: str) -> str | None:
        """The kernel's table of the container's connections: read from here where the engine is this machine's."""
        if self._pid:
            with contextlib.suppress(OSError):
                return Path(f"/proc/{self._pid}/net/{name}").read_text(encoding="ascii")
            return None
        with contextlib.suppress(Refused):
            return self._docker("exec", self.name, "cat", f"/proc/net/{name}")
        return None

    def ended(self) -> bool:
        if self._pid and Path(f"/proc/{self._pid}/net").exists():
            return False  # without asking the engine, which takes its time
        return bool(self._failed) or not self._state().get("Running", False)

    def told(self) -> str:
        if self._failed:
            return f"the engine cannot start it: {self._failed}"
        state = self._state()
        code = "still running" if state.get("Running") else f"exit code {state.get('ExitCode')}"
        killed = ", OOMKilled (out of memory)" if state.get("OOMKilled") else ""
        return "\n".join([code + killed, *self._log()])

    def listens(self) -> str | None:
        sockets = self.sockets()
        if not sockets:
            return None
        hosts = [host for host, port in sockets if port == self.inside]
        if hosts:
            return None if any(not host.is_loopback for host in hosts) else _shown(hosts[0], self.inside)
        elsewhere = sorted({_shown(host, port) for host, port in sockets if not _engine_dns(host)})
        told = " ".join(f"{name}={value}" for name, value in self.variables.items() if value == str(self.inside))
        return (
            f"{', '.join(elsewhere)}, and not on port {self.inside}{f' ({told})' * bool(told)}" if elsewhere else None
        )

    def terminate(self) -> None:
        with contextlib.suppress(Refused):  # one that has ended gets no signal
            self._docker("kill", "--signal", "TERM", self.name)

    def wait(self, seconds: float) -> int | None:
        if self._failed:
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
        """Makes the container and starts it. Raises UsageError where the engine cannot run such a one."""
        options = self._options
        limits = ["--cap-drop=ALL", "--security-opt=no-new-privileges", f"--pids-limit={PIDS}"]
        limits += [f"--memory={options.memory}", f"--memory-swap={options.memory}"]  # no swap beside it
        if not options.writable:
            limits += ["--read-only", "--tmpfs=/tmp"]
        given = [f"--env={name}={value}" for name, value in self.variables.items()]
        ports = [f"--publish=127.0.0.1::{port}" for port in self._candidates]
        label = f"--label={LABEL}={self.name.rpartition('-')[2]}"
        try:
            self._docker(
                "create", "--pull=never", f"--name={self.name}", label, *limits, *given, *ports, self.image.name
            )
            self.started = time.monotonic()
            self._docker("start", self.name)
        except Refused as error:
            if not _UNSTARTED.search(str(error)):
                raise UsageError(f"{self.image.name} cannot be run: {error}") from None
            self._failed = " ".join(str(error).replace("Error response from daemon: ", "").split())
            return
        found = self._docker.inspect("container", self.name)
        published = found["NetworkSettings"].get("Ports") or {}
        for name, places in published.items():
            if places:
                self._published[int(name.partition("/")[0])] = int(places[0]["HostPort"])
        self._pid = _own(int(found["State"].get("Pid") or 0), str(found["Id"]))

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
        return text.splitlines()[-_LOG_LINES:]


def inspect(docker: Docker, name: str) -> Image:
    """What the engine knows of the image. Raises UsageError where there is none, or no engine."""
    try:
        found = docker.inspect("image", name)
    except Refused as error:
        said = str(error)
        if re.search(r"no such (image|object)|not known|unable to find", said, re.I):
            raise UsageError(
                f"there is no image {name} on this machine: run `{docker.command} pull {name}` (or build it) first"
            ) from None
        hint = "; start the engine, or name another command with --docker" if "connect" in said.lower() else ""
        raise UsageError(f"{docker.command} cannot look at the image {name}: {said}{hint}") from None
    config = found.get("Config") or {}
    exposed = (config.get("ExposedPorts") or {}).keys()
    ports = sorted(int(port.partition("/")[0]) for port in exposed if not port.endswith("/udp"))
    user = str(config.get("User") or "").partition(":")[0]
    platform = f"{found.get('Os') or 'linux'}/{found.get('Architecture') or 'unknown'}"
    return Image(name, platform, user, tuple(ports), int(found.get("Size") or 0))


def _candidates(platform: str, image: Image, given: int | None) -> list[int]:
    """The container's ports that may speak gRPC, the likeliest first; all of them are published."""
    exposed = image.exposed[:_MOST_PORTS]
    if platform == "vertex":
        # Its HTTP port last: that gRPC takes only where the spec's grpcPorts names it.
        others = [given] if given is not None else [port for port in exposed if port != VERTEX_HTTP_PORT]
        return list(dict.fromkeys([*others, VERTEX_HTTP_PORT]))
    if given is not None:
        return [given]
    if platform == "generic":
        return [random.choice([port for port in range(20000, 30000) if port not in exposed]), *exposed]
    if not exposed:
        raise UsageError(f"{image.name} EXPOSEs no port: say which one speaks gRPC with --port N")
    return list(exposed)


def _own(pid: int, container: str) -> int:
    """The process, where it is one of this machine's and the container's; else 0, as with an engine elsewhere."""
    with contextlib.suppress(OSError):
        if pid and container in Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8"):
            return pid
    return 0


def _sockets(table: str) -> Iterable[tuple[Any, int]]:
    """Listening sockets of `/proc/net/tcp` or `tcp6`: words of 32 bits in the machine's order, then the port."""
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) < 4 or words[3] != _LISTEN:
            continue
        host, _, port = words[1].partition(":")
        raw = b"".join(struct.pack("=I", int(host[i : i + 8], 16)) for i in range(0, len(host), 8))
        family = socket.AF_INET if len(raw) == 4 else socket.AF_INET6
        found = ipaddress.ip_address(socket.inet_ntop(family, raw))
        yield getattr(found, "ipv4_mapped", None) or found, int(port, 16)


def _engine_dns(host: Any) -> bool:
    """Docker's own resolver, which listens in containers of user-made networks."""
    return str(host) == "127.0.0.11"


def _shown(host: Any, port: int) -> str:
    return f"[{host}]:{port}" if host.version == 6 else f"{host}:{port}"
