"""Checks a resource against Kubernetes' own schemas.

They come with the library kubernetes-validate, which is optional because of its size (22 MB).
"""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator
from typing import Any

from protoserve.verify.spec.fault_report import Fault, fail, similar_key, warn
from protoserve.verify.spec.tree import Node

NOT_INSTALLED = (
    "keys and types were not checked, because Kubernetes' schemas are not installed: pip install kubernetes-validate"
)
_MAX_FAULTS = 20  # of one resource
# Groups of Kubernetes itself. The schemas of custom resources are in the cluster.
_BUILT_IN = re.compile(r"v\d\w*|(apps|batch|autoscaling|policy|extensions)/\w+|[\w.-]+\.k8s\.io/\w+", re.ASCII)
_CUSTOM = re.compile(r"\.x-k8s\.io/|gateway\.networking\.k8s\.io/|snapshot\.storage\.k8s\.io/|metrics\.k8s\.io/")
_GRPC_PROBE_PORT = re.compile(r"Probe\.grpc\.port$")  # left to spec-probes, which knows the right number


def is_installed() -> bool:
    return importlib.util.find_spec("kubernetes_validate") is not None


def faults(resource: Node) -> list[Fault]:
    """What the oldest and the newest Kubernetes in the library refuse; a warning if only one of them refuses it."""
    from kubernetes_validate import utils

    for key in ("apiVersion", "kind"):
        if (value := resource.get(key)) is None or not value.is_text:
            return [_missing(resource, key)]
    api_version = str(resource.value["apiVersion"])
    if not _BUILT_IN.fullmatch(api_version) or _CUSTOM.search(api_version):
        return []
    versions = utils.all_versions()
    oldest, newest = versions[0], versions[-1]
    old, new = _faults_of_version(resource, oldest), _faults_of_version(resource, newest)
    refused = [fault for key, fault in new.items() if key in old]
    for own, other, version, direction in ((old, new, oldest, "older"), (new, old, newest, "newer")):
        for path_and_kind, fault in own.items():
            if path_and_kind not in other:
                release = version.rpartition(".")[0]
                seen = f"{fault.seen} (Kubernetes {release} and {direction}; other versions accept it)"
                refused.append(warn(fault.node, seen, fault.cause, fault.remedy))
    return [fault for fault in refused if not _GRPC_PROBE_PORT.search(fault.node.path)]


def _faults_of_version(resource: Node, version: str) -> dict[tuple[str, str], Fault]:
    """The faults by path and kind, so that versions can be compared."""
    validator = _validator(str(resource.value["kind"]), str(resource.value["apiVersion"]), version)
    if validator is None:
        return {("", "kind"): _unknown_kind(resource)}
    faults: dict[tuple[str, str], Fault] = {}
    for error in validator.iter_errors(resource.value):
        for key, fault in _faults_of_error(resource, error):
            faults.setdefault(key, fault)
        if len(faults) >= _MAX_FAULTS:
            break
    return faults


@functools.cache
def _validator(kind: str, api_version: str, version: str) -> Any:
    """A jsonschema validator for this kind, None if this Kubernetes does not have the kind."""
    import jsonschema
    from kubernetes_validate import utils
    from referencing import Registry

    folder = f"kubernetes-json-schema/v{version}-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)  # as in the names of the library's files
    if not re.fullmatch(r"[\w-]+", f"{kind}{group}", re.ASCII):
        return None
    try:
        schema = utils.schema_contents(f"{folder}/{kind.lower()}-{group}.json", version)
    except (FileNotFoundError, utils.VersionNotSupportedError):
        return None
    return jsonschema.Draft202012Validator(schema, registry=_definitions(folder, version) @ Registry())


@functools.cache
def _definitions(folder: str, version: str) -> Any:
    from kubernetes_validate import utils
    from referencing import Resource

    return Resource.from_contents(utils.schema_contents(f"{folder}/_definitions.json", version))


def _faults_of_error(resource: Node, error: Any) -> Iterator[tuple[tuple[str, str], Fault]]:
    """The faults in one error of jsonschema, each with its path and kind."""
    node = resource.at(iter(error.absolute_path))
    path = ".".join(map(str, error.absolute_path))
    known = list(error.schema.get("properties", ()))
    if error.validator == "additionalProperties":
        for name in [name for name in error.instance if name not in known]:
            yield (path, f"no key {name}"), _unknown_key(node.keys.get(name, node), name, similar_key(name, known))
    elif error.validator == "required":
        misspelt = {similar_key(name, known) for name in error.instance if name not in known}
        for name in error.validator_value:
            if name not in error.instance and name not in misspelt:
                yield (path, f"needs {name}"), _missing(node, name)
    elif error.validator in ("type", "oneOf", "anyOf", "format"):
        yield (path, "type"), _wrong_type(node, error)
    else:
        yield (path, str(error.validator)), _wrong_type(node, error)


def _unknown_key(node: Node, name: str, meant: str | None) -> Fault:
    return fail(
        node,
        f"unknown key {name}" + (f"; did you mean {meant}?" if meant else ""),
        "Kubernetes does not know this key at this place (case matters). kubectl refuses it, or a lenient client drops "
        "it silently.",
        f"Write {meant} instead of {name}." if meant else f"Remove {name}, or move it to where it belongs.",
    )


def _missing(node: Node, name: str) -> Fault:
    return fail(node, f"{name} is missing", "Kubernetes refuses a resource without this key.", f"Add {name} here.")


def _wrong_type(node: Node, error: Any) -> Fault:
    types = error.schema.get("type") or error.schema.get("format") or error.schema.get("enum") or "another value"
    expected = " or ".join(kind for kind in types if kind != "null") if isinstance(types, list) else types
    return fail(
        node,
        f"must be {expected}, not {node.shown()}",
        "The value does not have the type or range that Kubernetes requires, so it is refused.",
        f"Write a value of type {expected}. (In YAML, text that looks like a number, true or yes needs quotes.)",
    )


def _unknown_kind(resource: Node) -> Fault:
    kind, version = resource.value["kind"], resource.value["apiVersion"]
    return fail(
        resource.keys["apiVersion"],
        f"{version} does not have the kind {kind}",
        f'Kubernetes refuses it: no matches for kind "{kind}" in version "{version}".',
        "Deployment and StatefulSet are in apps/v1, Pod and Service in v1, HorizontalPodAutoscaler in autoscaling/v2.",
    )
