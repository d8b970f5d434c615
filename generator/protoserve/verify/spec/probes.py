"""Probes that cannot work, or that stop a server that is well."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from protoserve.verify.spec.faults import Fault, fail, warn
from protoserve.verify.spec.model import DEFAULTS, Container, Probe, Spec
from protoserve.verify.spec.tree import Node

SHORT = 30  # seconds: the patience of a probe's defaults
MODEST = 120
GRACE = 30  # terminationGracePeriodSeconds, where a pod does not say it
_LEAST = {"periodSeconds": 1, "timeoutSeconds": 1, "failureThreshold": 1, "successThreshold": 1}


def faults(spec: Spec, target: bool = False) -> Iterator[Fault]:
    """`target` says that there is a gRPC server which the specification is for."""
    for container in spec.containers:
        if target and len(spec.containers) == 1 and len(container.ports) == 1:
            container = replace(container, grpc=frozenset(container.ports))
        for probe in container.probes:
            yield from _port(spec, container, probe)
            yield from _kind(spec, container, probe)
            yield from _timings(spec, probe)
        yield from _liveness(container)
        yield from _startup(container)
        if spec.platform == "kubernetes":
            yield from _no_readiness(container)
            yield from _grace(container)


def _port(spec: Spec, container: Container, probe: Probe) -> Iterator[Fault]:
    port = probe.port
    if port is None:
        if probe.handler is not None and probe.kind in ("grpc", "httpGet", "tcpSocket"):
            yield fail(
                probe.handler,
                f"the {probe.kind} probe has no port",
                "A probe must know the number of the port that it asks.",
                f"Add it: {probe.kind}: {{port: {_some_port(container)}}}",
            )
        return
    named = port.is_text and not port.value.isdigit() and not port.value.startswith("{{")
    if probe.kind == "grpc" and port.is_text and (named or spec.platform == "kubernetes"):
        number = container.probed(probe) or _some_port(container)
        yield fail(
            port,
            f"the gRPC probe's port is {port.shown()}",
            "A gRPC probe takes the number of a port. Names are for httpGet and tcpSocket only, so the specification "
            "is refused (expected int32).",
            f"""
            Write the number, without quotes:
                grpc: {{port: {number}}}
            """,
        )
    elif named and spec.platform == "kubernetes" and container.probed(probe) is None:
        names = ", ".join(name for name in container.ports.values() if name) or "no port with a name"
        yield fail(
            port,
            f"the probe asks port {port.shown()}; the container has {names}",
            "The name of a probe's port must be that of one of the container's own ports: the probe fails for ever.",
            f"Name the port of the container so, or give its number: port: {_some_port(container)}",
        )


def _some_port(container: Container) -> int:
    return next(iter([*container.grpc, *container.ports]), 9000)


def _kind(spec: Spec, container: Container, probe: Probe) -> Iterator[Fault]:
    """A way of asking that does not fit a gRPC server."""
    if probe.handler is None:
        return
    if not container.speaks_grpc(probe):
        if probe.kind == "tcpSocket" and probe.purpose == "readiness":
            yield warn(
                probe.handler,
                "readiness only opens a port",
                "A server opens its port before its model is loaded, and keeps it open when the model is broken.",
                "Ask the server itself, with grpc or httpGet.",
            )
        return
    number = container.probed(probe)
    if probe.kind == "httpGet":
        yield fail(
            probe.handler,
            f"the probe sends HTTP GET to port {number}, which speaks gRPC",
            "A gRPC server answers no HTTP/1 GET. The probe fails for ever (malformed HTTP response), and the "
            "container never becomes ready or is restarted.",
            f"""
            Ask in gRPC; the server needs grpc.health.v1:
                grpc: {{port: {number}}}
            """,
        )
    elif probe.kind == "tcpSocket" and probe.purpose == "readiness":
        yield fail(
            probe.handler,
            f"readiness only opens port {number}, which speaks gRPC",
            "A server opens its port before its model is loaded, and keeps it open when the model is broken. With TCP "
            "readiness it gets requests that it cannot answer yet.",
            f"""
            Ask the server itself:
                grpc: {{port: {number}}}
                timeoutSeconds: 5
            """,
        )
    elif probe.kind == "tcpSocket" and probe.purpose == "startup":
        yield warn(
            probe.handler,
            f"the startup probe only opens port {number}, which speaks gRPC",
            "A server opens its port before its model is loaded: the startup probe is over long before that, and the "
            "liveness probe begins while the model loads.",
            f"Ask the server itself: grpc: {{port: {number}}}",
        )


def _timings(spec: Spec, probe: Probe) -> Iterator[Fault]:
    for key, least in _LEAST.items():
        node = probe.node.get(key)
        number = None if node is None else node.number
        if node is not None and number is not None and number < least and (spec.platform == "kubernetes" or number < 0):
            yield fail(node, f"{key} is {number}", f"{key} must be {least} or more.", f"Write {key}: {DEFAULTS[key]}")
    success = probe.node.get("successThreshold")
    if probe.purpose != "readiness" and success is not None and (success.number or 1) > 1:
        yield fail(
            success,
            f"successThreshold is {success.number}",
            f"For a {probe.purpose} probe it must be 1; Kubernetes refuses anything else.",
            "Take it out.",
        )
    timeout, period = probe.given("timeoutSeconds"), probe.given("periodSeconds")
    if timeout is None and probe.kind in ("grpc", "httpGet", "exec"):
        yield warn(
            probe.node,
            "timeoutSeconds is not given",
            "The default is 1 second. A server that is busy with predictions, or short of CPU, answers a little later "
            "now and then, and counts as dead.",
            "Give it time: timeoutSeconds: 5" + (", with periodSeconds: 4" if spec.platform == "vertex" else ""),
        )
    elif spec.platform == "vertex" and timeout:
        yield from _vertex_period(probe, timeout, period)


def _vertex_period(probe: Probe, timeout: int, period: int | None) -> Iterator[Fault]:
    """Vertex AI wants the period below the timeout, the other way round than one would think."""
    asked = period or DEFAULTS["periodSeconds"]
    if asked < timeout:
        return
    node = probe.node.get("periodSeconds") or probe.node
    seen = f"periodSeconds is {asked}{'' if period else ' (the default)'}, timeoutSeconds is {timeout}"
    cause = "Vertex AI wants periodSeconds less than timeoutSeconds, by its documentation of Probe."
    remedy = """
        For example:
            periodSeconds: 5
            timeoutSeconds: 10
        """
    if asked > timeout and period:
        yield fail(node, seen, cause, remedy)
    else:
        yield warn(node, seen, cause, remedy)


def _liveness(container: Container) -> Iterator[Fault]:
    """A liveness probe that restarts a server which still loads."""
    probe = container.probe("liveness")
    if probe is None or probe.handler is None or container.probe("startup") is not None:
        return
    if probe.kind == "tcpSocket" or (probe.kind == "grpc" and "live" in probe.service.lower()):
        return  # a port is open, and a name of its own SERVING, while the model loads
    patience = probe.patience
    if probe.kind == "grpc":
        name = f'"{probe.service}"'
        cause = (
            f"Health for {name} is NOT_SERVING while the model loads, as it must be. A liveness probe that asks for it "
            f"restarts the container after {patience} s, and a model that loads longer never gets ready "
            "(CrashLoopBackOff)."
        )
        seen = f"liveness asks for {name}, gives up after {patience} s, and there is no startup probe"
        if patience <= SHORT:
            yield fail(probe.handler, seen, cause, _PATIENT)
        elif patience < MODEST:
            yield warn(probe.handler, seen, cause, _PATIENT)
    elif probe.kind is not None and patience < MODEST:
        yield warn(
            probe.node,
            f"liveness gives up after {patience} s, and there is no startup probe",
            "If what it asks is only well once the model is loaded, a model that loads longer is restarted for ever.",
            _PATIENT,
        )


_PATIENT = """
    Let a startup probe wait for the model; liveness begins after it:
        startupProbe: {grpc: {port: 9000}, timeoutSeconds: 5, periodSeconds: 4, failureThreshold: 60}
    and let liveness ask for a name that is SERVING from the start, or only for the port:
        livenessProbe: {grpc: {port: 9000, service: liveness}, timeoutSeconds: 5}
    """


def _startup(container: Container) -> Iterator[Fault]:
    probe = container.probe("startup")
    if probe is None or probe.kind in (None, "tcpSocket") or probe.patience > SHORT:
        return
    if 0 in (probe.given("periodSeconds"), probe.given("failureThreshold")):
        return  # told as what it is
    if probe.kind == "grpc" and "live" in probe.service.lower():
        return
    yield warn(
        probe.node,
        f"the startup probe gives up after {probe.patience} s",
        "It is what waits for the model to load: a model that needs longer is restarted for ever.",
        "Raise failureThreshold: periodSeconds times failureThreshold should be several times what loading takes.",
    )


def _no_readiness(container: Container) -> Iterator[Fault]:
    if container.grpc and not any(key == "readinessProbe" for key in container.node.keys):
        yield warn(
            container.node,
            "there is no readiness probe",
            "Without one a pod is ready as soon as its process runs, and gets requests while the model still loads.",
            f"""
            Ask the server:
                readinessProbe:
                  grpc: {{port: {_some_port(container)}}}
                  timeoutSeconds: 5
            """,
        )


def _grace(container: Container) -> Iterator[Fault]:
    """Whether the container is killed while it still answers what is in flight."""
    pod = container.pod
    if pod is None:
        return
    given = pod.get("terminationGracePeriodSeconds")
    grace = GRACE if given is None or given.number is None else given.number
    drain = _seconds(container.environment.get("DRAIN_SECONDS"))
    sleeps = _pre_stop(container.node)
    if drain is None and grace and grace > sleeps:
        return
    needs = sleeps + (drain or 0)
    if needs >= grace:
        parts = [f"DRAIN_SECONDS is {drain:g}" if drain else "", f"preStop takes {sleeps:g} s" if sleeps else ""]
        why = " and ".join(part for part in parts if part)
        seen = f"terminationGracePeriodSeconds is {grace}{'' if given is not None else ' (the default)'}"
        yield fail(
            given or container.environment.get("DRAIN_SECONDS") or pod,
            f"{seen}, {why}" if why else seen,
            "The container gets SIGKILL when the grace time is over: what is in flight is lost, the exit code is 137.",
            f"""
            Give it more than it needs:
                terminationGracePeriodSeconds: {int(needs) + 10}
            """,
        )


def _seconds(node: Node | None) -> float | None:
    try:
        return None if node is None else float(str(node.value))
    except ValueError:
        return None


def _pre_stop(node: Node) -> float:
    """How long a preStop hook sleeps, as far as it can be seen."""
    native = node.get("lifecycle", "preStop", "sleep", "seconds")
    if native is not None and native.number is not None:
        return native.number
    command = node.get("lifecycle", "preStop", "exec", "command")
    words = " ".join(str(item.value) for item in command.items) if command is not None else ""
    found = re.search(r"\bsleep (\d+(\.\d+)?)\b", words)
    return float(found[1]) if found else 0.0
