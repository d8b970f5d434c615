"""Reads Kubernetes manifests: the containers of their pods, and whether Services lead to a port of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace

from protoserve.verify.spec import serverless_ports
from protoserve.verify.spec.container_spec import Container, Spec, ports_asked_in_grpc, read_environment, read_probes
from protoserve.verify.spec.fault_report import Fault, fail
from protoserve.verify.spec.probe_rules import DEFAULT_PORT
from protoserve.verify.spec.serverless_ports import is_serverless
from protoserve.verify.spec.tree import Node

PROBE_KEYS = {"startup": "startupProbe", "readiness": "readinessProbe", "liveness": "livenessProbe"}
_GRPC_NAME = re.compile(r"(^|-)(grpc|h2c)(-|$)|^grpc|^h2c")


@dataclass(frozen=True, slots=True)
class _Pod:
    """A pod, or the template of one; `namespace` is empty if the file does not name it."""

    labels: dict[str, object]
    namespace: str
    containers: tuple[Container, ...]
    is_serverless: bool = False


def read(file: str, documents: list[Node]) -> Spec | None:
    """The specification in these documents, None if no document is a manifest."""
    if not any(_is_manifest(document) for document in documents):
        return None
    resources = [resource for document in documents for resource in _resources(document)]
    services = [resource for resource in resources if _kind(resource) == "Service" and not is_serverless(resource)]
    grpc_targets = {target for service in services for target in _grpc_targets(service)}
    pods = [pod for resource in resources for pod in _pods(resource, grpc_targets)]
    containers = tuple(container for pod in pods for container in pod.containers)

    faults = [fault for service in services for fault in _service_faults(service, pods)]
    faults += [fault for pod in pods if pod.is_serverless for fault in serverless_ports.faults(pod.containers)]
    judged = "Services fit the containers" if services and pods else ""
    about = f"Kubernetes: {', '.join(_title(resource) for resource in resources)}"
    return Spec(file, "kubernetes", about, containers, tuple(faults), judged=judged)


def _is_manifest(document: Node) -> bool:
    keys = {key.lower() for key in document.keys}
    return "kind" in keys or "apiversion" in keys or {"spec", "metadata"} <= keys


def _resources(document: Node) -> Iterator[Node]:
    """The resources of a document: a List has several."""
    if _kind(document).endswith("List") and document.listed("items"):
        for item in document.listed("items"):
            yield from _resources(item)
    else:
        yield document


def _kind(resource: Node) -> str:
    kind = resource.get("kind")
    return kind.value if kind is not None and kind.is_text else ""


def _title(resource: Node) -> str:
    name = resource.get("metadata", "name")
    return f"{_kind(resource) or 'no kind'} {name.value if name is not None else 'without a name'}"


def _namespace(resource: Node) -> str:
    namespace = resource.get("metadata", "namespace")
    return str(namespace.value) if namespace is not None else ""


def _pods(resource: Node, grpc_targets: set[int | str]) -> Iterator[_Pod]:
    """The pods of the resource, at any depth: whatever has a list `containers` of mappings is a pod."""

    serverless = is_serverless(resource)

    def search(node: Node, labels: Node | None) -> Iterator[_Pod]:
        if node.listed("containers"):
            pod_labels = labels.value if labels is not None and labels.is_mapping else {}
            containers = tuple(_container(inner, node, grpc_targets, serverless) for inner in node.listed("containers"))
            yield _Pod(pod_labels, _namespace(resource), containers, serverless)
            return
        for inner in (*node.keys.values(), *node.items):
            yield from search(inner, node.get("metadata", "labels"))

    yield from search(resource, None)


def _container(node: Node, pod: Node, grpc_targets: set[int | str], serverless: bool) -> Container:
    ports: dict[int, str] = {}
    grpc_ports: set[int] = set()
    for item in node.listed("ports"):
        port, name = item.get("containerPort"), item.get("name")
        if port is None or port.number is None:
            continue
        port_name = name.value if name is not None and name.is_text else ""
        ports[port.number] = port_name
        if _GRPC_NAME.search(port_name) or port_name in grpc_targets or port.number in grpc_targets:
            grpc_ports.add(port.number)
    probes = read_probes(node, PROBE_KEYS)
    container = Container(
        node, node.get("image"), ports, frozenset(), probes, read_environment(node), pod, is_serverless=serverless
    )
    asked = {container.port_of(probe) for probe in probes if probe.asks_grpc}
    grpc_ports |= ports_asked_in_grpc(probes) | {port for port in asked if port in ports and port is not None}
    return replace(container, grpc_ports=frozenset(grpc_ports))


def _grpc_targets(service: Node) -> Iterator[int | str]:
    """The target ports, as numbers or names, that the Service says speak gRPC."""
    for port in service.listed("spec", "ports"):
        name, protocol = port.get("name"), port.get("appProtocol")
        target = port.get("targetPort") or port.get("port")
        name_text = str(name.value) if name is not None else ""
        protocol_text = str(protocol.value).lower() if protocol is not None else ""
        if target is not None and (_GRPC_NAME.search(name_text) or re.search("h2c|grpc", protocol_text)):
            yield target.value


def _service_faults(service: Node, pods: list[_Pod]) -> Iterator[Fault]:
    """Whether the Service selects a pod of this file, and sends to a port of its containers."""
    selector = service.get("spec", "selector")
    if selector is None or not selector.is_mapping or not selector.value or not pods:
        return
    neighbours = [pod for pod in pods if pod.namespace == _namespace(service)]
    selected = [pod for pod in neighbours if selector.value.items() <= pod.labels.items()]
    if not selected:
        pod_labels = "; ".join(_labels(pod.labels) for pod in neighbours) or "another namespace"
        yield fail(
            selector,
            f"the Service selects {_labels(selector.value)}; the pods of this file have {pod_labels}",
            "The Service selects no pod of this file. Without others it has no endpoints: every call fails with "
            "UNAVAILABLE or connection refused, although everything looks healthy.",
            f"""
            Use the labels of the pods' template as the selector:
                spec:
                  selector: {{{_labels(next((pod.labels for pod in neighbours if pod.labels), {"app": "iris"}))}}}
            """,
        )
        return
    containers = [container for pod in selected for container in pod.containers]
    for port in service.listed("spec", "ports"):
        yield from _target_faults(port, containers)


def _labels(labels: dict[str, object]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in labels.items()) or "no labels"


def _target_faults(port: Node, containers: list[Container]) -> Iterator[Fault]:
    target = port.get("targetPort") or port.get("port")
    if target is None or any(_has_unreadable_ports(container) for container in containers):
        return
    declared = {number: name for container in containers for number, name in container.ports.items()}
    if target.is_text and not target.value.isdigit():
        is_declared = target.value in declared.values()
    else:  # a port does not have to be declared, but one that differs from all declared ports is a mistake
        is_declared = not declared or (int(target.value) if target.is_text else target.number) in declared
    if is_declared:
        return
    names = ", ".join(f"{number} ({name})" if name else str(number) for number, name in declared.items())
    yield fail(
        target,
        f"the Service sends to {target.shown()}; the containers have {names or 'no ports'}",
        "No container has this port, so calls end with connection refused. (A name must be the name of a container's "
        "port; without targetPort the Service sends to its own port number.)",
        _use_declared_port(port, declared),
    )


def _use_declared_port(port: Node, declared: dict[int, str]) -> str:
    """How the Service names a port of its containers: one that is called grpc, or the first."""
    number = next((number for number, name in declared.items() if name == "grpc"), next(iter(declared), None))
    own = port.get("port")
    service = f"{{port: {80 if own is None else own.value}, targetPort: {(number and declared[number]) or 'grpc'}}}"
    if number is not None and declared[number]:
        return f"Send to the container's port {number} by its name:\n    ports: [{service}]"
    container = f"{{name: grpc, containerPort: {DEFAULT_PORT if number is None else number}}}"
    return f"""
    Name the port in the container and use the name in the Service:
        ports: [{service}]               # of the Service
        ports: [{container}]          # of the container
    """


def _has_unreadable_ports(container: Container) -> bool:
    """Whether a port is written in a way that Kubernetes refuses, so that not all ports are known."""
    ports = container.node.get("ports")
    return ports is not None and len(ports.items) != len(container.ports)
