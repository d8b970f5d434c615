"""What a specification says of its containers, in one form for Vertex AI and Kubernetes."""

from __future__ import annotations

from dataclasses import dataclass, field

from protoserve.verify.spec.faults import Fault
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
    """`purpose` is startup, readiness or liveness; `kind` which handler it has, None for none or several."""

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
    def service(self) -> str:
        """The name that a gRPC probe asks for."""
        named = None if self.handler is None else self.handler.get("service")
        return named.value if named is not None and named.is_text else ""

    def given(self, key: str) -> int | None:
        found = self.node.get(key)
        return None if found is None else found.number

    def seconds(self, key: str) -> int:
        """A number of the probe, or its default. Vertex AI takes 0 as not given."""
        given = self.given(key)
        return DEFAULTS[key] if given is None or (given == 0 and DEFAULTS[key]) else given

    @property
    def patience(self) -> int:
        """Seconds from the container's start to the failure that counts."""
        return self.seconds("initialDelaySeconds") + self.seconds("periodSeconds") * self.seconds("failureThreshold")


@dataclass(frozen=True, slots=True)
class Container:
    """One container. `ports` are the declared numbers with their names, `grpc` those that surely speak gRPC.

    `environment` are the variables with a plain value. `grace` is terminationGracePeriodSeconds, where a pod says it.
    """

    node: Node
    image: Node | None
    ports: dict[int, str] = field(default_factory=dict)
    grpc: frozenset[int] = frozenset()
    probes: tuple[Probe, ...] = ()
    environment: dict[str, Node] = field(default_factory=dict)
    pod: Node | None = None
    health_route: Node | None = None
    predict_route: Node | None = None

    def probe(self, purpose: str) -> Probe | None:
        return next((probe for probe in self.probes if probe.purpose == purpose), None)

    def probed(self, probe: Probe) -> int | None:
        """The number of the port that the probe goes to."""
        if probe.port is None:
            return None
        if probe.port.is_text and not probe.port.value.isdigit():
            return next((number for number, name in self.ports.items() if name == probe.port.value), None)
        return int(probe.port.value) if probe.port.is_text else probe.port.number

    def speaks_grpc(self, probe: Probe) -> bool:
        return self.probed(probe) in self.grpc


@dataclass(frozen=True, slots=True)
class Spec:
    """A specification that was read. `faults` are those of its shape, `region` is where it says that it goes.

    `about` says what it is, `unchecked` why its shape was not wholly judged; empty where it was.
    """

    file: str
    platform: str
    about: str
    containers: tuple[Container, ...]
    faults: tuple[Fault, ...]
    region: str = ""
    unchecked: str = ""

    @property
    def variables(self) -> dict[str, str]:
        """What Vertex AI will tell the server of its routes."""
        found = {}
        for container in self.containers:
            routes = {"AIP_HEALTH_ROUTE": container.health_route, "AIP_PREDICT_ROUTE": container.predict_route}
            for name, route in routes.items():
                if route is not None and route.is_text and route.value.startswith("/"):
                    found[name] = str(route.value)
        return found


def probe(purpose: str, node: Node | None) -> Probe | None:
    """The probe in this node, None where there is none."""
    if node is None or not node.is_mapping:
        return None
    kinds = [kind for kind in HANDLERS if kind in node.keys and node.keys[kind].value is not None]
    return Probe(purpose, node, kinds[0] if len(kinds) == 1 else None)
