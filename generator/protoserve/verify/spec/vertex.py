"""Vertex AI: the container specification of a Model, as the API takes it (ModelContainerSpec, v1)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from protoserve.verify.spec.faults import Fault, fail, nearest, warn
from protoserve.verify.spec.model import DEFAULTS, HANDLERS, Container, Probe, Spec, probe
from protoserve.verify.spec.tree import Node
from protoserve.verify.spec.vertex_shape import CONTAINER_SPEC, DEFAULT_PORT, DURATION, ENV, message, wrong_type

PURPOSES = {"startup": "startupProbe", "readiness": "healthProbe", "liveness": "livenessProbe"}
LONGEST_DEPLOYMENT = 7200.0
_ARTIFACT = "google.UnmanagedContainerModel"
_LOCATION = re.compile(r"projects/[^/]+/locations/([a-z0-9-]+)")


@dataclass(frozen=True, slots=True)
class _Found:
    """A container specification in a file; `artifact` where it is the metadata of a pipeline's artifact."""

    node: Node
    artifact: bool = False
    region: str = ""


def read(file: str, documents: list[Node]) -> Spec | None:
    """The specification in these documents, None where there is none of this platform."""
    faults: list[Fault] = []
    found: list[_Found] = []
    for document in documents:
        found += _specs(document, faults)
    if not found and not faults:
        return None
    for spec in found:
        faults += _judged(spec)
    containers = tuple(_container(spec.node) for spec in found)
    region = next((spec.region for spec in found if spec.region), "")
    about = f"Vertex AI, {len(found)} container specification{'s' * (len(found) != 1)}"
    return Spec(file, "vertex", about, containers, tuple(faults), region)


def _specs(document: Node, faults: list[Fault]) -> Iterator[_Found]:
    """Where in the document the container specifications are."""
    if document.get("deploymentSpec", "executors") is not None:
        yield from _in_pipeline(document, faults)
        return
    for key in ("model", "metadata"):  # an UploadModel request; an artifact as it is stored
        inner = document.get(key)
        if inner is not None and inner.is_mapping and any(nearest(name, ["containerSpec"]) for name in inner.keys):
            yield from _in_model(inner, key == "metadata", _region(inner), faults)
            return
    if any(_is(name, "containerSpec") for name in document.keys):
        yield from _in_model(document, False, _region(document), faults)
    elif any(_is(name, "imageUri") for name in document.keys) or (
        "kind" not in document.keys and len([key for key in document.keys if nearest(key, CONTAINER_SPEC)]) >= 2
    ):
        yield _Found(document)


def _in_pipeline(document: Node, faults: list[Fault]) -> Iterator[_Found]:
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


def _in_model(node: Node, artifact: bool, region: str, faults: list[Fault]) -> Iterator[_Found]:
    """The `containerSpec` of a Model or an artifact."""
    for name, inner in node.keys.items():
        if name == "containerSpec":
            if inner.is_mapping:
                yield _Found(inner, artifact, region)
            else:
                faults.append(wrong_type(inner, CONTAINER_SPEC))
        elif _is(name, "containerSpec"):
            faults.append(_dropped(inner, f"the key is {name}, not containerSpec"))
    if artifact and not any(_is(name, "containerSpec") for name in node.keys):
        faults.append(_dropped(node, f"the metadata has no key containerSpec, but {', '.join(node.keys) or 'nothing'}"))


def _is(name: str, key: str) -> bool:
    return name.replace("_", "").replace("-", "").lower() == key.lower()


def _region(model: Node) -> str:
    name = model.get("name") or model.get("parent")
    found = _LOCATION.match(name.value) if name is not None and name.is_text else None
    return found[1] if found else ""


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
        "Only the key containerSpec, in camelCase, is read. ModelUploadOp drops any other without a word, and the "
        "model is then uploaded without a container; the API refuses it as an unknown name.",
        """
        Name it containerSpec:
            containerSpec: {imageUri: ..., ports: [{containerPort: 8080}], predictRoute: /predict, healthRoute: /health}
        """,
    )


def _judged(found: _Found) -> Iterator[Fault]:
    node = found.node
    yield from message(node, CONTAINER_SPEC, node)
    yield from _image(node)
    yield from _routes(node)
    yield from _environment(node)
    yield from _stripped(node)
    for key in PURPOSES.values():
        inner = node.get(key)
        if inner is not None and inner.is_mapping:
            yield from _kinds(inner)
    yield from _no_grpc(node)
    yield from _limits(node)


def _image(node: Node) -> Iterator[Fault]:
    if not any(_is(name, "imageUri") and inner.value for name, inner in node.keys.items()):
        yield fail(
            node,
            "imageUri is missing",
            "The one field that is required: which image to run. Without it UploadModel fails.",
            """
            Give the image, best by its digest:
                imageUri: us-central1-docker.pkg.dev/PROJECT/REPOSITORY/NAME@sha256:...
            """,
        )


def _routes(node: Node) -> Iterator[Fault]:
    prefix, predict = node.get("invokeRoutePrefix"), node.get("predictRoute")
    if prefix is not None and predict is not None and predict.value:
        yield fail(
            prefix,
            "invokeRoutePrefix and predictRoute are both there",
            "Only one of the two can be set.",
            "Take one of them out: predictRoute unless the container has more routes than one.",
        )
    elif prefix is not None and prefix.value != "/*":
        yield fail(prefix, f"invokeRoutePrefix is {prefix.shown()}", 'Only "/*" is supported.', 'Write "/*".')
    wanted = ("healthRoute",) if prefix is not None else ("predictRoute", "healthRoute")
    missing = [key for key in wanted if not any(_is(name, key) and inner.value for name, inner in node.keys.items())]
    if missing:
        yield warn(
            next((node.keys[key] for key in missing if key in node.keys), node),
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            "Vertex AI then asks for /v1/endpoints/ENDPOINT/deployedModels/MODEL (with :predict), not for /health and "
            "/predict: a server with fixed routes answers 404. (What is empty counts as not set.)",
            """
            Set both routes to those of the server:
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
                "A route is a path of the container's HTTP server, and begins with a slash.",
                f"Write /{route.value.split('://')[-1].lstrip('/')}",
            )


def _environment(node: Node) -> Iterator[Fault]:
    for variable in node.listed("env"):
        name = variable.get("name")
        if name is None or not name.value:
            if variable.keys.keys() <= ENV.keys():  # else its keys are what is wrong
                yield fail(variable, "a variable has no name", "Each variable has a name and value.", "Give its name.")
        elif name.is_text and name.value.startswith("AIP_"):
            yield fail(
                name,
                f"{name.value} is set by hand",
                "Vertex AI sets the AIP_* variables itself, and the server must find its port and routes in them. A "
                "value of yours fights with the platform's.",
                """
                Take it out of env. The fields of the specification set them:
                    AIP_HTTP_PORT: ports[0].containerPort
                    AIP_HEALTH_ROUTE: healthRoute
                    AIP_PREDICT_ROUTE: predictRoute
                """,
            )


def _kinds(node: Node) -> Iterator[Fault]:
    kinds = [kind for kind in HANDLERS if kind in node.keys and node.keys[kind].value is not None]
    if len(kinds) > 1:
        yield fail(node.keys[kinds[1]], f"one probe has {' and '.join(kinds)}", *TWO_KINDS)
    elif not kinds and node.keys and not any(nearest(name, HANDLERS) for name in node.keys):
        yield warn(
            node,
            "the probe says not how to ask",
            "A probe needs one of exec, httpGet, grpc and tcpSocket.",
            """
            Say how, for a gRPC server:
                grpc: {port: 9000}
            """,
        )


def _stripped(node: Node) -> Iterator[Fault]:
    """Empty and zero values that mean something else than what they say, once they are taken out."""
    for inner in node.all():
        name = inner.path.rpartition(".")[2]
        empty = inner.value == {} and inner.value is not None and inner is not node
        zero = inner.number == 0 and DEFAULTS.get(name, 0) != 0
        nothing = inner.value == "" and re.search(r"(^|\.)env\[\d+\]\.value$", inner.path) is not None
        if not (empty or zero or nothing):
            continue
        becomes = f"its default, {DEFAULTS[name]}, counts" if zero else "it is as if it were not there"
        yield warn(
            inner,
            f"{inner.shown()}: {becomes}",
            "Empty and zero values are taken out before the API sees them (ModelUploadOp does that), or mean the same "
            "to it as nothing.",
            "Give a value that says what you mean, or take the key out.",
        )


def _no_grpc(node: Node) -> Iterator[Fault]:
    """gRPC is probed, and gRPC predictions are off."""
    if any(_is(name, "grpcPorts") for name in node.keys):
        return
    for purpose, key in PURPOSES.items():
        asked = probe(purpose, node.get(key))
        if asked is None or asked.kind != "grpc" or asked.handler is None:
            continue
        http = _numbers(node, "ports") or [DEFAULT_PORT]
        port = asked.port.number if asked.port is not None else None
        if port == http[0]:
            yield fail(
                asked.handler,
                f"{key} asks port {port} in gRPC, and grpcPorts is missing",
                "The port that gets gRPC must stand in grpcPorts. As it is, Vertex AI sends HTTP/1 to it and gRPC "
                "predictions are off.",
                f"""
                Add, beside an HTTP port in ports:
                    grpcPorts:
                    - containerPort: {port}
                """,
            )
        else:
            yield warn(
                asked.handler,
                f"{key} asks in gRPC, and grpcPorts is missing",
                "Without grpcPorts gRPC predictions are off: only HTTP reaches the model.",
                f"""
                Where clients shall speak gRPC, add:
                    grpcPorts:
                    - containerPort: {port or 9000}
                """,
            )
        return


def _limits(node: Node) -> Iterator[Fault]:
    timeout = node.get("deploymentTimeout")
    if timeout is None or not timeout.is_text or DURATION.fullmatch(timeout.value) is None:
        return
    if float(timeout.value[:-1]) > LONGEST_DEPLOYMENT:
        yield fail(
            timeout,
            f"deploymentTimeout is {timeout.value}",
            "A deployment may take two hours at most.",
            'Write "7200s" or less.',
        )


def _numbers(node: Node, key: str) -> list[int]:
    found = [item.get("containerPort") for item in node.listed(key)]
    return [port.number for port in found if port is not None and port.number is not None]


def _container(node: Node) -> Container:
    probes: list[Probe] = []
    for purpose, key in PURPOSES.items():
        asked = probe(purpose, node.get(key))
        if asked is not None:
            probes.append(asked)
    grpc = set(_numbers(node, "grpcPorts"))
    grpc |= {p.port.number for p in probes if p.kind == "grpc" and p.port is not None and p.port.number is not None}
    numbers = [*(_numbers(node, "ports") or [DEFAULT_PORT]), *_numbers(node, "grpcPorts")]
    environment = {}
    for variable in node.listed("env"):
        name, value = variable.get("name"), variable.get("value")
        if name is not None and value is not None:
            environment[str(name.value)] = value
    return Container(
        node,
        node.get("imageUri"),
        dict.fromkeys(numbers, ""),
        frozenset(grpc),
        tuple(probes),
        environment,
        None,
        node.get("healthRoute"),
        node.get("predictRoute"),
    )


TWO_KINDS = (
    "A probe asks in one way: one of exec, httpGet, grpc and tcpSocket. The API refuses two.",
    "Keep one of them; for a gRPC server grpc.",
)
