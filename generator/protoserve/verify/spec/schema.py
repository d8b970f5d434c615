"""Kubernetes' own schemas, from the library kubernetes-validate, which is large (22 MB) and so an extra."""

from __future__ import annotations

import functools
import importlib.util
import re
from collections.abc import Iterator
from typing import Any

from protoserve.verify.spec.faults import Fault, fail, nearest, warn
from protoserve.verify.spec.tree import Node

MISSING = "Kubernetes' own schemas are not installed: pip install kubernetes-validate"
_MOST = 20  # of one resource


def available() -> bool:
    return importlib.util.find_spec("kubernetes_validate") is not None


def faults(resource: Node) -> list[Fault]:
    """What the oldest and the newest Kubernetes that the library knows refuse. What one of them takes is a warning."""
    from kubernetes_validate import utils

    versions = utils.all_versions()
    oldest, newest = versions[0], versions[-1]
    old, new = (_by_version(resource, version) for version in (oldest, newest))
    found = [fault for key, fault in new.items() if key in old]
    for mine, others, version, age in ((old, new, oldest, "and older"), (new, old, newest, "and newer")):
        for key, fault in mine.items():
            if key not in others:
                seen = f"{fault.seen} (Kubernetes {version.rpartition('.')[0]} {age}; other versions take it)"
                found.append(warn(fault.node, seen, fault.cause, fault.remedy))
    return found


def _by_version(resource: Node, version: str) -> dict[tuple[str, str], Fault]:
    """The faults by path and kind of fault, so that versions can be compared."""
    validator = _validator(str(resource.value["kind"]), str(resource.value["apiVersion"]), version)
    if validator is None:
        return {("", "kind"): _no_kind(resource)}
    found: dict[tuple[str, str], Fault] = {}
    for error in validator.iter_errors(resource.value):
        for key, fault in _told(resource, error):
            found.setdefault(key, fault)
        if len(found) >= _MOST:
            break
    return found


@functools.cache
def _validator(kind: str, api_version: str, version: str) -> Any:
    """A validator of jsonschema for this kind, None where this Kubernetes has no such kind."""
    import jsonschema
    from kubernetes_validate import utils
    from referencing import Registry

    folder = f"kubernetes-json-schema/v{version}-local-strict"
    group = re.sub(r"^([^./]*)(?:\.[^/]*)?/", r"\1-", api_version)  # as the library names its files
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


def _told(resource: Node, error: Any) -> Iterator[tuple[tuple[str, str], Fault]]:
    node = resource.at(iter(error.absolute_path))
    path = ".".join(map(str, error.absolute_path))
    if error.validator == "additionalProperties":
        known = list(error.schema.get("properties", ()))
        for name in [name for name in error.instance if name not in known]:
            yield (path, f"no key {name}"), unknown(node.keys.get(name, node), name, nearest(name, known))
    elif error.validator == "required":
        missing = [name for name in error.validator_value if name not in error.instance]
        for name in missing:
            yield (path, f"needs {name}"), _missing(node, name)
    elif error.validator in ("type", "oneOf", "anyOf", "format"):
        yield (path, "type"), _wrong(node, error)
    else:
        yield (path, str(error.validator)), _wrong(node, error)


def unknown(node: Node, name: str, meant: str | None) -> Fault:
    return fail(
        node,
        f"there is no key {name}" + (f", but {meant}" if meant else " in this place"),
        "Kubernetes does not know this key in this place (case counts). A strict apply refuses it, any other drops it "
        "without a word.",
        f"Write {meant} in place of {name}." if meant else f"Take {name} out, or move it to where it belongs.",
    )


def _missing(node: Node, name: str) -> Fault:
    return fail(
        node,
        f"{name} is missing",
        "Kubernetes refuses a resource without this key.",
        f"Add {name} there.",
    )


def _wrong(node: Node, error: Any) -> Fault:
    wanted = error.schema.get("type") or error.schema.get("format") or error.schema.get("enum") or "another value"
    wanted = " or ".join(kind for kind in wanted if kind != "null") if isinstance(wanted, list) else wanted
    return fail(
        node,
        f"{node.shown()} is not {wanted}",
        "The value has another type or range than Kubernetes wants, which refuses it.",
        f"Give {wanted} (a text that looks like a number, true or yes needs quotes in YAML).",
    )


def _no_kind(resource: Node) -> Fault:
    kind, version = resource.value["kind"], resource.value["apiVersion"]
    return fail(
        resource.keys["apiVersion"],
        f"there is no kind {kind} in {version}",
        f'Kubernetes has no such resource: no matches for kind "{kind}" in version "{version}".',
        "Deployment and StatefulSet are in apps/v1, Pod and Service in v1, HorizontalPodAutoscaler in autoscaling/v2.",
    )
