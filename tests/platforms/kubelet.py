"""What the kubelet does with one container: its probes, exactly as the manifest writes them.

The rules are those of https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes: a new
connection for each probe; one at a time of each kind; nothing but the startup probe until that has passed; after a
pod's deletion neither startup nor liveness any more.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse


@dataclass(frozen=True)
class Result:
    """One probe: whether it passed, what it took in seconds, and what Kubernetes would print."""

    kind: str
    passed: bool
    seconds: float
    message: str


@dataclass(frozen=True)
class Probe:
    """A gRPC probe with Kubernetes' defaults for what the manifest leaves out; times are in seconds."""

    kind: str
    port: int
    service: str
    period: float
    timeout: float
    failures: int
    successes: int
    delay: float

    @classmethod
    def read(cls, container: dict[str, Any], kind: str) -> Probe | None:
        written = container.get(f"{kind}Probe")
        if written is None:
            return None
        assert written.keys() <= {
            "grpc", "periodSeconds", "timeoutSeconds", "failureThreshold", "successThreshold", "initialDelaySeconds"
        }, written  # fmt: skip
        return cls(
            kind,
            written["grpc"]["port"],
            written["grpc"].get("service", ""),
            written.get("periodSeconds", 10),
            written.get("timeoutSeconds", 1),
            written.get("failureThreshold", 3),
            written.get("successThreshold", 1),
            written.get("initialDelaySeconds", 0),
        )

    def ask(self, host: str) -> Result:
        """Asks once, as the kubelet does: connects anew and gives the whole of it `timeout` seconds."""
        began = time.monotonic()
        options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
        with grpc.insecure_channel(f"{host}:{self.port}", options=options) as channel:
            try:
                grpc.channel_ready_future(channel).result(self.timeout)
                left = max(0.0, self.timeout - (time.monotonic() - began))
                request = health_pb2.HealthCheckRequest(service=self.service)
                status = health_pb2_grpc.HealthStub(channel).Check(request, timeout=left).status
                passed = status == HealthCheckResponse.SERVING
                message = f'service unhealthy (responded with "{HealthCheckResponse.ServingStatus.Name(status)}")'
            except grpc.FutureTimeoutError:
                passed, message = False, f"timeout: failed to connect service within {self.timeout} s"
            except grpc.RpcError as error:
                passed, message = False, f"error: health rpc probe failed: {error.code().name}"
        return Result(self.kind, passed, time.monotonic() - began, "" if passed else message)


@dataclass
class Kubelet:
    """Runs the probes of `container`, which listens at `host`, and says what Kubernetes would do with it."""

    container: dict[str, Any]
    host: str
    started: bool = False
    ready: bool = False
    killed: list[str] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    _deleted: bool = False

    def __post_init__(self) -> None:
        self._changed, self._end, self._threads = threading.Condition(), threading.Event(), list[threading.Thread]()
        self.probes = {
            kind: probe
            for kind in ("startup", "readiness", "liveness")
            if (probe := Probe.read(self.container, kind)) is not None
        }

    def __enter__(self) -> Kubelet:
        self.started = "startup" not in self.probes
        for probe in self.probes.values():
            self._threads.append(threading.Thread(target=self._run, args=(probe,), daemon=True))
            self._threads[-1].start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        with self._changed:
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def delete(self) -> None:
        """The pod is to end: from now on only readiness is asked."""
        self._deleted = True

    def of(self, kind: str) -> list[Result]:
        """The results of one kind of probe so far."""
        with self._changed:
            return [result for result in self.results if result.kind == kind]

    def wait(self, condition: Callable[[], object], seconds: float) -> None:
        """Returns as soon as the condition holds; fails with all results when the time is over."""
        with self._changed:
            held = self._changed.wait_for(lambda: condition() or self.killed, seconds)
        assert held, (self.killed, self.results)
        assert condition(), (self.killed, self.results)

    def _run(self, probe: Probe) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._end.is_set() or probe.kind == "startup" or self.started)
        passed = failed = 0
        wait = probe.delay
        while not self._end.wait(wait):
            if self._deleted and probe.kind != "readiness":
                return
            result = probe.ask(self.host)
            wait = max(0.0, probe.period - result.seconds)
            passed, failed = (passed + 1, 0) if result.passed else (0, failed + 1)
            with self._changed:
                self.results.append(result)
                if passed >= probe.successes and probe.kind == "startup":
                    self.started = True
                if passed >= probe.successes and probe.kind == "readiness":
                    self.ready = True
                if failed >= probe.failures and probe.kind == "readiness":
                    self.ready = False
                if failed >= probe.failures and probe.kind != "readiness" and not self._deleted:
                    self.killed.append(f"Container failed {probe.kind} probe, will be restarted: {result.message}")
                self._changed.notify_all()
            if self.killed or (probe.kind == "startup" and self.started):
                return
