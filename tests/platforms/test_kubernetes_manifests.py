"""Kubernetes manifests of a generated project, rendered by a real kustomize: what holds for base and every overlay."""

from __future__ import annotations

import copy
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from platforms import manifests
from platforms.manifests import Resource, container, environment, faults, one, pod, render
from protoserve import cli
from support import ROOT, Project, create

FOLDERS = ("base", "overlays/dev", "overlays/production")


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A package whose name Kubernetes would refuse, and a port of its own."""
    dest = tmp_path_factory.mktemp("kubernetes") / "project"
    answers = {"package": "fraud_scores", "alone": True, "port": 8123, "platforms": ["kubernetes"]}
    return create(template, dest, project_name="Fraud: scores", **answers)


@pytest.fixture(scope="module")
def deploy(project: Project) -> Path:
    return project.path / "deploy" / "kubernetes"


@pytest.fixture(scope="module")
def rendered(deploy: Path) -> dict[str, list[Resource]]:
    return {folder: render(deploy / folder) for folder in FOLDERS}


@pytest.mark.parametrize("folder", FOLDERS)
def test_everything_holds(rendered: dict[str, list[Resource]], folder: str) -> None:
    assert faults(rendered[folder]) == []


def test_what_each_has(rendered: dict[str, list[Resource]]) -> None:
    kinds = {folder: sorted(found["kind"] for found in resources) for folder, resources in rendered.items()}
    small = ["Deployment", "NetworkPolicy", "Service", "Service", "ServiceAccount"]
    assert kinds["overlays/dev"] == small
    every = sorted([*small, "HorizontalPodAutoscaler", "PodDisruptionBudget"])
    assert kinds["base"] == kinds["overlays/production"] == every


def test_names_and_numbers_come_from_the_answers(rendered: dict[str, list[Resource]]) -> None:
    for resources in rendered.values():
        names = {found["metadata"]["name"] for found in resources}
        assert names == {"fraud-scores", "fraud-scores-headless"}
        assert environment(resources)["PORT"] == "8123"
        assert all(found["spec"]["ports"][0]["port"] == 8123 for found in resources if found["kind"] == "Service")
    images = {folder: container(resources)["image"] for folder, resources in rendered.items()}
    assert images == {
        "base": "fraud_scores:set-in-overlay",
        "overlays/dev": "fraud_scores:dev",
        "overlays/production": "registry.example/fraud_scores:0.1.0",
    }


@pytest.mark.parametrize("package", ["x", "n" * 39 + "_n"])
def test_any_package_has_names_that_kubernetes_takes(template: Path, tmp_path: Path, package: str) -> None:
    """A name of a Service: a letter first, letters, digits and hyphens, 63 at most (RFC 1035)."""
    project = create(template, tmp_path / "new", alone=True, package=package, platforms=["kubernetes"])
    resources = render(project.path / "deploy" / "kubernetes" / "base")
    assert faults(resources) == []
    for found in resources:
        assert re.fullmatch(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?", found["metadata"]["name"])


@pytest.mark.parametrize("folder", FOLDERS)
def test_verify_finds_nothing(
    rendered: dict[str, list[Resource]], folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rendered.yaml"
    file.write_text(yaml.safe_dump_all(rendered[folder]), encoding="utf-8")
    assert cli.main(["verify", "--spec", str(file), "--format", "json"]) == 0
    verdicts = {check["id"]: check["verdict"] for check in json.loads(capsys.readouterr().out)["checks"]}
    assert verdicts.pop("spec-routes") == "skip"  # it needs a server
    assert set(verdicts.values()) == {"pass"}, verdicts


def test_an_overlay_changes_nothing_that_is_immutable(rendered: dict[str, list[Resource]]) -> None:
    selectors = [one(resources, "Deployment")["spec"]["selector"] for resources in rendered.values()]
    assert all(selector == selectors[0] for selector in selectors)


def test_a_model_in_a_volume(deploy: Path, tmp_path: Path) -> None:
    resources = render(_with_component(deploy, tmp_path, "model-volume"))
    assert faults(resources) == []
    volumes = {volume["name"]: volume for volume in pod(resources)["volumes"]}
    assert volumes["model"]["persistentVolumeClaim"] == {"claimName": "fraud-scores-model", "readOnly": True}
    mounts = {mount["name"]: mount for mount in container(resources)["volumeMounts"]}
    assert mounts["model"] == {"name": "model", "mountPath": "/app/artifacts", "readOnly": True}
    assert mounts.keys() == {"model", "tmp"}


def test_a_way_out(deploy: Path, tmp_path: Path) -> None:
    assert one(render(deploy / "base"), "NetworkPolicy")["spec"]["egress"] == []
    resources = render(_with_component(deploy, tmp_path, "egress"))
    assert faults(resources) == []
    opened = one(resources, "NetworkPolicy")["spec"]["egress"]
    assert [(p["protocol"], p["port"]) for entry in opened for p in entry["ports"]] == [
        ("UDP", 53),
        ("TCP", 53),
        ("TCP", 443),
    ]


def _with_component(deploy: Path, tmp_path: Path, name: str) -> Path:
    """The overlay for production with its lines about components taken out of their comment, as a user does it."""
    copied = Path(shutil.copytree(deploy, tmp_path / "kubernetes"))
    file = copied / "overlays" / "production" / "kustomization.yaml"
    text = file.read_text(encoding="utf-8")
    line = f"#   - ../../components/{name}\n"
    assert line in text
    file.write_text(text.replace("# components:\n", "components:\n").replace(line, line[2:]), encoding="utf-8")
    return file.parent


def test_what_the_page_shows_of_overlays_can_be_applied(template: Path, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "platforms" / "kubernetes.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 3
    overlays = create(template, tmp_path / "iris", alone=True, platforms=["kubernetes"]).path
    overlays = overlays / "deploy" / "kubernetes" / "overlays"
    base = render(overlays.parent / "base")
    for number, block in enumerate(blocks):
        folder = overlays / str(number)
        folder.mkdir()
        (folder / "kustomization.yaml").write_text(f"resources: [../../base]\n{block}", encoding="utf-8")
        resources = render(folder)
        assert faults(resources) == []
        assert resources != base
    assert one(resources, "NetworkPolicy")["spec"]["ingress"][0]["from"]


def test_the_numbers_of_the_page_are_those_of_the_manifests(rendered: dict[str, list[Resource]]) -> None:
    page = (ROOT / "docs" / "platforms" / "kubernetes.md").read_text(encoding="utf-8")
    server = container(rendered["base"])
    for kind in ("startup", "readiness", "liveness"):
        probe = server[f"{kind}Probe"]
        name = probe["grpc"].get("service") or '""'
        times = f"{probe['periodSeconds']} s, {probe['timeoutSeconds']} s | {probe['failureThreshold']} failures"
        assert f"| {kind} | `{name}` | {times}" in page
    startup = server["startupProbe"]
    assert f"{startup['periodSeconds'] * startup['failureThreshold'] // 60} minutes" in page
    set_to = environment(rendered["base"])
    grace = pod(rendered["base"])["terminationGracePeriodSeconds"]
    assert f"For `LAME_DUCK_SECONDS`, here {set_to['LAME_DUCK_SECONDS']}" in page
    assert f"until `DRAIN_SECONDS`, here {set_to['DRAIN_SECONDS']}" in page
    assert f"After `terminationGracePeriodSeconds`, here {grace}, comes SIGKILL." in page
    longest = int(set_to["DRAIN_SECONDS"]) - int(set_to["LAME_DUCK_SECONDS"])
    assert f"For calls that take longer than {longest} seconds" in page
    for folder in ("base", "overlays/production"):
        scaler = one(rendered[folder], "HorizontalPodAutoscaler")["spec"]
        assert f"{scaler['minReplicas']} to {scaler['maxReplicas']} pods" in page
    assert f"at {scaler['metrics'][0]['resource']['target']['averageUtilization']} % of the CPU" in page


# A path to a key in the manifests for production, what stands there instead (REMOVED: nothing), and what is said.
REMOVED = "(removed)"
SERVER = "Deployment/spec/template/spec/containers/0"
POD = "Deployment/spec/template/spec"
BROKEN: list[tuple[str, Any, str]] = [
    ("Deployment/spec/selector/matchLabels", {"app": "fraud"}, "Deployment selects"),
    ("Deployment/spec/selector/matchLabels/app.kubernetes.io~1version", "1", "by what may change"),
    ("Deployment/spec/template/metadata/labels/app.kubernetes.io~1name", "other", "Service fraud-scores selects"),
    ("Deployment/spec/replicas", 3, "set the same number"),
    ("Deployment/spec/progressDeadlineSeconds", 300, "a rollout fails before"),
    ("Deployment/metadata/labels", {}, "recommended labels"),
    ("Deployment/spec/strategie", {}, "strategie"),
    ("Service/spec/selector", {}, "Service fraud-scores"),
    ("Service/spec/ports/0/targetPort", "http", "leads to http"),
    ("Service/spec/ports/0/appProtocol", REMOVED, "does not say that it speaks gRPC"),
    ("Service/spec/ports/0/port", "8123", "is not of type 'integer'"),
    ("headless/spec/clusterIP", REMOVED, "an address of its own"),
    ("headless/spec/selector/app.kubernetes.io~1name", "other", "Service fraud-scores-headless selects"),
    ("PodDisruptionBudget/spec/selector/matchLabels/app.kubernetes.io~1name", "other", "PodDisruptionBudget selects"),
    ("PodDisruptionBudget/apiVersion", "policy/v1beta1", "policy/v1beta1"),
    ("HorizontalPodAutoscaler/spec/scaleTargetRef/name", "other", "scales"),
    ("HorizontalPodAutoscaler/spec/scaleTargetRef/apiVersion", "v1", "scales"),
    ("NetworkPolicy/spec/podSelector", {"matchLabels": {}}, "NetworkPolicy selects"),
    ("NetworkPolicy/spec/policyTypes", ["Ingress"], "leaves a direction open"),
    ("NetworkPolicy/spec/ingress", [{"ports": []}], "lets in"),
    ("NetworkPolicy/spec/ingress/0/ports/0/port", "http", "lets in"),
    ("ServiceAccount/metadata/name", "other", "no ServiceAccount fraud-scores"),
    ("ServiceAccount/automountServiceAccountToken", True, "a token is mounted"),
    (f"{POD}/automountServiceAccountToken", True, "a token is mounted"),
    (f"{POD}/topologySpreadConstraints/1/labelSelector/matchLabels", {"app": "x"}, "spread 1 selects"),
    (f"{POD}/terminationGracePeriodSeconds", 30, "do not fit into each other"),
    (f"{POD}/hostNetwork", True, "hostNetwork is True"),
    (f"{POD}/volumes/0", {"name": "tmp", "hostPath": {"path": "/tmp"}}, "volumes[*].hostPath is"),
    (f"{POD}/volumes/0", {"name": "tmp", "nfs": {"server": "a", "path": "/b"}}, "a volume is {'nfs'}"),
    (f"{POD}/securityContext/runAsNonRoot", REMOVED, "securityContext.runAsNonRoot is None"),
    (f"{POD}/securityContext/runAsUser", 0, "securityContext.runAsUser is 0"),
    (f"{POD}/securityContext/runAsUser", REMOVED, "the user is no number"),
    (f"{POD}/securityContext/seccompProfile", REMOVED, "seccompProfile.type is None"),
    (f"{POD}/securityContext/seccompProfile/type", "Unconfined", "seccompProfile.type is Unconfined"),
    (f"{SERVER}/securityContext/allowPrivilegeEscalation", REMOVED, "allowPrivilegeEscalation is None"),
    (f"{SERVER}/securityContext/capabilities", REMOVED, "capabilities.drop is None"),
    (f"{SERVER}/securityContext/capabilities/add", ["SYS_ADMIN"], "capabilities.add is ['SYS_ADMIN']"),
    (f"{SERVER}/securityContext/privileged", True, "privileged is True"),
    (f"{SERVER}/securityContext/readOnlyRootFilesystem", False, "root file system can be written"),
    (f"{SERVER}/securityContext/runAsUser", 0, "containers[*].securityContext.runAsUser is 0"),
    (f"{SERVER}/ports/0/hostPort", 8123, "hostPort is 8123"),
    (f"{SERVER}/ports/0/containerPort", 8124, "PORT is 8123, the container's port 8124"),
    (f"{SERVER}/env/0/value", 8123, "is not of type"),
    (f"{SERVER}/env/1/value", "1", "until every node knows"),
    (f"{SERVER}/env/2/value", "45", "do not fit into each other"),
    (f"{SERVER}/lifecycle", {"preStop": {"exec": {"command": ["sleep", "10"]}}}, "a hook takes its time"),
    (f"{SERVER}/startupProbe/failureThreshold", 30, "a model has 60 s to load"),
    (f"{SERVER}/startupProbe/timeoutSeconds", REMOVED, "the startup probe waits 1 s"),
    (f"{SERVER}/startupProbe/grpc/port", "grpc", "is not of type 'integer'"),
    (f"{SERVER}/readinessProbe/grpc", {"port": 1}, "readinessProbe does not ask the port"),
    (f"{SERVER}/readinessProbe/grpc/service", "fraud_scores.v1.PredictionService", "ask for a name"),
    (f"{SERVER}/livenessProbe/grpc/service", REMOVED, "liveness asks for what is NOT_SERVING"),
    (f"{SERVER}/livenessProbe/failureThreshold", 1, "liveness gives up at once"),
    (f"{SERVER}/livenessProbe/timeoutSeconds", 1, "the liveness probe waits 1 s"),
    (f"{SERVER}/resources/limits/memory", REMOVED, "resources are not asked for"),
    (f"{SERVER}/resources/limits/cpu", "1", "CPU is limited"),
]


NAMED = {"Service": ("Service", "scores"), "headless": ("Service", "headless")}


@pytest.mark.parametrize(("path", "value", "said"), BROKEN, ids=lambda part: str(part)[-60:])
def test_a_broken_manifest_is_found(rendered: dict[str, list[Resource]], path: str, value: Any, said: str) -> None:
    resources = copy.deepcopy(rendered["overlays/production"])
    kind, *keys = (part.replace("~1", "/") for part in path.split("/"))
    node: Any = one(resources, *NAMED.get(kind, (kind,)))
    for key in keys[:-1]:
        node = node[int(key) if isinstance(node, list) else key]
    last: Any = int(keys[-1]) if isinstance(node, list) else keys[-1]
    if value is REMOVED:
        del node[last]
    else:
        node[last] = value
    found = faults(resources)
    assert any(said in fault for fault in found), found


def test_a_resource_that_no_kubernetes_knows_is_a_fault(rendered: dict[str, list[Resource]]) -> None:
    """`kubernetes-validate` itself only warns."""
    custom = {"apiVersion": "monitoring.coreos.com/v1", "kind": "ServiceMonitor", "metadata": {"name": "x"}}
    assert len(list(manifests.schema([custom]))) == 2
