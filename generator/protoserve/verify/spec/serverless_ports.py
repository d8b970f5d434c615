"""What Knative requires of a container's ports, by itself and under KServe: exactly one, and h2c for gRPC.

https://knative.dev/docs/serving/services/http-protocol/, https://kserve.github.io/website: custom predictors with gRPC.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from protoserve.verify.spec.container_spec import Container
from protoserve.verify.spec.fault_report import Fault, fail
from protoserve.verify.spec.tree import Node

_KNATIVE = "serving.knative.dev/"
_KSERVE = "serving.kserve.io/"
_MODE = "serving.kserve.io/deploymentMode"
_OWN_KINDS = ("Service", "Configuration", "Revision")
GRPC_NAME = "h2c"
_NAMES = ("", GRPC_NAME, "http1")


def is_serverless(resource: Node) -> bool:
    """Whether Knative runs the containers of the resource, as far as it says so itself."""
    version, kind = (node.value if (node := resource.get(key)) is not None else "" for key in ("apiVersion", "kind"))
    if str(version).startswith(_KNATIVE):
        return kind in _OWN_KINDS
    annotations = resource.get("metadata", "annotations")
    mode = None if annotations is None else annotations.get(_MODE)
    is_other_mode = mode is not None and str(mode.value) != "Serverless" and str(mode.value) != "Knative"
    return str(version).startswith(_KSERVE) and kind == "InferenceService" and not is_other_mode


def faults(containers: Iterable[Container]) -> Iterator[Fault]:
    """What is wrong with the ports of the containers of one pod."""
    ports = [(container, item) for container in containers for item in container.node.listed("ports")]
    if len(ports) > 1:
        shown = ", ".join(_shown(item) for _, item in ports)
        yield fail(
            ports[1][1],
            f"the containers have {len(ports)} ports: {shown}",
            "Knative takes exactly one port of all containers (only a single port is allowed). Without Knative, KServe "
            f'needs the annotation {_MODE}: "Standard".',
            f"""
            Keep the port that callers use; probes may ask it, too:
                {_port_line(_grpc_port(ports) or ports[0][1])}
            """,
        )
        return
    for container, item in ports:
        yield from _name(container, item)


def _name(container: Container, item: Node) -> Iterator[Fault]:
    name_node, port = item.get("name"), item.get("containerPort")
    name = "" if name_node is None else str(name_node.value)
    speaks_grpc = port is not None and port.number in container.grpc_ports
    if name not in _NAMES:
        yield fail(
            name_node or item,
            f"the port is named {name}",
            "Knative takes no other names than h2c and http1 (port name is not allowed), and refuses the resource.",
            f"Name it for what it speaks, h2c for gRPC:\n    {_port_line(item)}",
        )
    elif speaks_grpc and name != GRPC_NAME:
        yield fail(
            name_node or item,
            f"the port speaks gRPC, and {f'is named {name}' if name else 'has no name'}",
            "Knative sends HTTP/1 to a port that is not named h2c, and gRPC needs HTTP/2: every call fails (upstream "
            "connect error, UNAVAILABLE), although the probes succeed.",
            f"Name it h2c:\n    {_port_line(item)}",
        )


def _grpc_port(ports: list[tuple[Container, Node]]) -> Node | None:
    for container, item in ports:
        port = item.get("containerPort")
        if port is not None and port.number in container.grpc_ports:
            return item
    return None


def _port_line(item: Node) -> str:
    port = item.get("containerPort")
    return f"ports: [{{name: {GRPC_NAME}, containerPort: {'N' if port is None else port.value}}}]"


def _shown(item: Node) -> str:
    port, name = item.get("containerPort"), item.get("name")
    number = "no number" if port is None else str(port.value)
    return number if name is None else f"{number} ({name.value})"
