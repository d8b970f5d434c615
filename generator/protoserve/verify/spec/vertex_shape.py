"""The form of Vertex AI's ModelContainerSpec (v1): its keys and the types of their values."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from protoserve.verify.spec.faults import Fault, fail, nearest, warn
from protoserve.verify.spec.tree import Node

# https://cloud.google.com/vertex-ai/docs/reference/rest/v1/ModelContainerSpec; a dict is a message, a list of one
# element a repeated field. tests/verify/test_spec.py holds it against the types of google-cloud-aiplatform.
Type = str | dict[str, Any] | list[Any]
PORT: Type = {"containerPort": "port"}
ENV: dict[str, Any] = {"name": "string", "value": "string"}
PROBE: dict[str, Any] = {
    "exec": {"command": ["string"]},
    "httpGet": {
        "path": "string",
        "port": "port",
        "host": "string",
        "scheme": "string",
        "httpHeaders": [{"name": "string", "value": "string"}],
    },
    "grpc": {"port": "probe-port", "service": "string"},
    "tcpSocket": {"port": "port", "host": "string"},
    "periodSeconds": "int",
    "timeoutSeconds": "int",
    "failureThreshold": "int",
    "successThreshold": "int",
    "initialDelaySeconds": "int",
}
CONTAINER_SPEC: dict[str, Any] = {
    "imageUri": "string",
    "command": ["string"],
    "args": ["string"],
    "env": [ENV],
    "ports": [PORT],
    "predictRoute": "string",
    "healthRoute": "string",
    "invokeRoutePrefix": "string",
    "grpcPorts": [PORT],
    "deploymentTimeout": "duration",
    "sharedMemorySizeMb": "int",
    "startupProbe": PROBE,
    "healthProbe": PROBE,
    "livenessProbe": PROBE,
}
DEFAULT_PORT = 8080
DURATION = re.compile(r"\d+(\.\d{1,9})?s", re.ASCII)
_PLACEHOLDER = re.compile(r"\{\{.*\}\}")  # a pipeline puts a value in its place when it runs
_WANTED = {
    "string": "a text",
    "int": "a whole number",
    "port": "a number from 1 to 65535",
    "probe-port": "a number from 1 to 65535",
    "duration": 'a text of seconds, "1800s"',
}
TWICE = (
    "A key that stands twice counts once: what was written first is lost, and strict readers refuse it.",
    "Keep one of the two; what a list shall hold goes into one list.",
)


def message(node: Node, fields: dict[str, Any], whole: Node) -> Iterator[Fault]:
    """What does not fit the message, a part of the `whole` specification: unknown keys, values of a wrong type."""
    for twice in node.twice:
        yield fail(twice, "this key stands here once more", *TWICE)
    for name, inner in node.keys.items():
        if name not in fields:
            yield _unknown(inner, name, fields, node is whole and not node.path)
        elif inner.value is not None:
            yield from _value(inner, fields[name], whole)


def _unknown(node: Node, name: str, fields: dict[str, Any], top: bool) -> Fault:
    meant = nearest(name, fields)
    if meant is not None and re.sub(r"_([a-z])", lambda part: part[1].upper(), name) == meant and not top:
        return warn(
            node,
            f"the key is {name}",
            f"The API's JSON name is {meant}. Its parser takes {name} too; a pipeline's artifact type and the "
            "documentation know only camelCase.",
            f"Write {meant} in place of {name}.",
        )
    if meant is not None:
        return fail(
            node,
            f"there is no key {name}, but {meant}",
            "Names are camelCase, and case counts. The API refuses an unknown name with 400, and ModelUploadOp drops "
            "what it does not find at the top of an artifact's metadata without a word.",
            f"Write {meant} in place of {name}.",
        )
    return fail(
        node,
        f"there is no key {name}; there are: {', '.join(fields)}",
        "The key is not one of this part of the specification; the API refuses an unknown name with 400.",
        f"Take {name} out, or move it where it belongs.",
    )


def _value(node: Node, kind: Type, whole: Node) -> Iterator[Fault]:
    if isinstance(kind, list):
        if not node.is_list:
            yield wrong_type(node, kind)
            return
        for item in node.items:
            yield from _value(item, kind[0], whole)
    elif isinstance(kind, dict):
        if not node.is_mapping or (kind is ENV and _is_pair(node)):
            yield wrong_type(node, kind)
            return
        yield from message(node, kind, whole)
    elif not _fits(node, kind) and (kind != "probe-port" or not node.is_text):  # spec-probes tells of a name
        yield wrong_type(node, kind)


def _is_pair(node: Node) -> bool:
    """Whether it is `LOG_LEVEL: INFO` in place of a name and a value."""
    return bool(node.keys) and not any(nearest(key, ENV) for key in node.keys)


def _fits(node: Node, kind: str) -> bool:
    """Whether the API's JSON parser takes the value; a number may be written as a text."""
    if node.is_text and _PLACEHOLDER.search(node.value):
        return True
    if kind == "string":
        return node.is_text
    if kind == "duration":
        return node.is_text and DURATION.fullmatch(node.value) is not None
    number = int(node.value) if node.is_text and re.fullmatch(r"-?\d+", node.value, re.ASCII) else node.number
    if number is None:
        return False
    return 1 <= number <= 65535 if kind in ("port", "probe-port") else number >= 0


def wrong_type(node: Node, kind: Type) -> Fault:
    shown = node.shown()
    if kind is PORT or (isinstance(kind, list) and kind[0] is PORT):
        written = node.value if not isinstance(node.value, dict | list) else DEFAULT_PORT
        return fail(
            node,
            f"a port is {shown}",
            "Ports are a list of objects with the key containerPort, as in Kubernetes, not plain numbers. The API "
            "refuses the rest with 400.",
            f"""
            Write:
                {node.path.split("[")[0].rpartition(".")[2]}:
                - containerPort: {written}
            """,
        )
    if kind is ENV or (isinstance(kind, list) and kind[0] is ENV):
        return fail(
            node,
            f"env is {shown}",
            "Environment variables are a list of objects with name and value, not a map. The API refuses the rest with "
            "400.",
            """
            Write:
                env:
                - name: LOG_LEVEL
                  value: INFO
            """,
        )
    wanted = "a list" if isinstance(kind, list) else "a mapping" if isinstance(kind, dict) else _WANTED[kind]
    quoted = f' In YAML put it in quotes: "{node.text}".' if kind == "string" and node.text else ""
    return fail(
        node,
        f"{shown} is not {wanted}",
        "The value has the wrong type; the API refuses it with 400. (In YAML 1.1 an unquoted yes, no, on, off is a "
        "bool, and digits are a number.)"
        if kind == "string"
        else "The value has the wrong type or range; the API refuses it with 400.",
        f"Give {wanted}.{quoted}",
    )
