"""What a specification says about its containers, in one form for Vertex AI and Kubernetes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from protoserve.verify.spec.exec_commands import Question, question
from protoserve.verify.spec.fault_report import Fault
from protoserve.verify.spec.tree import Node

HANDLERS = ("exec", "httpGet", "grpc", "tcpSocket")
# The defaults of both platforms: https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Probe
DEFAULTS = {
    "initialDelaySeconds": 0,
    "periodSeconds": 10,
    "timeoutSeconds": 1,
    "failureThreshold": 3,
    "successThreshold": 1,
}


@dataclass(frozen=True, slots=True)
class Probe:
    """`purpose` is startup, readiness or liveness; `kind` names its handler, None if it has none or several."""

    purpose: str
    node: Node
    kind: str | None

    @property
    def handler(self) -> Node | None:
        return self.node.get(self.kind) if self.kind else None

    @property
    def port(self) -> Node | None:
        return None if self.handler is None else self.handler.get("port")

    @property
    def question(self) -> Question | None:
        """What the command of an exec probe asks, as far as it is known."""
        return question(self.handler) if self.kind == "exec" and self.handler is not None else None

    @property
    def asks_grpc(self) -> bool:
        """Whether it asks for gRPC health, itself or by a command."""
        return self.kind == "grpc" or (self.question is not None and self.question.protocol == "grpc")

    @property
    def service(self) -> str:
        """The health name that a gRPC probe asks for."""
        if self.question is not None:
            return self.question.service
        name = None if self.handler is None else self.handler.get("service")
        return name.value if name is not None and name.is_text else ""

    def written(self, key: str) -> int | None:
        """A number as the specification has it, None if it is missing."""
        node = self.node.get(key)
        return None if node is None else node.number

    def setting(self, key: str) -> int:
        """A number of the probe, or its default. Vertex AI treats 0 as missing."""
        number = self.written(key)
        return DEFAULTS[key] if number is None or (number == 0 and DEFAULTS[key]) else number

    @property
    def seconds_to_failure(self) -> int:
        """Seconds from the container's start until the probe has failed for good."""
        return self.setting("initialDelaySeconds") + self.setting("periodSeconds") * self.setting("failureThreshold")


@dataclass(frozen=True, slots=True)
class Container:
    """One container. `ports` are the declared numbers with their names, `grpc_ports` those that certainly speak gRPC.

    `is_serverless` is whether Knative runs it. `environment` holds the variables that have a plain value, `pod` the
    node of the pod's specification.
    """

    node: Node
    image: Node | None
    ports: dict[int, str] = field(default_factory=dict)
    grpc_ports: frozenset[int] = frozenset()
    probes: tuple[Probe, ...] = ()
    environment: dict[str, Node] = field(default_factory=dict)
    pod: Node | None = None
    is_serverless: bool = False
    health_route: Node | None = None
    predict_route: Node | None = None

    def probe(self, purpose: str) -> Probe | None:
        return next((probe for probe in self.probes if probe.purpose == purpose), None)

    def port_of(self, probe: Probe) -> int | None:
        """The number of the port that the probe asks."""
        if probe.question is not None:
            return probe.question.port
        if probe.port is None:  # Knative fills in the only port
            return next(iter(self.ports)) if self.is_serverless and len(self.ports) == 1 else None
        if probe.port.is_text and not probe.port.value.isdigit():
            return next((number for number, name in self.ports.items() if name == probe.port.value), None)
        return int(probe.port.value) if probe.port.is_text else probe.port.number


@dataclass(frozen=True, slots=True)
class Spec:
    """A specification that was read. `faults` are those of its shape, `region` is where it says that it goes.

    `about` says what it is, and `judged` what a specification without faults has right; empty if nothing was judged.
    """

    file: str
    platform: str
    about: str
    containers: tuple[Container, ...]
    faults: tuple[Fault, ...]
    region: str = ""
    judged: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """The variables in which Vertex AI will give the server its routes."""
        variables = {}
        for container in self.containers:
            routes = {"AIP_HEALTH_ROUTE": container.health_route, "AIP_PREDICT_ROUTE": container.predict_route}
            for name, route in routes.items():
                if route is not None and route.is_text and route.value.startswith("/"):
                    variables[name] = str(route.value)
        return variables


def handler_kinds(probe: Node) -> list[str]:
    """The handlers that the probe has; it should be one."""
    return [kind for kind in HANDLERS if probe.get(kind) is not None]


def read_probes(container: Node, keys: Mapping[str, str]) -> tuple[Probe, ...]:
    """The container's probes that are mappings; `keys` gives the key of each purpose."""
    probes = []
    for purpose, key in keys.items():
        node = container.get(key)
        if node is not None and node.is_mapping:
            kinds = handler_kinds(node)
            probes.append(Probe(purpose, node, kinds[0] if len(kinds) == 1 else None))
    return tuple(probes)


def read_environment(container: Node) -> dict[str, Node]:
    """The nodes of the variables' values, by name."""
    variables = ((variable.get("name"), variable.get("value")) for variable in container.listed("env"))
    return {str(name.value): value for name, value in variables if name is not None and value is not None}


def ports_asked_in_grpc(probes: Iterable[Probe]) -> set[int]:
    """The ports that gRPC probes ask, so they speak gRPC."""
    ports = (probe.port for probe in probes if probe.kind == "grpc")
    return {port.number for port in ports if port is not None and port.number is not None}
