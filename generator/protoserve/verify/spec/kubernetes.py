"""Kubernetes: the pods in manifests, and what a schema does not see in them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from protoserve.verify.spec import schema
from protoserve.verify.spec.faults import Fault, fail, nearest
from protoserve.verify.spec.model import HANDLERS, Container, Probe, Spec, probe
from protoserve.verify.spec.tree import Node

PURPOSES = {"startup": "startupProbe", "readiness": "readinessProbe", "liveness": "livenessProbe"}
# Keys of the parts that people write by hand. A key is only called wrong where it is near to one of these, or where the
# schema says so: Kubernetes learns new ones with each version.
_CONTAINER = (
    "name image command args env envFrom ports resources volumeMounts volumeDevices livenessProbe readinessProbe "
    "startupProbe lifecycle terminationMessagePath terminationMessagePolicy imagePullPolicy securityContext stdin "
    "stdinOnce tty workingDir resizePolicy restartPolicy restartPolicyRules"
).split()
_PORT = "name containerPort protocol hostPort hostIP".split()
_ENV = "name value valueFrom".split()
_PROBE = (
    "exec httpGet grpc tcpSocket initialDelaySeconds timeoutSeconds periodSeconds successThreshold failureThreshold "
    "terminationGracePeriodSeconds"
).split()
_HANDLER = {
    "exec": ("command",),
    "httpGet": ("path", "port", "host", "scheme", "httpHeaders"),
    "grpc": ("port", "service"),
    "tcpSocket": ("port", "host"),
}
# Groups of Kubernetes itself; any other group is a custom resource, which nothing here knows.
_OWN_GROUP = re.compile(r"v\d\w*|(apps|batch|autoscaling|policy|extensions)/\w+|[\w.-]+\.k8s\.io/\w+", re.ASCII)
_CUSTOM = re.compile(r"\.x-k8s\.io/|gateway\.networking\.k8s\.io/|snapshot\.storage\.k8s\.io/|metrics\.k8s\.io/")
_SELECTING = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet")
_NAMED_PORT = re.compile(r"Probe\.grpc\.port$")  # spec-probes tells about it
_GRPC_NAME = re.compile(r"(^|-)(grpc|h2c)(-|$)|^grpc|^h2c")


@dataclass(slots=True)
class _Pod:
    """A pod, or the template of one: its `labels`, the node of its specification, and what stands in that.

    `own` says that a kind of Kubernetes itself makes it; a custom resource may complete its pods.
    """

    spec: Node
    labels: dict[str, object]
    namespace: str
    own: bool
    containers: list[Container] = field(default_factory=list)


def read(file: str, documents: list[Node]) -> Spec | None:
    """The specification in these documents, None where none is a manifest."""
    if not any(_is_manifest(document) for document in documents):
        return None
    resources = [resource for document in documents for resource in _listed(document)]
    pods = [pod for resource in resources for pod in _pods(resource)]
    services = [resource for resource in resources if _kind(resource) == "Service"]
    grpc = {port for service in services for port in _grpc_targets(service)}
    faults: list[Fault] = []
    for resource in resources:
        faults += _named(resource)
        faults += _twice(resource)
        if _kind(resource) in _SELECTING:
            faults += _selector(resource)
    for pod in pods:
        for key in ("containers", "initContainers"):
            for node in pod.spec.listed(key):
                faults += _container_faults(node)
                faults += _no_image(node) if pod.own else ()
        pod.containers = [_container(node, pod.spec, grpc) for node in pod.spec.listed("containers")]
    for service in services:
        faults += _service(service, pods)
    unchecked = ""
    if schema.available():
        faults += _by_schema(resources, faults)
    else:
        unchecked = schema.MISSING
    containers = tuple(container for pod in pods for container in pod.containers)
    kinds = ", ".join(_title(resource) for resource in resources)
    return Spec(file, "kubernetes", f"Kubernetes: {kinds}", containers, tuple(faults), unchecked=unchecked)


def _is_manifest(document: Node) -> bool:
    plain = {key.lower() for key in document.keys}
    return "kind" in plain or "apiversion" in plain or {"spec", "metadata"} <= plain


def _listed(document: Node) -> Iterator[Node]:
    """The resources of a document: a List has several."""
    if str(_kind(document)).endswith("List") and document.listed("items"):
        for item in document.listed("items"):
            yield from _listed(item)
    else:
        yield document


def _kind(resource: Node) -> str:
    found = resource.get("kind")
    return found.value if found is not None and found.is_text else ""


def _is_own(resource: Node) -> bool:
    """Whether it is a resource of Kubernetes itself."""
    version = resource.get("apiVersion")
    if version is None or not version.is_text:
        return False
    return _OWN_GROUP.fullmatch(version.value) is not None and not _CUSTOM.search(version.value)


def _title(resource: Node) -> str:
    name = resource.get("metadata", "name")
    return f"{_kind(resource) or 'no kind'} {name.value if name is not None else 'without a name'}"


def _pods(resource: Node) -> Iterator[_Pod]:
    """The pods that the resource makes, wherever in it they are: a list `containers` of mappings is a pod."""
    namespace = resource.get("metadata", "namespace")
    where, own = str(namespace.value) if namespace is not None else "", _is_own(resource)

    def below(node: Node, labels: Node | None) -> Iterator[_Pod]:
        if node.listed("containers"):
            yield _Pod(node, labels.value if labels is not None and labels.is_mapping else {}, where, own)
            return
        found = node.get("metadata", "labels")
        for inner in (*node.keys.values(), *node.items):
            yield from below(inner, found)

    yield from below(resource, None)


def _named(resource: Node) -> Iterator[Fault]:
    for wanted in ("apiVersion", "kind"):
        found = resource.get(wanted)
        if found is not None and found.is_text:
            continue
        wrong = next((key for key in resource.keys if key.lower() == wanted.lower() and key != wanted), None)
        seen = f"there is no key {wrong}, but {wanted}" if wrong else f"{wanted} is missing"
        yield fail(
            resource.keys[wrong] if wrong else resource,
            seen,
            "Kubernetes cannot tell what this is: every document of a manifest says apiVersion and kind.",
            """
            Begin each document with them:
                apiVersion: apps/v1
                kind: Deployment
            """,
        )


def _twice(resource: Node) -> Iterator[Fault]:
    for node in resource.all():
        for again in node.twice:
            yield fail(
                again,
                "this key stands here once more",
                "A key that stands twice counts once: what was written first is lost, and strict readers refuse it.",
                "Keep one of the two; what a list shall hold goes into one list.",
            )


def _selector(resource: Node) -> Iterator[Fault]:
    wanted = resource.get("spec", "selector", "matchLabels")
    labels = resource.get("spec", "template", "metadata", "labels")
    if wanted is None or not wanted.is_mapping:
        return
    has = labels.value if labels is not None and labels.is_mapping else {}
    missing = {key: value for key, value in wanted.value.items() if has.get(key) != value}
    if missing:
        shown = ", ".join(f"{key}: {value}" for key, value in missing.items())
        yield fail(
            wanted.keys[next(iter(missing))],
            f"the selector wants {shown}; the pods have {_labels(has)}",
            f"A {_kind(resource)} finds its pods by these labels. Kubernetes refuses it (`selector` does not match "
            "template `labels`).",
            f"""
            Give the pods of the template the same labels:
                template:
                  metadata:
                    labels: {{{shown}}}
            """,
        )


def _labels(labels: dict[str, object]) -> str:
    return ", ".join(f"{key}: {value}" for key, value in labels.items()) or "no labels"


def _service(service: Node, pods: list[_Pod]) -> Iterator[Fault]:
    selector = service.get("spec", "selector")
    if selector is None or not selector.is_mapping or not selector.value or not pods:
        return
    namespace = service.get("metadata", "namespace")
    where = str(namespace.value) if namespace is not None else ""
    near = [pod for pod in pods if pod.namespace == where]
    matched = [pod for pod in near if all(pod.labels.get(k) == v for k, v in selector.value.items())]
    if not matched:
        have = "; ".join(_labels(pod.labels) for pod in near) or "in another namespace"
        yield fail(
            selector,
            f"the Service selects {_labels(selector.value)}; the pods of this file have {have}",
            "The Service selects no pod, so it has no endpoints: every call fails with UNAVAILABLE or connection "
            "refused, while all looks well.",
            """
            Make the selector the labels of the pods' template:
                spec:
                  selector: {app: iris}
            """,
        )
        return
    for port in service.listed("spec", "ports"):
        yield from _target(port, [container for pod in matched for container in pod.containers])


def _target(port: Node, containers: list[Container]) -> Iterator[Fault]:
    target = port.get("targetPort") or port.get("port")
    if target is None:
        return
    declared = {number: name for container in containers for number, name in container.ports.items()}
    if target.is_text and not target.value.isdigit():
        known = target.value in declared.values()
    else:  # a number needs no declaration; one that differs from all that are declared is a slip
        known = not declared or (int(target.value) if target.is_text else target.number) in declared
    if known or any(_has_wrong_ports(container.node) for container in containers):
        return
    shown = ", ".join(f"{number} ({name})" if name else str(number) for number, name in declared.items())
    yield fail(
        target,
        f"the Service sends to {target.shown()}; the containers have {shown or 'no ports'}",
        "No container has this port, so the Service leads nowhere: connection refused. (A name must be that of a "
        "container's port; without targetPort the port itself counts.)",
        """
        Name the port once and use the name:
            ports: [{port: 80, targetPort: grpc}]               # of the Service
            ports: [{name: grpc, containerPort: 9000}]          # of the container
        """,
    )


def _has_wrong_ports(container: Node) -> bool:
    """Whether its ports are written in a way that is a fault of its own."""
    return next(_ports(container), None) is not None


def _container_faults(node: Node) -> Iterator[Fault]:
    yield from _keys(node, _CONTAINER)
    yield from _ports(node)
    yield from _environment(node)
    for key in PURPOSES.values():
        inner = node.get(key)
        if inner is not None and inner.is_mapping:
            yield from _probe_faults(inner)


def _no_image(node: Node) -> Iterator[Fault]:
    if any(nearest(key, ("image",)) for key in node.keys):
        return
    name = node.get("name")
    yield fail(
        node,
        f"the container {'' if name is None else name.shown()} has no image",
        "Kubernetes refuses it (image: Required value), which its schemas do not say. A patch of kustomize that names "
        "a container which is not there adds one.",
        """
        Give it an image, or patch the container by the name that it has:
            containers:
            - name: server
        """,
    )


def _keys(node: Node, known: list[str] | tuple[str, ...]) -> Iterator[Fault]:
    for name, inner in node.keys.items():
        if name not in known and (meant := nearest(name, known)) is not None:
            yield schema.unknown(inner, name, meant)


def _ports(node: Node) -> Iterator[Fault]:
    ports = node.get("ports")
    for item in () if ports is None else (ports.items if ports.is_list else (ports,)):
        if not item.is_mapping:
            yield fail(
                item,
                f"a port is {item.shown()}",
                "Ports are a list of objects with the key containerPort, not plain numbers.",
                f"""
                Write:
                    ports:
                    - containerPort: {item.value if not item.is_list else 9000}
                """,
            )
            continue
        yield from _keys(item, _PORT)
        number = item.get("containerPort")
        if number is not None and not (number.number and 1 <= number.number <= 65535):
            yield fail(
                number,
                f"containerPort is {number.shown()}",
                "A container's port is a number from 1 to 65535, without quotes; a name goes into name.",
                """
                Write:
                    ports:
                    - name: grpc
                      containerPort: 9000
                """,
            )


def _environment(node: Node) -> Iterator[Fault]:
    env = node.get("env")
    for wrong in () if env is None else _pairs(env):
        yield fail(
            wrong,
            f"env is {wrong.shown()}",
            "Environment variables are a list of objects with name and value, not a map.",
            """
            Write:
                env:
                - name: LOG_LEVEL
                  value: INFO
            """,
        )
    for variable in node.listed("env"):
        yield from _keys(variable, _ENV)
        value = variable.get("value")
        if value is not None and not value.is_text:
            written = value.text or value.shown()
            yield fail(
                value,
                f"the value is {value.shown()}, which is no text",
                "The value of a variable is a text. Unquoted numbers, true, yes, on and the like are something else in "
                'YAML, and Kubernetes refuses them ("cannot unmarshal ... into Go struct field EnvVar.value of type '
                'string").',
                f"""
                Put it in quotes:
                    value: "{written}"
                """,
            )


def _pairs(env: Node) -> list[Node]:
    """What says `LOG_LEVEL: INFO` in place of a name and a value: the whole, or items of it."""
    if not env.is_list:
        return [env]
    return [item for item in env.items if not item.is_mapping or not any(nearest(key, _ENV) for key in item.keys)]


def _probe_faults(node: Node) -> Iterator[Fault]:
    yield from _keys(node, _PROBE)
    kinds = [kind for kind in HANDLERS if kind in node.keys and node.keys[kind].value is not None]
    if len(kinds) > 1:
        yield fail(
            node.keys[kinds[1]],
            f"one probe has {' and '.join(kinds)}",
            "A probe asks in one way: one of exec, httpGet, grpc and tcpSocket. Kubernetes refuses two (may not "
            "specify more than 1 handler type).",
            "Keep one of them; for a gRPC server grpc.",
        )
    elif not kinds and not any(nearest(name, HANDLERS) for name in node.keys):
        yield fail(
            node,
            "the probe says not how to ask",
            "A probe needs one of exec, httpGet, grpc and tcpSocket (must specify a handler type).",
            """
            Say how, for a gRPC server:
                grpc: {port: 9000}
            """,
        )
    for kind in kinds:
        yield from _keys(node.keys[kind], _HANDLER[kind])


def _by_schema(resources: list[Node], known: list[Fault]) -> list[Fault]:
    """What the schemas say beyond the faults that are known already."""
    told = {id(inner) for fault in known for inner in fault.node.all()}
    found: list[Fault] = []
    for resource in resources:
        if not _kind(resource) or not _is_own(resource):
            continue  # of a custom resource the schema lies in the cluster
        for fault in schema.faults(resource):
            # The schema may complain about a whole where we know which part of it is wrong.
            node = fault.node
            parts = (node, *node.keys.values(), *node.items)
            if not any(id(part) in told for part in parts) and not _NAMED_PORT.search(fault.node.path):
                found.append(fault)
    return found


def _container(node: Node, pod: Node, grpc: set[int | str]) -> Container:
    ports: dict[int, str] = {}
    speaking: set[int] = set()
    for item in node.listed("ports"):
        port, name = item.get("containerPort"), item.get("name")
        if port is None or port.number is None:
            continue
        called = name.value if name is not None and name.is_text else ""
        ports[port.number] = called
        if _GRPC_NAME.search(called) or called in grpc or port.number in grpc:
            speaking.add(port.number)
    probes: list[Probe] = []
    for purpose, key in PURPOSES.items():
        asked = probe(purpose, node.get(key))
        if asked is not None:
            probes.append(asked)
    speaking |= {p.port.number for p in probes if p.kind == "grpc" and p.port is not None and p.port.number is not None}
    environment = {}
    for variable in node.listed("env"):
        name, value = variable.get("name"), variable.get("value")
        if name is not None and value is not None:
            environment[str(name.value)] = value
    return Container(node, node.get("image"), ports, frozenset(speaking), tuple(probes), environment, pod)


def _grpc_targets(service: Node) -> Iterator[int | str]:
    """The targets of a Service's ports that say that they speak gRPC."""
    for port in service.listed("spec", "ports"):
        name, protocol, target = port.get("name"), port.get("appProtocol"), port.get("targetPort") or port.get("port")
        says = str(name.value) if name is not None else ""
        app = str(protocol.value) if protocol is not None else ""
        if target is not None and (_GRPC_NAME.search(says) or "h2c" in app or "grpc" in app.lower()):
            yield target.value
