"""What Kubernetes manifests must hold, beyond what a schema sees: a list of faults for a list of resources."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes_validate import utils

Resource = dict[str, Any]

VERSIONS = utils.all_versions()
OLDEST, NEWEST = VERSIONS[0], VERSIONS[-1]
# What a Deployment's selector may have: it can never change, so nothing that changes belongs in it.
LASTING = {"app.kubernetes.io/name", "app.kubernetes.io/component"}
SLOWEST_LOAD = 300  # seconds that a model may take at least
SPREAD = 5  # seconds until every node knows that a pod ends

# https://kubernetes.io/docs/concepts/security/pod-security-standards/, the profile "restricted" with all of "baseline":
# a path, in which [*] is every item and an empty one may be missing, and the values that it may have.
ANY_CONTAINER = ("containers[*]", "initContainers[*]", "ephemeralContainers[*]")
UNSET = None
RESTRICTED: list[tuple[str, Callable[[Any], bool]]] = [
    ("securityContext.windowsOptions.hostProcess", lambda value: value in (UNSET, False)),
    ("hostNetwork", lambda value: value in (UNSET, False)),
    ("hostPID", lambda value: value in (UNSET, False)),
    ("hostIPC", lambda value: value in (UNSET, False)),
    ("volumes[*].hostPath", lambda value: value is UNSET),
    ("securityContext.sysctls", lambda value: not value),
    ("securityContext.appArmorProfile.type", lambda value: value in (UNSET, "RuntimeDefault", "Localhost")),
    ("securityContext.seLinuxOptions.user", lambda value: not value),
    ("securityContext.seLinuxOptions.role", lambda value: not value),
    ("securityContext.runAsNonRoot", lambda value: value is True),
    ("securityContext.runAsUser", lambda value: value != 0),
    ("securityContext.seccompProfile.type", lambda value: value in ("RuntimeDefault", "Localhost")),
    *(
        (f"{container}.{path}", allowed)
        for container in ANY_CONTAINER
        for path, allowed in [
            ("securityContext.windowsOptions.hostProcess", lambda value: value in (UNSET, False)),
            ("securityContext.privileged", lambda value: value in (UNSET, False)),
            ("securityContext.allowPrivilegeEscalation", lambda value: value is False),
            ("securityContext.capabilities.drop", lambda value: "ALL" in (value or [])),
            ("securityContext.capabilities.add", lambda value: set(value or []) <= {"NET_BIND_SERVICE"}),
            ("securityContext.procMount", lambda value: value in (UNSET, "Default")),
            ("securityContext.runAsNonRoot", lambda value: value in (UNSET, True)),
            ("securityContext.runAsUser", lambda value: value != 0),
            ("securityContext.seccompProfile.type", lambda value: value in (UNSET, "RuntimeDefault", "Localhost")),
            ("securityContext.appArmorProfile.type", lambda value: value in (UNSET, "RuntimeDefault", "Localhost")),
            ("securityContext.seLinuxOptions.user", lambda value: not value),
            ("ports[*].hostPort", lambda value: value in (UNSET, 0)),
            ("livenessProbe.httpGet.host", lambda value: not value),
            ("readinessProbe.tcpSocket.host", lambda value: not value),
            ("lifecycle.preStop.httpGet.host", lambda value: not value),
        ]
    ),
]
VOLUMES = {
    "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret",
}  # fmt: skip


def kubectl() -> str:
    """The path of kubectl; skips the test without one, and fails where PROTOSERVE_KUBECTL says `required`."""
    found = shutil.which("kubectl")
    if found is None:
        assert os.environ.get("PROTOSERVE_KUBECTL") != "required", "kubectl is not installed"
        pytest.skip("kubectl is not installed")
    return found


def render(folder: Path) -> list[Resource]:
    """The resources of a folder with a kustomization, as kubectl applies them."""
    done = subprocess.run([kubectl(), "kustomize", str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr, done.stderr  # what kustomize calls deprecated
    return list(yaml.safe_load_all(done.stdout))


def faults(resources: list[Resource]) -> list[str]:
    """All that is wrong with the resources of one server."""
    return [*schema(resources), *labels(resources), *ports(resources), *restricted(resources), *times(resources)]


def schema(resources: list[Resource]) -> Iterator[str]:
    """What the oldest and the newest Kubernetes refuse; a kind that they do not know is a fault, too."""
    for resource in resources:
        for version in (OLDEST, NEWEST):
            if said := _refusal(json.dumps(resource), version):
                yield f"{resource['kind']}, Kubernetes {version}: {said}"


@functools.cache
def _refusal(resource: str, version: str) -> str:
    try:
        utils.validate(json.loads(resource), version, strict=True)
    except (utils.ValidationError, utils.SchemaNotFoundError) as error:
        return str(error.message)
    return ""


def one(resources: list[Resource], kind: str, name: str = "") -> Resource:
    """The resource of this kind, and of this end of its name."""
    (found,) = [found for found in resources if found["kind"] == kind and found["metadata"]["name"].endswith(name)]
    return found


def pod(resources: list[Resource]) -> Resource:
    """The specification of the Deployment's pods."""
    found: Resource = one(resources, "Deployment")["spec"]["template"]["spec"]
    return found


def container(resources: list[Resource]) -> Resource:
    (found,) = pod(resources)["containers"]
    assert isinstance(found, dict)
    return found


def labels(resources: list[Resource]) -> Iterator[str]:
    """Selectors that find no pod, or that could not stay as they are; references that lead nowhere."""
    deployment = one(resources, "Deployment")
    own = deployment["spec"]["template"]["metadata"]["labels"]
    selectors = {"Deployment": deployment["spec"]["selector"]["matchLabels"]}
    for at, spread in enumerate(pod(resources)["topologySpreadConstraints"]):
        selectors[f"spread {at}"] = spread["labelSelector"]["matchLabels"]
    for resource in resources:
        kind, name, spec = resource["kind"], resource["metadata"]["name"], resource.get("spec", {})
        if kind == "Service":
            selectors[f"Service {name}"] = spec["selector"]
        elif kind == "PodDisruptionBudget":
            selectors[kind] = spec["selector"]["matchLabels"]
        elif kind == "NetworkPolicy":
            selectors[kind] = spec["podSelector"]["matchLabels"]
        elif kind == "HorizontalPodAutoscaler":
            wanted = {key: deployment[key] for key in ("apiVersion", "kind")} | {"name": deployment["metadata"]["name"]}
            if spec["scaleTargetRef"] != wanted:
                yield f"{kind} scales {spec['scaleTargetRef']}"
            if "replicas" in deployment["spec"]:
                yield f"the Deployment's replicas and the {kind} set the same number"
    for what, selector in selectors.items():
        if not selector or not selector.items() <= own.items():
            yield f"{what} selects {selector}; the pods have {own}"
        if not selector.keys() <= LASTING:
            yield f"{what} selects by what may change: {selector}"
    if (account := pod(resources)["serviceAccountName"]) != one(resources, "ServiceAccount")["metadata"]["name"]:
        yield f"there is no ServiceAccount {account}"
    for resource in (pod(resources), one(resources, "ServiceAccount")):
        if resource["automountServiceAccountToken"] is not False:
            yield "a token is mounted"
    if not set(deployment["metadata"]["labels"]) >= LASTING:
        yield "the Deployment lacks the recommended labels"


def ports(resources: list[Resource]) -> Iterator[str]:
    """Whether container, PORT, probes, Services and NetworkPolicy mean one port."""
    server = container(resources)
    (port,) = server["ports"]
    if environment(resources).get("PORT") != str(port["containerPort"]):
        yield f"PORT is {environment(resources).get('PORT')}, the container's port {port['containerPort']}"
    for key in ("startupProbe", "readinessProbe", "livenessProbe"):
        if server[key].get("grpc", {}).get("port") != port["containerPort"]:
            yield f"{key} does not ask the port in gRPC"
    for resource in resources:
        if resource["kind"] == "Service":
            (own,) = resource["spec"]["ports"]
            if own["targetPort"] != port["name"]:
                yield f"the Service leads to {own['targetPort']}"
            if own["name"] != "grpc" or own.get("appProtocol") != "grpc":
                yield "the Service does not say that it speaks gRPC"
    if one(resources, "Service", "-headless")["spec"].get("clusterIP") != "None":
        yield "the headless Service has an address of its own"
    policy = one(resources, "NetworkPolicy")["spec"]
    if sorted(policy["policyTypes"]) != ["Egress", "Ingress"]:
        yield "the NetworkPolicy leaves a direction open"
    if [entry["ports"] for entry in policy["ingress"]] != [[{"protocol": "TCP", "port": port["name"]}]]:
        yield f"the NetworkPolicy lets in {policy['ingress']}"


def environment(resources: list[Resource]) -> dict[str, str]:
    return {variable["name"]: variable["value"] for variable in container(resources)["env"]}


def restricted(resources: list[Resource]) -> Iterator[str]:
    """What the profile "restricted" of the Pod Security Standards refuses, and a writable root file system."""
    spec = pod(resources)
    for path, allowed in RESTRICTED:
        for value in _values(spec, path.split(".")):
            if not allowed(value):
                yield f"{path} is {value}"
    for volume in spec.get("volumes", ()):
        if wrong := volume.keys() - VOLUMES - {"name"}:
            yield f"a volume is {wrong}"
    if container(resources)["securityContext"].get("readOnlyRootFilesystem") is not True:
        yield "the root file system can be written"
    if not spec["securityContext"].get("runAsUser"):
        yield "the user is no number"


def _values(node: Any, path: list[str]) -> Iterator[Any]:
    """The values at a path, None for one that is not there; nothing for items of a list that is not there."""
    if not path:
        yield node
        return
    key, several = path[0].removesuffix("[*]"), path[0].endswith("[*]")
    inner = node.get(key) if isinstance(node, dict) else None
    if several:
        for item in inner or ():
            yield from _values(item, path[1:])
    else:
        yield from _values(inner, path[1:])


def times(resources: list[Resource]) -> Iterator[str]:
    """Whether a slow model survives, a busy server is left alone, and a stop can end before it is killed."""
    server, spec = container(resources), pod(resources)
    startup, readiness, liveness = (server[f"{name}Probe"] for name in ("startup", "readiness", "liveness"))
    patience = startup["periodSeconds"] * startup["failureThreshold"]
    if patience < SLOWEST_LOAD:
        yield f"a model has {patience} s to load"
    if one(resources, "Deployment")["spec"]["progressDeadlineSeconds"] <= patience:
        yield "a rollout fails before the startup probe gives up"
    for name, probe in (("startup", startup), ("readiness", readiness), ("liveness", liveness)):
        if probe.get("timeoutSeconds", 1) < 3:
            yield f"the {name} probe waits {probe.get('timeoutSeconds', 1)} s"
    if startup["grpc"].get("service") or readiness["grpc"].get("service"):
        yield "startup and readiness ask for a name, not for the whole server"
    if liveness["grpc"].get("service") != "liveness":
        yield "liveness asks for what is NOT_SERVING while the server loads or stops"
    if liveness["periodSeconds"] * liveness["failureThreshold"] < 30:
        yield "liveness gives up at once"
    lame_duck, drain = (float(environment(resources)[name]) for name in ("LAME_DUCK_SECONDS", "DRAIN_SECONDS"))
    if lame_duck < SPREAD:
        yield f"{lame_duck:g} s are too few until every node knows that the pod ends"
    if not lame_duck < drain < spec["terminationGracePeriodSeconds"]:
        yield "the lame duck's time, the drain and the grace do not fit into each other"
    if "lifecycle" in server:
        yield "a hook takes its time from the grace"
    limits, requests = server["resources"]["limits"], server["resources"]["requests"]
    if "memory" not in limits or not {"cpu", "memory"} <= requests.keys():
        yield "resources are not asked for"
    if "cpu" in limits:
        yield "CPU is limited, which makes a busy server slow in bursts"
