"""Specifications, good and bad: each fault gives one verdict, with the place of the key at fault."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from protoserve import cli
from protoserve.verify import command
from protoserve.verify.address import Address, UsageError
from protoserve.verify.checks.spec import routes
from protoserve.verify.grpc_client import Client
from protoserve.verify.http_client import HttpClient
from protoserve.verify.report import Outcome, Verdict
from protoserve.verify.session import Session
from protoserve.verify.spec import load
from protoserve.verify.spec.vertex_schema import CONTAINER_SPEC, PROBE
from protoserve.verify.targets.image import Image, ImageServer
from zoo.process import checks_with, running, verify
from zoo.proto import PROTO

# What a careful author writes, for each platform.
VERTEX = """\
containerSpec:
  imageUri: us-central1-docker.pkg.dev/team/models/iris:1.0
  command: [python, -m, iris.server]
  env:
  - name: LOG_LEVEL
    value: INFO
  ports:
  - containerPort: 8080
  grpcPorts:
  - containerPort: 9000
  predictRoute: /predict
  healthRoute: /health
  deploymentTimeout: 1800s
  sharedMemorySizeMb: "128"
  startupProbe:
    grpc: {port: 9000}
    periodSeconds: 5
    timeoutSeconds: 10
    failureThreshold: 60
  healthProbe:
    grpc: {port: 9000, service: ""}
    periodSeconds: 5
    timeoutSeconds: 10
"""
KUBERNETES = """\
apiVersion: apps/v1
kind: Deployment
metadata:
  name: iris
spec:
  replicas: 2
  selector:
    matchLabels: {app: iris}
  template:
    metadata:
      labels: {app: iris, team: models}
    spec:
      terminationGracePeriodSeconds: 40
      containers:
      - name: iris
        image: ghcr.io/team/iris:1.0
        env:
        - name: DRAIN_SECONDS
          value: "25"
        - name: POD_IP
          valueFrom: {fieldRef: {fieldPath: status.podIP}}
        ports:
        - name: grpc
          containerPort: 9000
        resources:
          limits: {memory: 1Gi}
        startupProbe:
          grpc: {port: 9000}
          timeoutSeconds: 5
          periodSeconds: 5
          failureThreshold: 60
        readinessProbe:
          grpc: {port: 9000}
          timeoutSeconds: 5
        livenessProbe:
          grpc: {port: 9000, service: liveness}
          timeoutSeconds: 5
---
apiVersion: v1
kind: Service
metadata:
  name: iris
spec:
  selector: {app: iris}
  ports:
  - port: 80
    targetPort: grpc
"""
# As kfp 2.17 and google-cloud-pipeline-components 2.22 compile it, without the parts that say nothing of the container.
PIPELINE = """\
# PIPELINE DEFINITION
# Name: iris
deploymentSpec:
  executors:
    exec-importer:
      importer:
        artifactUri:
          constant: gs://bucket/iris
        metadata:
          containerSpec:
            env:
            - name: LOG_LEVEL
              value: INFO
            healthRoute: /health
            imageUri: europe-west4-docker.pkg.dev/team/models/iris:1.0
            ports:
            - containerPort: 8080.0
            predictRoute: /predict
        typeSchema:
          schemaTitle: google.UnmanagedContainerModel
          schemaVersion: 0.0.1
    exec-model-upload:
      container:
        command: [python3, -u, -m, google_cloud_pipeline_components.container.v1.model.upload_model.launcher]
        image: gcr.io/ml-pipeline/google-cloud-pipeline-components:2.22.0
pipelineInfo:
  name: iris
root:
  dag:
    tasks:
      model-upload:
        componentRef:
          name: comp-model-upload
        inputs:
          artifacts:
            unmanaged_container_model:
              taskOutputArtifact: {outputArtifactKey: artifact, producerTask: importer}
          parameters:
            location:
              runtimeValue:
                constant: europe-west4
schemaVersion: 2.1.0
sdkVersion: kfp-2.17.0
---
platforms: {}
"""
DIGEST = "sha256:" + 64 * "a"


@dataclass(frozen=True)
class Bad:
    """A fault: the first `old` in `base` becomes `new`. `check` tells of it at the line that then has `line`.

    `words` are in what it says. `verdict` is that of the check. `api` says whether the API's own parser refuses it.
    """

    name: str
    base: str
    old: str
    new: str
    check: str
    words: tuple[str, ...]
    line: str = ""
    verdict: Verdict = Verdict.FAIL
    options: tuple[str, ...] = ()
    api: bool | None = None
    nth: int = 1

    @property
    def text(self) -> str:
        assert self.old in self.base, self.old
        return self.base.replace(self.old, self.new, 1)

    @property
    def place(self) -> int:
        wanted = self.line or next(line for line in self.new.splitlines() if line.strip()).strip()
        lines = self.text.splitlines()
        return [number for number, line in enumerate(lines, 1) if wanted in line][self.nth - 1]


WARN = Verdict.WARN
V, K = VERTEX, KUBERNETES
ENV_V = "  env:\n  - name: LOG_LEVEL\n    value: INFO\n"
HEALTH_V = '  healthProbe:\n    grpc: {port: 9000, service: ""}\n    periodSeconds: 5\n    timeoutSeconds: 10\n'
STARTUP_K = """\
        startupProbe:
          grpc: {port: 9000}
          timeoutSeconds: 5
          periodSeconds: 5
          failureThreshold: 60
"""
READINESS_K = "        readinessProbe:\n          grpc: {port: 9000}\n          timeoutSeconds: 5\n"
LIVENESS_K = "        livenessProbe:\n          grpc: {port: 9000, service: liveness}\n          timeoutSeconds: 5\n"
SHAPE, PROBES, IMAGE = "spec-shape", "spec-probes", "spec-image"

OF_VERTEX = (
    # The list, word by word.
    Bad("ports-as-integers", V, "  ports:\n  - containerPort: 8080", "  ports: [8080]", SHAPE,
        ("containerSpec.ports[0]: a port is 8080", "- containerPort: 8080"), api=True),
    Bad("wrong-case-key", V, "imageUri", "imageURI", SHAPE, ("imageURI", "Write imageUri", "case matters"), api=True),
    Bad("wrong-case-inside", V, "  - containerPort: 9000", "  - ContainerPort: 9000", SHAPE,
        ("Write containerPort",), api=True),
    Bad("unknown-key", V, "  command:", "  entrypoint:", SHAPE,
        ("unknown key entrypoint", "the keys here are imageUri"), api=True),
    Bad("env-as-a-map", V, ENV_V, "  env: {LOG_LEVEL: INFO}\n", SHAPE,
        ("env is", "a list of objects with name and value"), api=True),
    Bad("env-as-a-map-in-a-list", V, ENV_V, "  env:\n  - LOG_LEVEL: INFO\n", SHAPE, ("a list of objects",),
        line="- LOG_LEVEL", api=True),
    Bad("two-probe-kinds", V, HEALTH_V, HEALTH_V + "    tcpSocket: {port: 9000}\n", SHAPE,
        ("one probe has grpc and tcpSocket",), line="tcpSocket", api=True),
    Bad("aip-by-hand", V, "name: LOG_LEVEL", "name: AIP_HTTP_PORT", SHAPE, ("AIP_HTTP_PORT is set by hand",)),
    Bad("container-spec", V, "containerSpec", "container_spec", SHAPE,
        ("container_spec, not containerSpec", "silently drops")),
    Bad("bare-snake-case", "imageUri: us-docker.pkg.dev/p/r/i:1\nhealthRoute: /h\npredictRoute: /p\n", "imageUri",
        "image_uri", SHAPE, ("Write imageUri",)),
    Bad("snake-case-inside", V, "healthRoute", "health_route", SHAPE, ("Write healthRoute", "accepts health_route too"),
        verdict=WARN, api=False),
    Bad("no-image", V, "  imageUri: us-central1-docker.pkg.dev/team/models/iris:1.0\n", "", SHAPE,
        ("imageUri is missing",), line="containerSpec:", api=False),
    Bad("no-routes", V, "  predictRoute: /predict\n  healthRoute: /health\n", "", SHAPE,
        ("predictRoute and healthRoute are not set", "/v1/endpoints/"), line="containerSpec:", verdict=WARN, api=False),
    Bad("empty-route", V, "predictRoute: /predict", 'predictRoute: ""', SHAPE, ("predictRoute is not set",),
        verdict=WARN, api=False),
    Bad("route-without-slash", V, "predictRoute: /predict", "predictRoute: predict", SHAPE, ("Write /predict",)),
    Bad("number-as-variable", V, "value: INFO", "value: 5", SHAPE,
        ("must be a string, not 5", 'in quotes: "5"'), api=True),
    Bad("yes-as-variable", V, "value: INFO", "value: yes", SHAPE,
        ("must be a string, not true", 'in quotes: "yes"'), api=True),
    Bad("command-as-text", V, "command: [python, -m, iris.server]", "command: python -m iris.server", SHAPE,
        ("must be a list",), api=True),
    Bad("timeout-as-number", V, "deploymentTimeout: 1800s", "deploymentTimeout: 1800", SHAPE, ('"1800s"',), api=True),
    Bad("port-out-of-range", V, "- containerPort: 9000", "- containerPort: 90000", SHAPE, ("1 to 65535",)),
    Bad("twice", V, "  healthRoute: /health\n", "  healthRoute: /health\n  predictRoute: /v2\n", SHAPE,
        ("appears twice",), line="predictRoute: /v2"),
    Bad("grpc-probed-and-off", V, "  grpcPorts:\n  - containerPort: 9000\n", "", SHAPE,
        ("grpcPorts is missing", "gRPC predictions are off"), line="grpc: {port: 9000}", verdict=WARN),
    Bad("http-on-the-grpc-port", V, "  ports:\n  - containerPort: 8080\n  grpcPorts:", "  ports:", SHAPE,
        ("HTTP/1", "grpcPorts"), line="grpc: {port: 9000}"),
    Bad("probe-without-kind", V, '    grpc: {port: 9000, service: ""}\n', "", SHAPE, ("does not say how to ask",),
        line="healthProbe", verdict=WARN),
    Bad("pipeline-container-spec", PIPELINE, "containerSpec", "container_spec", SHAPE, ("silently drops",)),
    Bad("pipeline-without", PIPELINE, "          containerSpec:\n", "          spec:\n", SHAPE,
        ("no key containerSpec",), line="metadata:"),
    # Probes.
    Bad("port-by-name", V, "grpc: {port: 9000}", "grpc: {port: grpc}", PROBES, ("must be a number",), api=True),
    Bad("period-above-timeout", V, "periodSeconds: 5", "periodSeconds: 30", PROBES, ("periodSeconds is 30",)),
    Bad("period-left-out", V, "    periodSeconds: 5\n", "", PROBES, ("10 (the default)",), line="startupProbe",
        verdict=WARN),
    Bad("no-timeout", V, "    timeoutSeconds: 10\n", "", PROBES, ("1 second",), line="startupProbe", verdict=WARN),
    Bad("tcp-readiness", V, 'grpc: {port: 9000, service: ""}', "tcpSocket: {port: 9000}", PROBES,
        ("before its model is loaded",)),
    Bad("http-on-grpc", V, 'grpc: {port: 9000, service: ""}', "httpGet: {port: 9000, path: /}", PROBES,
        ("does not answer an HTTP/1 GET",)),
    # Images.
    Bad("docker-hub", V, "us-central1-docker.pkg.dev/team/models/iris:1.0", "team/iris:1.0", IMAGE,
        ("Docker Hub", "Artifact Registry")),
    Bad("other-registry", V, "us-central1-docker.pkg.dev/team/models/iris:1.0", "ghcr.io/team/iris:1.0", IMAGE,
        ("ghcr.io",)),
    Bad("other-region", V, "us-central1-", "europe-west4-", IMAGE,
        ("the image is in europe-west4, the model goes to us-central1",), options=("--region", "us-central1")),
    Bad("other-continent", V, "us-central1-", "asia-", IMAGE, ("in asia",), options=("--region", "us-central1")),
    Bad("region-of-the-pipeline", PIPELINE, "europe-west4-docker", "us-central1-docker", IMAGE,
        ("the model goes to europe-west4",)),
    Bad("latest", V, "iris:1.0", "iris:latest", IMAGE, ("latest", "digest"), verdict=WARN),
    Bad("no-tag", V, "iris:1.0", "iris", IMAGE, ("has no tag",), line="imageUri", verdict=WARN),
    Bad("a-url", V, "us-central1-docker", "https://us-central1-docker", IMAGE, ("https:// as a URL",)),
    Bad("upper-case", V, "models/iris:1.0", "models/Iris:1.0", IMAGE, ("in lower case",)),
)  # fmt: skip
GRPC_PROBE = '        livenessProbe:\n          exec: {command: [/bin/grpc_health_probe, "-addr=:9000"%s]}\n'
SHELL_PROBE = '        livenessProbe:\n          exec: {command: [sh, -c, "exec %s"]}\n          timeoutSeconds: 5\n'
KNATIVE = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata: {name: iris}
spec:
  template:
    spec:
      containers:
      - image: a/b:1
        ports:
        - name: h2c
          containerPort: 9000
        readinessProbe: {grpc: {}, timeoutSeconds: 5}
"""
KSERVE = """\
apiVersion: serving.kserve.io/v1beta1
kind: InferenceService
metadata: {name: iris}
spec:
  predictor:
    containers:
    - name: kserve-container
      image: a/b:1
      ports:
      - name: h2c
        containerPort: 9000
      readinessProbe: {grpc: {port: 9000}, timeoutSeconds: 5}
"""
OF_KUBERNETES = (
    # What liveness asks.
    Bad("one-name", K, ", service: liveness", "", PROBES, ('both ask for ""', "service: liveness"),
        line="grpc: {port: 9000}", nth=3, verdict=WARN),
    Bad("one-name-by-command", K, LIVENESS_K, GRPC_PROBE % "" + "          timeoutSeconds: 5\n", PROBES,
        ('both ask for ""',), line="exec:", verdict=WARN),
    Bad("port-of-no-container", K, READINESS_K, READINESS_K.replace("9000", "9001"), PROBES,
        ("the readiness probe asks port 9001; the container has 9000 (grpc)",), line="port: 9001"),
    Bad("command-port", K, LIVENESS_K, GRPC_PROBE.replace("9000", "8080") % ', "-service=liveness"', PROBES,
        ("the liveness probe asks port 8080; the container has 9000 (grpc)",), line="exec:"),
    Bad("command-in-a-shell", K, LIVENESS_K, SHELL_PROBE % "grpc-health-probe --addr localhost:8080", PROBES,
        ("asks port 8080",), line="exec:"),
    Bad("command-over-http", K, LIVENESS_K, SHELL_PROBE % "curl -f http://localhost:9000/health", PROBES,
        ("HTTP GET to port 9000, which speaks gRPC",), line="exec:"),
    # Knative, and KServe on it.
    Bad("knative-no-name", KNATIVE, "- name: h2c\n          containerPort", "- containerPort", SHAPE,
        ("has no name", "{name: h2c, containerPort: 9000}")),
    Bad("knative-http1", KNATIVE, "name: h2c", "name: http1", SHAPE, ("speaks gRPC, and is named http1",)),
    Bad("knative-name", KNATIVE, "name: h2c", "name: grpc", SHAPE, ("the port is named grpc", "is not allowed")),
    Bad("kserve-no-name", KSERVE, "- name: h2c\n        containerPort", "- containerPort", SHAPE, ("has no name",)),
    Bad("kserve-two-ports", KSERVE, "        containerPort: 9000\n", "        containerPort: 9000\n"
        "      - containerPort: 8080\n", SHAPE, ("2 ports: 9000 (h2c), 8080", "only a single port"), line="8080"),
    Bad("service-selector", K, "  selector: {app: iris}\n  ports", "  selector: {app: other}\n  ports", SHAPE,
        ("selects no pod",)),
    Bad("target-port", K, "targetPort: grpc", "targetPort: 9001", SHAPE,
        ("sends to 9001", "9000 (grpc)", "{port: 80, targetPort: grpc}")),
    Bad("target-port-of-a-nameless-port", K, "        - name: grpc\n          containerPort: 9000\n",
        "        - containerPort: 50051\n", SHAPE, ('sends to "grpc"', "{name: grpc, containerPort: 50051}"),
        line="targetPort: grpc"),
    Bad("target-port-name", K, "targetPort: grpc", "targetPort: http", SHAPE, ('sends to "http"',)),
    Bad("port-without-target", K, "  - port: 80\n    targetPort: grpc\n", "  - port: 80\n", SHAPE, ("sends to 80",)),
    # Probes.
    Bad("port-by-name-k", K, "          grpc: {port: 9000}\n", "          grpc: {port: grpc}\n", PROBES,
        ("must be a number", "grpc: {port: 9000}")),
    Bad("port-as-text-k", K, "          grpc: {port: 9000}\n", '          grpc: {port: "9000"}\n', PROBES,
        ("must be a number",)),
    Bad("unknown-port-name", K, READINESS_K, "        readinessProbe:\n          httpGet: {port: http}\n"
        "          timeoutSeconds: 5\n", PROBES, ('asks port "http"; the container has grpc',), line="port: http"),
    Bad("no-timeout-k", K, READINESS_K, "        readinessProbe:\n          grpc: {port: 9000}\n", PROBES,
        ("1 second", "timeoutSeconds: 5"), line="readinessProbe", verdict=WARN),
    Bad("tcp-readiness-k", K, READINESS_K, "        readinessProbe:\n          tcpSocket: {port: grpc}\n", PROBES,
        ("before its model is loaded", "grpc: {port: 9000}"), line="tcpSocket"),
    Bad("tcp-startup-k", K, "          grpc: {port: 9000}\n", "          tcpSocket: {port: 9000}\n", PROBES,
        ("only opens port 9000",), verdict=WARN),
    Bad("http-on-grpc-k", K, READINESS_K, "        readinessProbe:\n          httpGet: {port: 9000}\n"
        "          timeoutSeconds: 5\n", PROBES, ("does not answer an HTTP/1 GET",), line="httpGet"),
    Bad("impatient-liveness", K, STARTUP_K + READINESS_K + LIVENESS_K, READINESS_K + LIVENESS_K.replace(
        ", service: liveness", ""), PROBES, ("after 30 s", "CrashLoopBackOff", "service: liveness"),
        line="grpc: {port: 9000}", nth=2),
    Bad("modest-liveness", K, STARTUP_K + READINESS_K + LIVENESS_K, READINESS_K + LIVENESS_K.replace(
        ", service: liveness", ", service: iris.v1.P").replace("timeoutSeconds: 5", "timeoutSeconds: 5\n          "
        "initialDelaySeconds: 60"), PROBES, ("after 90 s",), line="service: iris.v1.P", verdict=WARN),
    Bad("http-liveness", K, STARTUP_K + READINESS_K + LIVENESS_K, READINESS_K + "        livenessProbe:\n"
        "          httpGet: {port: 8080, path: /h}\n          timeoutSeconds: 5\n", PROBES,
        ("no startup probe",), line="livenessProbe", verdict=WARN),
    Bad("short-startup", K, "          failureThreshold: 60\n", "", PROBES, ("gives up after 15 s",),
        line="startupProbe", verdict=WARN),
    Bad("no-readiness", K, READINESS_K, "", PROBES, ("no readiness probe",), line="- name: iris", verdict=WARN),
    Bad("grace", K, "terminationGracePeriodSeconds: 40", "terminationGracePeriodSeconds: 20", PROBES,
        ("DRAIN_SECONDS is 25", "SIGKILL")),
    Bad("grace-by-default", K.replace("      terminationGracePeriodSeconds: 40\n", ""), 'value: "25"', 'value: "45"',
        PROBES, ("30 (the default)", "DRAIN_SECONDS is 45")),
    Bad("pre-stop", K, "        resources:", "        lifecycle: {preStop: {exec: {command: [sleep, '20']}}}\n"
        "        resources:", PROBES, ("preStop takes 20 s",), line="terminationGracePeriodSeconds"),
    # Images.
    Bad("latest-k", K, "iris:1.0", "iris", IMAGE, ("has no tag",), line="image:", verdict=WARN),
    Bad("other-region-k", K, "ghcr.io/team", "us-docker.pkg.dev/team", IMAGE, ("across regions",),
        options=("--region", "europe-west1"), verdict=WARN),
)  # fmt: skip


def outcomes(file: Path, *options: str) -> dict[str, Outcome]:
    given = cli.parser().parse_args(["verify", "--spec", str(file), "--format", "json", *options])
    return {outcome.id: outcome for outcome in command.verify(given).outcomes}


def read(tmp_path: Path, text: str, *options: str, name: str = "spec.yaml") -> dict[str, Outcome]:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    return outcomes(file, *options)


def verdicts(outcomes: dict[str, Outcome]) -> dict[str, Verdict]:
    """Of the checks that say something."""
    return {id: outcome.finding.verdict for id, outcome in outcomes.items() if outcome.finding.verdict != "skip"}


def as_json(text: str) -> str:
    """The same specification as JSON, indented with tabs."""
    return json.dumps(yaml.safe_load(text), indent="\t")


MODEL = VERTEX.replace(
    "containerSpec:", "displayName: iris\nname: projects/p/locations/us-central1/models/1\ncontainerSpec:"
)
GOOD = {
    "vertex": VERTEX,
    "vertex-json": as_json(VERTEX),
    "bare": dedent(VERTEX.partition("\n")[2]),
    "model": MODEL,
    "upload": json.dumps({"model": {"displayName": "iris", "containerSpec": {
        "imageUri": f"us-docker.pkg.dev/p/r/i@{DIGEST}", "healthRoute": "/h", "predictRoute": "/p"}}}),
    "prebuilt": "containerSpec: {imageUri: us-docker.pkg.dev/vertex-ai/prediction/sklearn-cpu.1-5:latest, "
        "healthRoute: /h, predictRoute: /p}",
    "artifact": "schemaTitle: google.UnmanagedContainerModel\nmetadata:\n" + re.sub("^", "  ", VERTEX, flags=re.M),
    "pipeline": PIPELINE,
    "placeholder": PIPELINE.replace(
        "europe-west4-docker.pkg.dev/team/models/iris:1.0", "'{{$.inputs.parameters[''image'']}}'"),
    "invoke": VERTEX.replace("predictRoute: /predict", 'invokeRoutePrefix: "/*"'),
    "kubernetes": KUBERNETES,
    "list": "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        "- " + re.sub("^", "  ", part.strip(), flags=re.M)[2:] + "\n" for part in KUBERNETES.split("---")),
    "pod": "apiVersion: v1\nkind: Pod\nmetadata: {name: iris}\nspec: {containers: [{name: iris, image: 'a/b:1'}]}\n",
    "anchors": KUBERNETES.replace("matchLabels: {app: iris}", "matchLabels: &own {app: iris}").replace(
        "labels: {app: iris, team: models}", "labels: {<<: *own, team: models}"),
    "http-server": "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec: {containers: [{name: a, image: 'a/b:1', "
        "ports: [{containerPort: 8080}], readinessProbe: {timeoutSeconds: 5, httpGet: {port: 8080, path: /h}}}]}\n",
    "knative": KNATIVE,
    "kserve-without-knative": KSERVE.replace("name: iris}", "name: iris, annotations: "
        "{serving.kserve.io/deploymentMode: Standard}}").replace("- name: h2c", "- name: grpc"),
    "command": KUBERNETES.replace(LIVENESS_K, GRPC_PROBE % ', "-service", liveness' + "          timeoutSeconds: 5\n"),
    "port-in-env": KUBERNETES.replace("DRAIN_SECONDS", "PORT").replace('"25"', '"9001"').replace(
        "grpc: {port: 9000}", "grpc: {port: 9001}"),
    "custom-resource": "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nmetadata: {name: iris}\nspec:\n"
        "  predictor:\n    containers:\n    - name: kserve-container\n      image: a/b:1\n      ports:\n"
        "      - {name: h2c, containerPort: 9000}\n      readinessProbe: {grpc: {port: 9000}, timeoutSeconds: 5}\n",
}  # fmt: skip


# Of these nothing is known that spec-shape could judge.
WITHOUT_SERVICE = ("pod", "http-server", "custom-resource", "knative", "kserve-without-knative")


@pytest.mark.parametrize("name", GOOD)
def test_a_good_specification_passes(name: str, tmp_path: Path) -> None:
    found = read(tmp_path, GOOD[name])
    assert set(verdicts(found).values()) == {Verdict.PASS}, found
    judged = {SHAPE, PROBES, IMAGE} - ({SHAPE} if name in WITHOUT_SERVICE else set())
    assert verdicts(found).keys() == judged
    assert "no target to ask" in found["spec-routes"].finding.seen


@pytest.mark.parametrize("bad", [*OF_VERTEX, *OF_KUBERNETES], ids=lambda bad: bad.name)
def test_one_fault_gives_one_verdict_at_its_place(bad: Bad, tmp_path: Path) -> None:
    found = read(tmp_path, bad.text, *bad.options)
    told = {id: verdict for id, verdict in verdicts(found).items() if verdict is not Verdict.PASS}
    assert told == {bad.check: bad.verdict}, found
    finding = found[bad.check].finding
    text = " ".join(f"{finding.seen} {finding.cause} {finding.remedy}".split())
    for words in bad.words:
        assert " ".join(words.split()) in text, finding
    assert f"{tmp_path / 'spec.yaml'}:{bad.place}:" in finding.seen, finding.seen
    assert len(finding.seen.splitlines()) == 1, finding.seen
    assert finding.cause
    assert finding.remedy


def test_names_of_rows_are_their_own() -> None:
    names = [bad.name for bad in (*OF_VERTEX, *OF_KUBERNETES)]
    assert len(names) == len(set(names))


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    text = VERTEX.replace("- containerPort: 8080", "- 8080").replace("imageUri", "imageURI").replace("INFO", "5")
    seen = read(tmp_path, text)[SHAPE].finding.seen
    assert [line.split(":")[1] for line in seen.splitlines()] == ["2", "6", "8"]


def test_a_fault_is_found_in_json_too(tmp_path: Path) -> None:
    text = as_json(VERTEX).replace('"containerPort": 8080', '"port": 8080')
    seen = read(tmp_path, text, name="a.json")[SHAPE].finding.seen
    line = next(number for number, line in enumerate(text.splitlines(), 1) if '"port"' in line)
    assert seen.startswith(f"{tmp_path / 'a.json'}:{line}:5: containerSpec.ports[0].port: unknown key port")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1\n", ":2:1: neither YAML nor JSON"),
        ("a: b: c\n", ":1:5: neither YAML nor JSON"),
        ("x: \x01\n", "neither YAML nor JSON"),
        ("", ":1:1: the file is empty"),
        ("# nothing\n---\n", ":1:1: the file is empty"),
        ("\n- a\n- b\n", ":2:1: [\"a\", \"b\"] is not a mapping"),
        ("name: iris\nservices: {}\n", ":1:1: not a specification (its keys are name, services)"),
        ("a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
            f"{b}: &{b} [{', '.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
         "too large"),
        ("[" * 500 + "]" * 500, "nested"),
    ],
)  # fmt: skip
def test_what_is_no_specification_cannot_run(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as error:
        read(tmp_path, text)
    assert said in str(error.value)
    assert str(error.value).startswith(f"{tmp_path / 'spec.yaml'}:")


def test_a_file_that_is_not_there_or_no_text_cannot_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.yaml: cannot be read: No such file"):
        outcomes(tmp_path / "none.yaml")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff\xfe")
    with pytest.raises(UsageError, match=r"image\.png:1:1: the file is not text"):
        outcomes(tmp_path / "image.png")


def test_a_check_of_specifications_wants_one() -> None:
    given = cli.parser().parse_args(["verify", "127.0.0.1:1", "--only", "spec-shape"])
    with pytest.raises(UsageError, match="--spec FILE"):
        command.verify(given)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with running("sync") as port:
        yield f"127.0.0.1:{port}"


SERVICE = "zoo.v1.PredictionService"


@pytest.mark.parametrize(
    ("service", "fails"),
    [
        ("", ()),
        (SERVICE, ()),
        ("PredictionService", ("NOT_FOUND", f"service: {SERVICE}")),
        ("readiness", ("NOT_FOUND",)),
    ],
)
def test_the_server_is_asked_for_the_names_of_probes(
    server: str, service: str, fails: tuple[str, ...], tmp_path: Path
) -> None:
    file = tmp_path / "k.yaml"
    other_name = '""' if service == SERVICE else SERVICE
    liveness = LIVENESS_K.replace("service: liveness", f"service: {other_name}")
    text = KUBERNETES.replace(LIVENESS_K, liveness).replace(
        READINESS_K, READINESS_K.replace("port: 9000", f'port: 9000, service: "{service}"')
    )
    file.write_text(text, encoding="utf-8")
    code, report = verify(server, "--proto", str(PROTO), "--spec", str(file))
    told = checks_with(report, "fail")
    assert list(told) == (["spec-routes"] if fails else []), report
    assert code == (1 if fails else 0)
    for words in fails:
        assert words in told["spec-routes"]
    if fails:
        line = next(n for n, line in enumerate(text.splitlines(), 1) if f'service: "{service}"' in line)
        assert f"{file}:{line}:" in told["spec-routes"]
    assert {"spec-shape", "spec-probes", "spec-image"} <= checks_with(report, "pass").keys()


def test_a_gRPC_server_without_grpcPorts_is_told(server: str, tmp_path: Path) -> None:
    text = VERTEX.replace("  grpcPorts:\n  - containerPort: 9000\n", "").replace(HEALTH_V, "")
    text = text.replace("grpc: {port: 9000}", "tcpSocket: {port: 8080}")
    file = tmp_path / "v.yaml"
    file.write_text(text, encoding="utf-8")
    _, report = verify(server, "--proto", str(PROTO), "--spec", str(file), "--only", "spec-routes")
    assert "grpcPorts is missing" in checks_with(report, "warn")["spec-routes"]


def test_nothing_is_said_of_routes_when_health_fails(tmp_path: Path) -> None:
    file = tmp_path / "k.yaml"
    file.write_text(KUBERNETES, encoding="utf-8")
    _, report = verify("127.0.0.1:9", "--proto", str(PROTO), "--spec", str(file), "--timeout", "1")
    assert list(checks_with(report, "fail")) == ["reachable"]
    assert checks_with(report, "skip")["spec-routes"].startswith("reachable failed")
    assert checks_with(report, "pass").keys() == {SHAPE, PROBES, IMAGE}


class Container(ImageServer):
    """An image that EXPOSEs 9000 and listens there, without an engine."""

    def __init__(self) -> None:
        self.image = Image("team/iris:1.0", "linux/amd64", "10001", (9000,), 1)
        self.http, self.variables = None, {}

    def sockets(self) -> list[tuple[Any, int]]:
        return [(ip_address("0.0.0.0"), 9000)]


@contextmanager
def session(process: ImageServer | None = None, web: HttpClient | None = None) -> Iterator[Session]:
    """A session with a server that nobody runs."""
    address = Address("127.0.0.1", 1)
    client = Client(address, lambda: 5.0)
    yield Session(address, client, 1.0, time.monotonic() + 5, process=process, web=web)
    client.close()


PORT = "          containerPort: 9000"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        ({PORT: PORT.replace("9000", "9001")}, "the container's port is 9001; the image has 9000"),
        (
            {READINESS_K: READINESS_K.replace("9000", "9001")},
            "the readiness probe asks port 9001; the image has 9000",
        ),
        ({PORT: PORT.replace("9000", "9001"), "DRAIN_SECONDS": "PORT", '"25"': '"9001"'}, ""),
    ],
)
def test_ports_that_the_image_does_not_have(changes: dict[str, str], words: str, tmp_path: Path) -> None:
    text = KUBERNETES
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    file = tmp_path / "k.yaml"
    file.write_text(text, encoding="utf-8")
    with session(Container()) as target:
        found = routes(load(file), target)
    assert found.verdict == ("fail" if words else "pass"), found
    if words:
        line = next(number for number, line in enumerate(text.splitlines(), 1) if "9001" in line)
        assert re.fullmatch(rf"{re.escape(str(file))}:{line}:\d+: \S+: {re.escape(words)}", found.seen), found.seen


def test_a_path_of_an_http_probe_that_the_server_does_not_have(tmp_path: Path) -> None:
    class Routes(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200 if self.path == "/ready" else 404)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Routes) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        verdict = {}
        for path in ("/ready", "/healthz"):
            port = server.server_port
            file = tmp_path / "k.yaml"
            file.write_text(
                "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  containers:\n  - name: a\n    image: a/b:1\n"
                f"    readinessProbe:\n      httpGet:\n        port: {port}\n        path: {path}\n",
                encoding="utf-8",
            )
            with session(web=HttpClient(Address("127.0.0.1", port), lambda: 5.0)) as target:
                verdict[path] = routes(load(file), target)
        server.shutdown()
    assert verdict["/ready"].verdict == "pass"
    assert verdict["/healthz"].verdict == "fail"
    assert verdict["/healthz"].seen.startswith(
        f"{file}:11:9: spec.containers[0].readinessProbe.httpGet.path: GET /healthz"
    )


def test_the_routes_of_a_specification_are_those_that_the_platform_tells(tmp_path: Path) -> None:
    file = tmp_path / "v.yaml"
    file.write_text(VERTEX.replace("/health", "/alive"), encoding="utf-8")
    assert load(file).variables == {"AIP_HEALTH_ROUTE": "/alive", "AIP_PREDICT_ROUTE": "/predict"}


# Runs in an environment of its own, since what the API's library needs clashes with what the generator needs.
JUDGE = """
import json, sys
from google.cloud.aiplatform_v1.types import ModelContainerSpec, Probe
from google.protobuf import json_format

def refused(spec):
    try:
        json_format.ParseDict(spec, ModelContainerSpec.pb(ModelContainerSpec()))
    except json_format.ParseError as error:
        return str(error)

def fields(kind):
    return sorted(field.json_name for field in kind.pb(kind()).DESCRIPTOR.fields)

specs = json.load(sys.stdin)
told = {name: refused(spec) for name, spec in specs.items()}
json.dump({"refused": told, "spec": fields(ModelContainerSpec), "probe": fields(Probe)}, sys.stdout)
"""


@pytest.mark.slow
def test_the_library_of_the_api_judges_the_same(vertex_python: Path) -> None:
    rows = {bad.name: bad for bad in OF_VERTEX if bad.api is not None and bad.base is VERTEX}
    assert {bad.api for bad in rows.values()} == {True, False}
    texts = {"good": VERTEX, **{name: bad.text for name, bad in rows.items()}}
    specs = json.dumps({name: yaml.safe_load(text)["containerSpec"] for name, text in texts.items()})
    done = subprocess.run([vertex_python, "-c", JUDGE], input=specs, capture_output=True, text=True, check=True)
    judged: dict[str, Any] = json.loads(done.stdout)
    assert judged["refused"].pop("good") is None
    refused = {name: said is not None for name, said in judged["refused"].items()}
    assert refused == {name: bad.api for name, bad in rows.items()}, judged["refused"]
    assert judged["spec"] == sorted(CONTAINER_SPEC)
    assert judged["probe"] == sorted(PROBE)


COMPILE = """
import sys
from kfp import compiler, dsl
from google_cloud_pipeline_components.types import artifact_types
from google_cloud_pipeline_components.v1.model import ModelUploadOp

@dsl.pipeline(name="iris")
def pipeline(project: str = "p"):
    spec = {"imageUri": "europe-west4-docker.pkg.dev/team/models/iris:1.0", "ports": [{"containerPort": 8080}],
            "predictRoute": "/predict", "healthRoute": "/health", "env": [{"name": "LOG_LEVEL", "value": "INFO"}]}
    model = dsl.importer(artifact_uri="gs://bucket/iris", artifact_class=artifact_types.UnmanagedContainerModel,
                         metadata={sys.argv[2]: spec})
    ModelUploadOp(project=project, location="europe-west4", display_name="iris",
                  unmanaged_container_model=model.outputs["artifact"])

compiler.Compiler().compile(pipeline, sys.argv[1])
"""


@pytest.mark.slow
@pytest.mark.parametrize(("key", "verdict"), [("containerSpec", "pass"), ("container_spec", "fail")])
def test_a_pipeline_as_kfp_compiles_it(vertex_python: Path, key: str, verdict: str, tmp_path: Path) -> None:
    file, script = tmp_path / "pipeline.yaml", tmp_path / "compile.py"
    script.write_text(COMPILE, encoding="utf-8")
    subprocess.run([vertex_python, script, file, key], check=True, capture_output=True)
    found = outcomes(file)
    assert verdicts(found)[SHAPE] == verdict
    assert verdicts(found)[IMAGE] == "pass"
    if verdict == "pass":
        assert verdicts(outcomes(file, "--region", "us-east1"))[IMAGE] == "fail"
