"""Reads container specifications for Vertex AI (ModelContainerSpec, v1), and checks what its API refuses or drops."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from protoserve.verify.spec.container_spec import (
    Container,
    Spec,
    ports_asked_in_grpc,
    read_environment,
    read_probes,
)
from protoserve.verify.spec.fault_report import Fault, fail, similar_key, warn
from protoserve.verify.spec.probe_rules import handler_faults
from protoserve.verify.spec.tree import Node
from protoserve.verify.spec.vertex_schema import CONTAINER_SPEC, DEFAULT_PORT, ENV, message_faults, wrong_type

PROBE_KEYS = {"startup": "startupProbe", "readiness": "healthProbe", "liveness": "livenessProbe"}
_ARTIFACT = "google.UnmanagedContainerModel"
_LOCATION = re.compile(r"projects/[^/]+/locations/([a-z0-9-]+)")


@dataclass(frozen=True, slots=True)
class _ContainerSpec:
    """A container specification in a file; `region` is empty if the file does not say where the model goes."""

    node: Node
    region: str = ""


def read(file: str, documents: list[Node]) -> Spec | None:
    """The specification in these documents, None if they have none for Vertex AI."""
    faults: list[Fault] = []
    specs = [spec for document in documents for spec in _container_specs(document, faults)]
    if not specs and not faults:
        return None
    for spec in specs:
        faults += _spec_faults(spec.node)
    containers = tuple(_container(spec.node) for spec in specs)
    region = next((spec.region for spec in specs if spec.region), "")
    about = f"Vertex AI, {len(specs)} container specification{'s' * (len(specs) != 1)}"
    return Spec(file, "vertex", about, containers, tuple(faults), region)


def _container_specs(document: Node, faults: list[Fault]) -> Iterator[_ContainerSpec]:
    """The container specifications in the document; keys that Vertex AI would not read are added to `faults`."""
    if document.get("deploymentSpec", "executors") is not None:
        yield from _in_pipeline(document, faults)
        return
    for key in ("model", "metadata"):  # an UploadModel request; a stored artifact
        inner = document.get(key)
        if inner is not None and inner.is_mapping and any(similar_key(name, ["containerSpec"]) for name in inner.keys):
            yield from _in_model(inner, key == "metadata", _region(inner), faults)
            return
    if any(_is(name, "containerSpec") for name in document.keys):
        yield from _in_model(document, False, _region(document), faults)
    elif any(_is(name, "imageUri") for name in document.keys) or (
        "kind" not in document.keys and len([key for key in document.keys if similar_key(key, CONTAINER_SPEC)]) >= 2
    ):
        yield _ContainerSpec(document)


def _in_pipeline(document: Node, faults: list[Fault]) -> Iterator[_ContainerSpec]:
    executors = document.get("deploymentSpec", "executors")
    assert executors is not None
    region = _pipeline_region(document)
    for executor in executors.keys.values():
        importer = executor.get("importer")
        title = None if importer is None else importer.get("typeSchema", "schemaTitle")
        if importer is None or title is None or title.value != _ARTIFACT:
            continue
        metadata = importer.get("metadata")
        if metadata is None or not metadata.is_mapping:
            faults.append(_dropped(importer, "the artifact has no metadata"))
        else:
            yield from _in_model(metadata, True, region, faults)


def _in_model(node: Node, is_artifact: bool, region: str, faults: list[Fault]) -> Iterator[_ContainerSpec]:
    """The `containerSpec` of a Model, or of an artifact's metadata."""
    for name, inner in node.keys.items():
        if name == "containerSpec":
            if inner.is_mapping:
                yield _ContainerSpec(inner, region)
            else:
                faults.append(wrong_type(inner, CONTAINER_SPEC))
        elif _is(name, "containerSpec"):
            faults.append(_dropped(inner, f"the key is {name}, not containerSpec"))
    if is_artifact and not any(_is(name, "containerSpec") for name in node.keys):
        faults.append(
            _dropped(node, f"the metadata has no key containerSpec; its keys are {', '.join(node.keys) or 'none'}")
        )


def _is(name: str, key: str) -> bool:
    """Whether the name is this key, possibly in another spelling such as snake_case."""
    return name.replace("_", "").replace("-", "").lower() == key.lower()


def _region(model: Node) -> str:
    name = model.get("name") or model.get("parent")
    location = _LOCATION.match(name.value) if name is not None and name.is_text else None
    return location[1] if location else ""


def _pipeline_region(document: Node) -> str:
    """The constant `location` of the task that takes the artifact."""
    for task in document.all():
        if task.get("inputs", "artifacts", "unmanaged_container_model") is None:
            continue
        location = task.get("inputs", "parameters", "location", "runtimeValue", "constant")
        if location is not None and location.is_text:
            return str(location.value)
    return ""


def _dropped(node: Node, seen: str) -> Fault:
    return fail(
        node,
        seen,
        "Only the key containerSpec, in camelCase, is read. ModelUploadOp silently drops any other, and the model "
        "is then uploaded without a container; the API refuses it as an unknown name.",
        """
        Name it containerSpec:
            containerSpec: {imageUri: ..., ports: [{containerPort: 8080}], predictRoute: /predict, healthRoute: /health}
        """,
    )


def _spec_faults(node: Node) -> Iterator[Fault]:
    yield from message_faults(node, CONTAINER_SPEC, node)
    yield from _image(node)
    yield from _routes(node)
    yield from _environment(node)
    for key in PROBE_KEYS.values():
        probe = node.get(key)
        if probe is not None:
            yield from handler_faults(probe)
    yield from _no_grpc_ports(node)


def _image(node: Node) -> Iterator[Fault]:
    if not any(_is(name, "imageUri") and inner.value for name, inner in node.keys.items()):
        yield fail(
            node,
            "imageUri is missing",
            "It is the only required field: the image to run. Without it UploadModel fails.",
            """
            Add the image, best with its digest:
                imageUri: us-central1-docker.pkg.dev/PROJECT/REPOSITORY/NAME@sha256:...
            """,
        )


def _routes(node: Node) -> Iterator[Fault]:
    needed = ("healthRoute",) if node.get("invokeRoutePrefix") is not None else ("predictRoute", "healthRoute")
    missing = [key for key in needed if not any(_is(name, key) and inner.value for name, inner in node.keys.items())]
    if missing:
        yield warn(
            next((node.keys[key] for key in missing if key in node.keys), node),
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            "Vertex AI then asks for /v1/endpoints/ENDPOINT/deployedModels/MODEL (with :predict), not for /health and "
            "/predict: a server with fixed routes answers 404. (An empty value counts as not set.)",
            """
            Set both to the server's routes:
                predictRoute: /predict
                healthRoute: /health
            or let the server read them from AIP_PREDICT_ROUTE and AIP_HEALTH_ROUTE.
            """,
        )
    for key in ("predictRoute", "healthRoute"):
        route = node.get(key)
        if route is not None and route.is_text and route.value and not route.value.startswith(("/", "{{")):
            yield fail(
                route,
                f"{key} is {route.shown()}",
                "A route is a path of the container's HTTP server, so it must begin with a slash.",
                f"Write /{route.value.split('://')[-1].lstrip('/')}",
            )


def _environment(node: Node) -> Iterator[Fault]:
    for variable in node.listed("env"):
        name = variable.get("name")
        if name is None or not name.value:
            if variable.keys.keys() <= ENV.keys():  # otherwise its keys are reported
                yield fail(variable, "a variable has no name", "Each variable needs a name.", "Add its name.")
        elif name.is_text and name.value.startswith("AIP_"):
            yield fail(
                name,
                f"{name.value} is set by hand",
                "Vertex AI sets the AIP_* variables itself, and the server reads its port and routes from them. Your "
                "own value conflicts with the platform's.",
                """
                Remove it from env. The fields of the specification set these variables:
                    AIP_HTTP_PORT: ports[0].containerPort
                    AIP_HEALTH_ROUTE: healthRoute
                    AIP_PREDICT_ROUTE: predictRoute
                """,
            )


def _no_grpc_ports(node: Node) -> Iterator[Fault]:
    """A probe asks in gRPC, although gRPC predictions are off."""
    if any(_is(name, "grpcPorts") for name in node.keys):
        return
    for probe in read_probes(node, PROBE_KEYS):
        if probe.kind != "grpc" or probe.handler is None:
            continue
        key = PROBE_KEYS[probe.purpose]
        http_ports = _port_numbers(node, "ports") or [DEFAULT_PORT]
        port = probe.port.number if probe.port is not None else None
        is_http_port = port == http_ports[0]
        cause = "Without grpcPorts gRPC predictions are off: only HTTP reaches the model."
        if is_http_port:
            cause = f"Without grpcPorts Vertex AI sends HTTP/1 to port {port}, and gRPC predictions are off."
        report = fail if is_http_port else warn
        yield report(
            probe.handler,
            f"{key} asks {f'port {port} ' if is_http_port else ''}in gRPC, and grpcPorts is missing",
            cause,
            f"""
            If clients should use gRPC, add, beside an HTTP port in ports:
                grpcPorts:
                - containerPort: {port or 9000}
            """,
        )
        return


def _port_numbers(node: Node, key: str) -> list[int]:
    ports = (item.get("containerPort") for item in node.listed(key))
    return [port.number for port in ports if port is not None and port.number is not None]


def _container(node: Node) -> Container:
    probes = read_probes(node, PROBE_KEYS)
    grpc_ports = _port_numbers(node, "grpcPorts")
    ports = [*(_port_numbers(node, "ports") or [DEFAULT_PORT]), *grpc_ports]
    return Container(
        node,
        node.get("imageUri"),
        dict.fromkeys(ports, ""),
        frozenset({*grpc_ports, *ports_asked_in_grpc(probes)}),
        probes,
        read_environment(node),
        health_route=node.get("healthRoute"),
        predict_route=node.get("predictRoute"),
    )
