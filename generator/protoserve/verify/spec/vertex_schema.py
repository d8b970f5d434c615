"""Keys and types of Vertex AI's ModelContainerSpec (v1), and faults of a specification that does not match them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from protoserve.verify.spec.fault_report import Fault, fail, similar_key, warn
from protoserve.verify.spec.tree import Node

# https://cloud.google.com/vertex-ai/docs/reference/rest/v1/ModelContainerSpec; a dict is a message, a list
# with one element a repeated field. tests/verify/test_spec.py compares it with the types of google-cloud-aiplatform.
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
_PLACEHOLDER = re.compile(r"\{\{.*\}\}")  # the pipeline replaces it with a value when it runs
_TYPE_NAMES = {
    "string": "a string",
    "int": "an integer of 0 or more",
    "port": "an integer from 1 to 65535",
    "probe-port": "an integer from 1 to 65535",
    "duration": 'a string such as "1800s"',
}


def message_faults(node: Node, fields: dict[str, Any], spec: Node) -> Iterator[Fault]:
    """Unknown keys and values of a wrong type in a message, which is a part of the specification `spec`."""
    for duplicate in node.twice:
        yield fail(
            duplicate,
            "the key appears twice",
            "Only the last one counts: the first value is lost, and strict parsers refuse the file.",
            "Keep one of the two; put all items of a list under one key.",
        )
    for name, inner in node.keys.items():
        if name not in fields:
            yield _unknown_key(inner, name, fields, is_document=node is spec and not node.path)
        elif inner.value is not None:
            yield from _value_faults(inner, fields[name], spec)


def _unknown_key(node: Node, name: str, fields: dict[str, Any], is_document: bool) -> Fault:
    meant = similar_key(name, fields)
    if meant is not None and re.sub(r"_([a-z])", lambda part: part[1].upper(), name) == meant and not is_document:
        return warn(
            node,
            f"the key is {name}",
            f"The API's JSON name is {meant}. Its parser accepts {name} too, but a pipeline's artifact type and the "
            "documentation only know camelCase.",
            f"Write {meant} instead of {name}.",
        )
    if meant is not None:
        return fail(
            node,
            f"unknown key {name}; did you mean {meant}?",
            "Names are camelCase, and case matters. The API refuses an unknown name with 400, and ModelUploadOp "
            "silently drops an unknown key at the top of an artifact's metadata.",
            f"Write {meant} instead of {name}.",
        )
    return fail(
        node,
        f"unknown key {name}; the keys here are {', '.join(fields)}",
        "The key does not belong to this part of the specification; the API refuses an unknown name with 400.",
        f"Remove {name}, or move it to where it belongs.",
    )


def _value_faults(node: Node, kind: Type, spec: Node) -> Iterator[Fault]:
    if isinstance(kind, list):
        if not isinstance(node.value, list):
            yield wrong_type(node, kind)
            return
        for item in node.items:
            yield from _value_faults(item, kind[0], spec)
    elif isinstance(kind, dict):
        if not node.is_mapping or (kind is ENV and _is_pair(node)):
            yield wrong_type(node, kind)
            return
        yield from message_faults(node, kind, spec)
    elif not _fits(node, kind) and (kind != "probe-port" or not node.is_text):  # spec-probes reports a name
        yield wrong_type(node, kind)


def _is_pair(node: Node) -> bool:
    """Whether it is `LOG_LEVEL: INFO` instead of a name and a value."""
    return bool(node.keys) and not any(similar_key(key, ENV) for key in node.keys)


def _fits(node: Node, kind: str) -> bool:
    """Whether the API's JSON parser accepts the value; a number may be written as a string."""
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
    """`kind` is what the value should be."""
    shown = node.shown()
    if kind is PORT or (isinstance(kind, list) and kind[0] is PORT):
        written = node.value if not isinstance(node.value, dict | list) else DEFAULT_PORT
        return fail(
            node,
            f"a port is {shown}",
            "Ports must be a list of objects with the key containerPort, as in Kubernetes, not plain numbers. The API "
            "refuses anything else with 400.",
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
            "Environment variables must be a list of objects with name and value, not a map. The API refuses anything "
            "else with 400.",
            """
            Write:
                env:
                - name: LOG_LEVEL
                  value: INFO
            """,
        )
    expected = "a list" if isinstance(kind, list) else "a mapping" if isinstance(kind, dict) else _TYPE_NAMES[kind]
    cause = "The value has the wrong type or range; the API refuses it with 400."
    remedy = f"Write {expected}."
    if kind == "string":
        cause += " (In YAML 1.1 an unquoted yes, no, on or off is a bool, and digits are a number.)"
        remedy += f' In YAML put it in quotes: "{node.text}".' if node.text else ""
    return fail(node, f"must be {expected}, not {shown}", cause, remedy)
