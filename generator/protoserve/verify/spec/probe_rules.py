"""Probes that cannot work, or that stop a healthy server."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from protoserve.verify.spec.container_spec import DEFAULTS, HANDLERS, Container, Probe, Spec, handler_kinds
from protoserve.verify.spec.fault_report import Fault, fail, similar_key, warn
from protoserve.verify.spec.tree import Node

DEFAULT_GRACE = 30  # terminationGracePeriodSeconds of a pod that does not set it
DEFAULT_PORT = 9000  # in remedies, if the container has no port
# A model may take this many seconds to load. A probe that gives up sooner is a fault, or at least deserves a look.
_TOO_SHORT = 30  # what a probe's defaults come to
_SHORT = 120


def faults(spec: Spec, has_grpc_target: bool = False) -> Iterator[Fault]:
    """`has_grpc_target` says that the specification is for a gRPC server, so a container's only port speaks gRPC."""
    for container in spec.containers:
        if has_grpc_target and len(spec.containers) == 1 and len(container.ports) == 1:
            container = replace(container, grpc_ports=frozenset(container.ports))
        for probe in container.probes:
            yield from _port(spec, container, probe)
            yield from _handler(container, probe)
            yield from _timeout(spec, probe)
        yield from _liveness(container)
        yield from _same_name(container)
        yield from _startup(container)
        if spec.platform == "kubernetes":
            yield from _no_readiness(container)
            yield from _grace_period(container)


def handler_faults(probe: Node) -> Iterator[Fault]:
    """For Vertex AI: a probe must have one handler, and one without is as if it were missing."""
    kinds = handler_kinds(probe)
    if len(kinds) > 1:
        yield fail(
            probe.keys[kinds[1]],
            f"one probe has {' and '.join(kinds)}",
            "A probe must have exactly one of exec, httpGet, grpc and tcpSocket. The platform refuses two (may not "
            "specify more than 1 handler type).",
            "Keep one of them; for a gRPC server grpc.",
        )
    elif not kinds and not any(similar_key(name, HANDLERS) for name in probe.keys):
        yield warn(
            probe,
            "the probe does not say how to ask",
            "A probe needs one of exec, httpGet, grpc and tcpSocket (must specify a handler type).",
            "For a gRPC server add:\n    grpc: {port: 9000}",
        )


def _port(spec: Spec, container: Container, probe: Probe) -> Iterator[Fault]:
    port = probe.port
    if probe.asks_grpc and spec.platform == "kubernetes":
        yield from _other_port(container, probe)
    if port is None:
        needs_port = probe.kind in ("grpc", "httpGet", "tcpSocket") and container.port_of(probe) is None
        if probe.handler is not None and needs_port:
            yield fail(
                probe.handler,
                f"the {probe.kind} probe has no port",
                "A probe needs the number of the port that it asks.",
                f"Add it: {probe.kind}: {{port: {_likely_port(container)}}}",
            )
        return
    is_name = port.is_text and not port.value.isdigit() and not port.value.startswith("{{")
    if probe.kind == "grpc" and port.is_text and (is_name or spec.platform == "kubernetes"):
        number = container.port_of(probe) or _likely_port(container)
        yield fail(
            port,
            f"the gRPC probe's port is {port.shown()}",
            "The port of a gRPC probe must be a number. Names are for httpGet and tcpSocket only, so the "
            "specification is refused (expected int32).",
            f"""
            Write the number, without quotes:
                grpc: {{port: {number}}}
            """,
        )
    elif is_name and spec.platform == "kubernetes" and container.port_of(probe) is None:
        names = ", ".join(name for name in container.ports.values() if name) or "no port with a name"
        yield fail(
            port,
            f"the probe asks port {port.shown()}; the container has {names}",
            "A probe can only name a port of its own container, so this probe always fails.",
            f"Give the container's port this name, or use its number: port: {_likely_port(container)}",
        )


def _other_port(container: Container, probe: Probe) -> Iterator[Fault]:
    """A port does not have to be declared, but one that differs from all declared ports is a mistake."""
    number, variable = container.port_of(probe), container.environment.get("PORT")
    declared = container.node.get("ports")
    is_readable = declared is not None and len(declared.items) == len(container.ports)
    if number is None or number in container.ports or not container.ports or not is_readable:
        return
    if variable is not None and str(variable.value) == str(number):
        return
    names = ", ".join(f"{port} ({name})" if name else str(port) for port, name in container.ports.items())
    node = probe.port or (probe.handler.get("command") if probe.handler is not None else None) or probe.node
    yield fail(
        node,
        f"the {probe.purpose} probe asks port {number}; the container has {names}",
        "Nothing in the container listens on another port than its own, so the probe always fails.",
        f"Ask the container's port: {_likely_port(container)}",
    )


def _likely_port(container: Container) -> int:
    return next(iter([*container.grpc_ports, *container.ports]), DEFAULT_PORT)


def _handler(container: Container, probe: Probe) -> Iterator[Fault]:
    """A way of asking that does not suit a gRPC server."""
    if probe.handler is None:
        return
    number = container.port_of(probe)
    speaks_grpc = number in container.grpc_ports
    sends_http = probe.kind == "httpGet" or (probe.question is not None and probe.question.protocol == "http")
    if sends_http and speaks_grpc:
        yield fail(
            probe.handler,
            f"the probe sends HTTP GET to port {number}, which speaks gRPC",
            "A gRPC server does not answer an HTTP/1 GET, so the probe always fails (malformed HTTP response), and "
            "the container never becomes ready or is restarted.",
            f"""
            Ask in gRPC; the server needs grpc.health.v1:
                grpc: {{port: {number}}}
            """,
        )
    elif probe.kind == "tcpSocket" and probe.purpose == "readiness":
        report = fail if speaks_grpc else warn
        yield report(
            probe.handler,
            f"the readiness probe only opens {f'port {number}, which speaks gRPC' if speaks_grpc else 'a port'}",
            "A server opens its port before its model is loaded, and keeps it open when the model is broken. With a "
            "TCP readiness probe it gets requests that it cannot answer yet.",
            f"""
            Ask the server itself (with httpGet if it speaks HTTP):
                grpc: {{port: {number or _likely_port(container)}}}
                timeoutSeconds: 5
            """,
        )
    elif probe.kind == "tcpSocket" and probe.purpose == "startup" and speaks_grpc:
        yield warn(
            probe.handler,
            f"the startup probe only opens port {number}, which speaks gRPC",
            "A server opens its port before its model is loaded, so the startup probe ends too early, and the "
            "liveness probe begins while the model is still loading.",
            f"Ask the server itself: grpc: {{port: {number}}}",
        )


def _timeout(spec: Spec, probe: Probe) -> Iterator[Fault]:
    timeout, period = probe.written("timeoutSeconds"), probe.written("periodSeconds")
    if timeout is None and probe.kind in ("grpc", "httpGet", "exec"):
        yield warn(
            probe.node,
            "timeoutSeconds is not set",
            "The default is 1 second. A server that is busy with predictions, or short of CPU, sometimes answers "
            "later than that, and the probe fails.",
            "Allow more time: timeoutSeconds: 5" + (", with periodSeconds: 4" if spec.platform == "vertex" else ""),
        )
    elif spec.platform == "vertex" and timeout:
        yield from _vertex_period(probe, timeout, period)


def _vertex_period(probe: Probe, timeout: int, period: int | None) -> Iterator[Fault]:
    """Vertex AI requires the period to be less than the timeout, the opposite of what one would expect."""
    effective_period = period or DEFAULTS["periodSeconds"]
    if effective_period < timeout:
        return
    report = fail if effective_period > timeout and period else warn
    yield report(
        probe.node.get("periodSeconds") or probe.node,
        f"periodSeconds is {effective_period}{'' if period else ' (the default)'}, timeoutSeconds is {timeout}",
        "periodSeconds must be less than timeoutSeconds, as Vertex AI's documentation of Probe says.",
        """
        For example:
            periodSeconds: 5
            timeoutSeconds: 10
        """,
    )


def _liveness(container: Container) -> Iterator[Fault]:
    """A liveness probe that restarts a server which is still loading."""
    probe = container.probe("liveness")
    if probe is None or probe.handler is None or container.probe("startup") is not None:
        return
    if probe.kind == "tcpSocket" or _asks_liveness_name(probe):
        return  # a port is open, and a liveness name is SERVING, while the model loads
    seconds = probe.seconds_to_failure
    if seconds >= _SHORT:
        return
    if probe.asks_grpc:
        name = f'"{probe.service}"'
        report = fail if seconds <= _TOO_SHORT else warn
        yield report(
            probe.handler,
            f"liveness asks for {name}, gives up after {seconds} s, and there is no startup probe",
            f"Health for {name} is NOT_SERVING while the model loads, as it should be. This liveness probe restarts "
            f"the container after {seconds} s, so a model that takes longer to load never becomes ready "
            "(CrashLoopBackOff).",
            _startup_remedy(container),
        )
    else:
        yield warn(
            probe.node,
            f"liveness gives up after {seconds} s, and there is no startup probe",
            "If it only succeeds once the model is loaded, a model that takes longer to load is restarted forever.",
            _startup_remedy(container),
        )


def _asks_liveness_name(probe: Probe) -> bool:
    return probe.asks_grpc and "live" in probe.service.lower()


def _startup_remedy(container: Container) -> str:
    port = _likely_port(container)
    return f"""
    Let a startup probe wait for the model; liveness begins after it:
        startupProbe: {{grpc: {{port: {port}}}, timeoutSeconds: 5, periodSeconds: 4, failureThreshold: 60}}
    and let liveness ask for a name that is SERVING from the start, or only for the port:
        livenessProbe: {{grpc: {{port: {port}, service: liveness}}, timeoutSeconds: 5}}
    """


def _same_name(container: Container) -> Iterator[Fault]:
    """Liveness and readiness that ask for one health name, so that every pause is a restart."""
    liveness, readiness = container.probe("liveness"), container.probe("readiness")
    if liveness is None or readiness is None or not (liveness.asks_grpc and readiness.asks_grpc):
        return
    same_port = container.port_of(liveness) == container.port_of(readiness)
    if not same_port or liveness.service != readiness.service or _asks_liveness_name(liveness):
        return
    name = f'"{liveness.service}"'
    yield warn(
        liveness.handler or liveness.node,
        f"liveness and readiness both ask for {name}",
        f"A server that says NOT_SERVING for {name} wants no requests: it drains, is overloaded, or waits for "
        "something that it needs. Readiness keeps requests from it; liveness restarts it for the same answer.",
        f"""
        Let liveness ask for a name that is SERVING while a restart would not help, or only for the port:
            livenessProbe: {{grpc: {{port: {_likely_port(container)}, service: liveness}}, timeoutSeconds: 5}}
        """,
    )


def _startup(container: Container) -> Iterator[Fault]:
    probe = container.probe("startup")
    if probe is None or probe.kind in (None, "tcpSocket") or probe.seconds_to_failure > _TOO_SHORT:
        return
    if 0 in (probe.written("periodSeconds"), probe.written("failureThreshold")):
        return  # reported as such
    if _asks_liveness_name(probe):
        return
    yield warn(
        probe.node,
        f"the startup probe gives up after {probe.seconds_to_failure} s",
        "It waits for the model to load: a model that takes longer is restarted forever.",
        "Raise failureThreshold: periodSeconds times failureThreshold should be several times the loading time.",
    )


def _no_readiness(container: Container) -> Iterator[Fault]:
    if container.grpc_ports and "readinessProbe" not in container.node.keys:
        yield warn(
            container.node,
            "there is no readiness probe",
            "Without one a pod is ready as soon as its process runs, and gets requests while the model is still "
            "loading.",
            f"""
            Ask the server:
                readinessProbe:
                  grpc: {{port: {_likely_port(container)}}}
                  timeoutSeconds: 5
            """,
        )


def _grace_period(container: Container) -> Iterator[Fault]:
    """Whether the container is killed while it still answers requests in flight."""
    pod = container.pod
    if pod is None:
        return
    written = pod.get("terminationGracePeriodSeconds")
    grace = DEFAULT_GRACE if written is None or written.number is None else written.number
    drain = _seconds(container.environment.get("DRAIN_SECONDS"))
    pre_stop = _pre_stop_seconds(container.node)
    if drain is None and grace and grace > pre_stop:
        return
    needed = pre_stop + (drain or 0)
    if needed >= grace:
        facts = [f"terminationGracePeriodSeconds is {grace}{'' if written is not None else ' (the default)'}"]
        facts += [f"DRAIN_SECONDS is {drain:g}"] if drain else []
        facts += [f"preStop takes {pre_stop:g} s"] if pre_stop else []
        yield fail(
            written or container.environment.get("DRAIN_SECONDS") or pod,
            ", ".join(facts),
            "The container gets SIGKILL at the end of the grace period: requests in flight are lost, and the exit code "
            "is 137.",
            f"""
            Allow more time than it needs:
                terminationGracePeriodSeconds: {int(needed) + 10}
            """,
        )


def _seconds(node: Node | None) -> float | None:
    try:
        return None if node is None else float(str(node.value))
    except ValueError:
        return None


def _pre_stop_seconds(container: Node) -> float:
    """How long a preStop hook sleeps, as far as the specification shows it."""
    sleep = container.get("lifecycle", "preStop", "sleep", "seconds")
    if sleep is not None and sleep.number is not None:
        return sleep.number
    command = container.get("lifecycle", "preStop", "exec", "command")
    words = " ".join(str(item.value) for item in command.items) if command is not None else ""
    match = re.search(r"\bsleep (\d+(\.\d+)?)\b", words)
    return float(match[1]) if match else 0.0
