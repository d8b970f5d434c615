"""Names, ports and routes in a specification that the server does not have."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

import grpc

from protoserve.verify.session import Session
from protoserve.verify.spec.faults import Fault, fail, warn
from protoserve.verify.spec.model import Container, Probe, Spec
from protoserve.verify.spec.tree import Node
from protoserve.verify.targets.image import ImageServer
from protoserve.verify.web import Web

HTTP_TIMEOUT = 5.0


def faults(spec: Spec, session: Session) -> Iterator[Fault]:
    """Asks the server: one Check for each name, one request for each HTTP route."""
    for container in containers(spec, session):
        yield from _names(container, session)
        if isinstance(session.process, ImageServer):
            yield from _ports(spec, container, session.process)
        if session.web is not None:
            yield from _routes(container, session, session.web)
        if spec.platform == "vertex":
            yield from _grpc_off(container, session)


def containers(spec: Spec, session: Session) -> list[Container]:
    """Those that the target may be: by the image's name, else by what they serve."""
    process = session.process
    if isinstance(process, ImageServer):
        ours = _name(process.image.name)
        named = [c for c in spec.containers if c.image is not None and _name(str(c.image.value)) == ours]
        if named:
            return named
    if len(spec.containers) == 1:
        return list(spec.containers)
    return [container for container in spec.containers if container.grpc]


def _name(image: str) -> str:
    """`iris` of `host:5000/team/iris:1.0@sha256:...`."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def _names(container: Container, session: Session) -> Iterator[Fault]:
    asked: dict[str, bool] = {}
    for probe in container.probes:
        if probe.kind != "grpc" or probe.handler is None:
            continue
        name = probe.service
        if name not in asked:
            asked[name] = session.health(name).reply.code is grpc.StatusCode.NOT_FOUND
        if asked[name]:
            yield _unknown(probe, name, session)


def _unknown(probe: Probe, name: str, session: Session) -> Fault:
    known = [known for known, health in session.readiness().last.items() if health.status is not None]
    near = difflib.get_close_matches(name, known, 1, 0.6)
    shown = ", ".join(f'"{each}"' for each in known)
    assert probe.handler is not None
    return fail(
        probe.handler.get("service") or probe.handler,
        f'Check of "{name}" answers NOT_FOUND; the server knows {shown or "no name that was tried"}',
        f'The {probe.purpose} probe asks for the health of "{name}", which nobody registered with the server\'s health '
        "service. A name that is not registered fails the probe for ever. (The full name counts: package.Service.)",
        f"""
        Ask for a name that the server has: service: {near[0] if near and near[0] else (known or ["..."])[-1] or '""'}
        or register this one. Python:
            checks.set("{name}", health_pb2.HealthCheckResponse.SERVING)    # grpc.aio: await checks.set(...)
        """,
    )


def _ports(spec: Spec, container: Container, server: ImageServer) -> Iterator[Fault]:
    """Ports that the image neither EXPOSEs nor listens on. What it is told by a variable it will listen on."""
    heard = {port for _, port in server.sockets() or ()}
    known = {*server.image.exposed, *heard}
    if not server.image.exposed and spec.platform != server_platform(server):
        return  # what it listens on here is what this run told it
    told = {str(container.environment[name].value) for name in ("PORT",) if name in container.environment}
    for node, number, what in _wanted(spec, container):
        if number not in known and str(number) not in told:
            shown = ", ".join(str(port) for port in sorted(known)) or "none"
            yield fail(
                node,
                f"{what} {number}; the image has {shown}",
                "Nothing in the image says that it listens there (no EXPOSE, no open port, no PORT in env): connection "
                "refused, and the probe or every call fails.",
                f"""
                Use the port that the server listens on, or tell the server:
                    env:
                    - name: PORT
                      value: "{number}"
                """,
            )


def server_platform(server: ImageServer) -> str:
    """The platform whose variables the container got."""
    return "generic" if "PORT" in server.variables else "vertex" if server.http is not None else "kubernetes"


def _wanted(spec: Spec, container: Container) -> Iterator[tuple[Node, int, str]]:
    seen: set[int] = set()
    key = "grpcPorts" if spec.platform == "vertex" else "ports"
    for item in container.node.listed(key)[: 1 if spec.platform == "vertex" else None]:
        port = item.get("containerPort")
        if port is not None and port.number is not None:
            seen.add(port.number)
            yield port, port.number, "the container's port is"
    # The first of Vertex AI's `ports` reaches the server as AIP_HTTP_PORT, so it is there.
    http = next(iter(container.ports), None) if spec.platform == "vertex" else None
    for probe in container.probes:
        number = container.probed(probe)
        if number is not None and number != http and number not in seen and probe.port is not None:
            seen.add(number)
            yield probe.port, number, f"the {probe.purpose} probe asks port"


def _routes(container: Container, session: Session, web: Web) -> Iterator[Fault]:
    """Paths of HTTP probes that answer 404. The routes that http-health and http-predict ask are left to them."""
    for node in _paths(container, session, web):
        route = str(node.value)
        if not route.startswith("/") or route in (web.health_route, web.predict_route):
            continue
        answer = web.ask("GET", route, HTTP_TIMEOUT)
        if answer.status == 404:
            yield fail(
                node,
                f"GET {route} answers {answer}",
                "The server has no such route. The platform asks for this path, letter by letter, and the probe fails "
                "for ever.",
                f"""
                Write the path that the server has, or serve this one:
                    @app.get("{route}")
                """,
            )


def _paths(container: Container, session: Session, web: Web) -> Iterator[Node]:
    """The paths of HTTP probes that go to the HTTP server which is known."""
    server = session.process
    port = server.http if isinstance(server, ImageServer) else web.address.port
    for probe in container.probes:
        if probe.kind == "httpGet" and probe.handler is not None and container.probed(probe) == port:
            path = probe.handler.get("path")
            if path is not None and path.is_text:
                yield path


def _grpc_off(container: Container, session: Session) -> Iterator[Fault]:
    """Only gRPC is served, and the specification has no grpcPorts. (With a gRPC probe spec-shape tells it.)"""
    if container.node.listed("grpcPorts") or any(probe.kind == "grpc" for probe in container.probes):
        return
    if session.web is not None and session.web.ask("GET", session.web.health_route, HTTP_TIMEOUT).status is not None:
        return
    cause = (
        "Without grpcPorts Vertex AI speaks HTTP/1 only: gRPC predictions are off, and its health checks go to the "
        "HTTP routes."
    )
    remedy = """
        Give gRPC its port:
            grpcPorts:
            - containerPort: 9000
        """
    if session.web is None:
        seen = "the server speaks gRPC and grpcPorts is missing; whether it speaks HTTP too is not known here"
        yield warn(container.node, seen, cause, f"{remedy}        Where it speaks HTTP too, name that with --http.")
    else:
        yield fail(container.node, "the server speaks gRPC only, and grpcPorts is missing", cause, remedy)
