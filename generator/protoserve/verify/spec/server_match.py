"""Health names, ports and routes in a specification that the server does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import grpc

from protoserve.verify.http_client import HttpClient
from protoserve.verify.session import Session
from protoserve.verify.spec.container_spec import Container, Probe, Spec
from protoserve.verify.spec.fault_report import Fault, fail, warn
from protoserve.verify.spec.image_names import short_name
from protoserve.verify.spec.tree import Node
from protoserve.verify.targets.image import ImageServer

HTTP_TIMEOUT = 5.0


def faults(spec: Spec, session: Session) -> Iterator[Fault]:
    """Asks the server: one health check for each name, one request for each HTTP route."""
    for container in containers(spec, session):
        yield from _health_names(container, session)
        if isinstance(session.process, ImageServer):
            yield from _ports(spec, container, session.process)
        if session.web is not None:
            yield from _routes(container, session, session.web)
        if spec.platform == "vertex":
            yield from _no_grpc_ports(container, session)


def containers(spec: Spec, session: Session) -> list[Container]:
    """Those that the target may be: by the image's name, else by what they serve."""
    process = session.process
    if isinstance(process, ImageServer):
        target = short_name(process.image.name)
        same_name = [c for c in spec.containers if c.image is not None and short_name(str(c.image.value)) == target]
        if same_name:
            return same_name
    if len(spec.containers) == 1:
        return list(spec.containers)
    return [container for container in spec.containers if container.grpc_ports]


def _health_names(container: Container, session: Session) -> Iterator[Fault]:
    is_unknown: dict[str, bool] = {}
    for probe in container.probes:
        if probe.kind != "grpc" or probe.handler is None:
            continue
        name = probe.service
        if name not in is_unknown:
            is_unknown[name] = session.health(name).reply.code is grpc.StatusCode.NOT_FOUND
        if is_unknown[name]:
            yield _unknown_health_name(probe, name, session)


def _unknown_health_name(probe: Probe, name: str, session: Session) -> Fault:
    known = [known for known, health in session.readiness().last.items() if health.status is not None]
    similar = difflib.get_close_matches(name, known, 1, 0.6)
    suggestion = similar[0] if similar else known[-1] if known else "..."
    names = ", ".join(f'"{each}"' for each in known)
    assert probe.handler is not None
    return fail(
        probe.handler.get("service") or probe.handler,
        f'Check of "{name}" answers NOT_FOUND; the server knows {names or "none of the names that were tried"}',
        f'The {probe.purpose} probe asks for the health of "{name}", which is not registered with the server\'s health '
        "service, so the probe always fails. (Write the full name: package.Service.)",
        f"""
        Ask for a name that the server has: service: {suggestion or '""'}
        or register this one. Python:
            checks.set("{name}", health_pb2.HealthCheckResponse.SERVING)    # grpc.aio: await checks.set(...)
        """,
    )


def _ports(spec: Spec, container: Container, server: ImageServer) -> Iterator[Fault]:
    """Ports that the image neither EXPOSEs nor listens on, unless a variable gives the port to the server."""
    open_ports = {port for _, port in server.sockets() or ()}
    known = {*server.image.exposed, *open_ports}
    if not server.image.exposed and spec.platform != _simulated_platform(server):
        return  # it listens here on a port that this run gave it
    port_variable = container.environment.get("PORT")
    for node, number, subject in _named_ports(spec, container):
        if number in known or (port_variable is not None and str(port_variable.value) == str(number)):
            continue
        shown = ", ".join(str(port) for port in sorted(known)) or "none"
        yield fail(
            node,
            f"{subject} {number}; the image has {shown}",
            "Nothing in the image says that it listens there (no EXPOSE, no open port, no PORT in env), so the probe "
            "or every call ends with connection refused.",
            f"""
            Use the port that the server listens on, or give the server this one:
                env:
                - name: PORT
                  value: "{number}"
            """,
        )


def _simulated_platform(server: ImageServer) -> str:
    """The platform whose variables the container got."""
    return "generic" if "PORT" in server.variables else "vertex" if server.http is not None else "kubernetes"


def _named_ports(spec: Spec, container: Container) -> Iterator[tuple[Node, int, str]]:
    """The ports in the specification: where, the number, and the start of a sentence about it."""
    seen: set[int] = set()
    declared = container.node.listed("grpcPorts")[:1] if spec.platform == "vertex" else container.node.listed("ports")
    for item in declared:
        port = item.get("containerPort")
        if port is not None and port.number is not None:
            seen.add(port.number)
            yield port, port.number, "the container's port is"
    if spec.platform == "vertex":  # the server gets the first of `ports` as AIP_HTTP_PORT, so it is there
        seen.update(list(container.ports)[:1])
    for probe in container.probes:
        number = container.port_of(probe)
        if number is not None and number not in seen and probe.port is not None:
            seen.add(number)
            yield probe.port, number, f"the {probe.purpose} probe asks port"


def _routes(container: Container, session: Session, web: HttpClient) -> Iterator[Fault]:
    """Paths of HTTP probes that answer 404. The routes that http-health and http-predict ask are left to them."""
    for node in _probe_paths(container, session, web):
        route = str(node.value)
        if not route.startswith("/") or route in (web.health_route, web.predict_route):
            continue
        answer = web.ask("GET", route, HTTP_TIMEOUT)
        if answer.status == 404:
            yield fail(
                node,
                f"GET {route} answers {answer}",
                "The server does not have this route. The platform asks for exactly this path, so the probe always "
                "fails.",
                f"""
                Write the path that the server has, or serve this one:
                    @app.get("{route}")
                """,
            )


def _probe_paths(container: Container, session: Session, web: HttpClient) -> Iterator[Node]:
    """The paths of HTTP probes that go to the known HTTP server."""
    server = session.process
    port = server.http if isinstance(server, ImageServer) else web.address.port
    for probe in container.probes:
        if probe.kind == "httpGet" and probe.handler is not None and container.port_of(probe) == port:
            path = probe.handler.get("path")
            if path is not None and path.is_text:
                yield path


def _no_grpc_ports(container: Container, session: Session) -> Iterator[Fault]:
    """The server only speaks gRPC, and grpcPorts is missing. (With a gRPC probe spec-shape reports it.)"""
    if container.node.listed("grpcPorts") or any(probe.kind == "grpc" for probe in container.probes):
        return
    if session.web is not None and session.web.ask("GET", session.web.health_route, HTTP_TIMEOUT).status is not None:
        return
    cause = (
        "Without grpcPorts Vertex AI only speaks HTTP/1: gRPC predictions are off, and its health checks go to the "
        "HTTP routes."
    )
    server = session.process
    port = server.inside if isinstance(server, ImageServer) else session.address.port
    remedy = f"""
        Add the gRPC port:
            grpcPorts:
            - containerPort: {port}
        """
    if session.web is None:
        seen = "the server speaks gRPC and grpcPorts is missing; verify does not know whether it speaks HTTP too"
        yield warn(container.node, seen, cause, f"{remedy}        If it speaks HTTP too, add --http HOST:PORT.")
    else:
        yield fail(container.node, "the server only speaks gRPC, and grpcPorts is missing", cause, remedy)
