"""deploy/vertex-ai: what is sent to Vertex AI, judged by the platform's own types, pipeline components and SDK."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from protoserve import cli
from support import Project, create, run

pytestmark = pytest.mark.slow

ANSWERS = {
    "platforms": ["vertex-ai"],
    "framework": "python",
    "vertex_project": "team-models",
    "vertex_region": "europe-west4",
    "vertex_repository": "images",
    "vertex_machine": "n2-standard-4",
    "port": 9100,
}
# Whatever asks a network fails at once.
OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), "http://127.0.0.1:9")


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    return create(template, tmp_path_factory.mktemp("vertex") / "iris", alone=True, **ANSWERS)


@pytest.fixture(scope="module")
def bench(project: Project, vertex_python: Path) -> Bench:
    """The project's scripts for Vertex AI, in their environment."""
    environment = project.path / "deploy" / "vertex-ai" / ".venv"
    environment.symlink_to(vertex_python.parent.parent, target_is_directory=True)
    made = environment / "installed"
    made.touch()
    os.utime(made, (2**31, 2**31))
    return Bench(project.path, vertex_python)


class Bench:
    def __init__(self, path: Path, python: Path) -> None:
        self.path, self.python = path, python

    @property
    def file(self) -> Path:
        return self.path / "deploy" / "vertex-ai" / "container_spec.yaml"

    def make(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return run(["make", *arguments], cwd=self.path, env=os.environ | OFFLINE, check=check)

    def run(self, code: str, *arguments: str) -> Any:
        """What a program prints that finds the project's modules for Vertex AI, as JSON."""
        env = {**os.environ, **OFFLINE, "PYTHONPATH": str(self.file.parent)}
        return json.loads(run([self.python, "-c", code, *arguments], cwd=self.path, env=env).stdout)


def test_the_answers_are_in_one_place(bench: Bench) -> None:
    found = yaml.safe_load(bench.file.read_text(encoding="utf-8"))
    assert found["containerSpec"]["imageUri"] == "europe-west4-docker.pkg.dev/team-models/images/iris:0.1.0"
    assert (found["project"], found["region"], found["machineType"]) == ("team-models", "europe-west4", "n2-standard-4")
    assert found["containerSpec"]["grpcPorts"] == [{"containerPort": 9100}]
    for name in ("pipeline.py", "upload.py", "spec.py", "vertex-ai.mk"):
        text = (bench.file.parent / name).read_text(encoding="utf-8")
        assert not [word for word in ("team-models", "europe-west4", "n2-standard-4", "9100") if word in text]


COMPILED = """
import json, sys, yaml
from google.cloud.aiplatform_v1.types import ModelContainerSpec
from google.protobuf import json_format
from google_cloud_pipeline_components.container.v1.model.upload_model import remote_runner

(pipeline,) = [part for part in yaml.safe_load_all(open(sys.argv[1])) if "deploymentSpec" in part]
executors = pipeline["deploymentSpec"]["executors"]
(importer,) = [executor["importer"] for executor in executors.values() if "importer" in executor]
artifact = {"metadata": importer["metadata"], "uri": "gs://bucket/iris"}
told = json.dumps({"inputs": {"artifacts": {"unmanaged_container_model": {"artifacts": [artifact]}}}})
model = {}
remote_runner.append_unmanaged_model_artifact_into_payload(told, model)  # what ModelUploadOp does when it runs
message = ModelContainerSpec.pb(ModelContainerSpec())
json_format.ParseDict(model["container_spec"], message, ignore_unknown_fields=False)
json.dump({
    "sent": json_format.MessageToDict(message), "title": importer["typeSchema"]["schemaTitle"],
    "parameters": {name: it.get("defaultValue") for name, it in pipeline["root"]["inputDefinitions"]["parameters"].items()},
    "tasks": sorted(executors), "uri": model["artifact_uri"],
}, sys.stdout)
"""  # noqa: E501


def test_the_pipeline_compiles_offline_and_nothing_of_the_specification_is_dropped(bench: Bench) -> None:
    assert "build/vertex-ai/pipeline.yaml: compiled" in bench.make("pipeline").stdout
    compiled = bench.path / "build" / "vertex-ai" / "pipeline.yaml"
    found = bench.run(COMPILED, str(compiled))
    assert found["sent"] == yaml.safe_load(bench.file.read_text(encoding="utf-8"))["containerSpec"]
    assert (found["title"], found["uri"]) == ("google.UnmanagedContainerModel", "gs://bucket/iris")
    assert found["tasks"] == ["exec-endpoint-create", "exec-importer", "exec-model-deploy", "exec-model-upload"]
    wanted = {"project": "team-models", "location": "europe-west4", "display_name": "iris", "artifact_uri": ""}
    assert found["parameters"] == {**wanted, "deploy": False}
    assert cli.main(["verify", "--spec", str(compiled), "--region", "europe-west4"]) == 0


def test_the_sdk_sends_the_same(bench: Bench) -> None:
    done = bench.make("vertex-upload", "ARGS=--dry-run", "VERTEX_IMAGE=europe-docker.pkg.dev/team/images/iris@sha256:1")
    sent = json.loads(done.stdout)
    assert sent["parent"] == "projects/team-models/locations/europe-west4"
    spec = yaml.safe_load(bench.file.read_text(encoding="utf-8"))["containerSpec"]
    assert sent["model"]["displayName"] == "iris"
    assert sent["model"]["containerSpec"] == {**spec, "imageUri": "europe-docker.pkg.dev/team/images/iris@sha256:1"}


def test_who_reads_may_stop_before_the_end(bench: Bench) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [bench.python, bench.file.with_name("upload.py"), "--dry-run"]
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, check=False, timeout=120)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


def test_the_file_passes_both_checks(bench: Bench) -> None:
    assert "valid for Vertex AI" in bench.make("vertex-check").stdout
    assert cli.main(["verify", "--spec", str(bench.file), "--region", "europe-west4"]) == 0


# An edit of the file as (old, new), and what is said of it.
FAULTS = [
    ("containerSpec:", "container_spec:", "container_spec is not a valid key; valid keys are project, "),
    ("containerSpec:", "container_spec:", "containerSpec must be a mapping; got None"),
    ("minReplicas: 1", "minReplicas: one", "minReplicas must be a number; got 'one'"),
    ('artifactUri: ""', "artifactUri: s3://bucket", "artifactUri must be empty or gs://BUCKET/FOLDER; got s3://bucket"),
    ("- containerPort: 8080", "- 8080", "Vertex AI refuses it with 400"),
    ("  predictRoute:", "  predictroute:", 'Vertex AI refuses it with 400: Message type "google'),
    ("  predictRoute:", "  predict_route:", "containerSpec.predict_route: write it in camelCase"),
    ("/predict\n", "predict\n", "containerSpec.predictRoute: must be a path, such as /predict"),
    ("periodSeconds: 5", "periodSeconds: 0", "containerSpec.startupProbe.periodSeconds: 0 is silently ignored"),
    ("periodSeconds: 5", "periodSeconds: 30", "containerSpec.startupProbe: periodSeconds must be below timeoutSeconds"),
    ("periodSeconds: 5", 'periodSeconds: "5"', "containerSpec.startupProbe.periodSeconds: '5' becomes 5: write that"),
    ("grpc: {port: 9100}", "grpc: {port: 9100}\n    tcpSocket: {port: 9100}", "Vertex AI refuses it with 400"),
    ("grpc: {port: 9100}", "grpc: {port: 9101}", "uses gRPC port 9101, but grpcPorts[0] is 9100"),
    ("containerPort: 9100", "containerPort: 8080", "containerSpec.grpcPorts: [8080] must differ from ports"),
    ("  ports:\n    - containerPort: 8080\n", "", "containerSpec.ports: must have the HTTP port"),
    (":0.1.0", ":latest", "containerSpec.imageUri: use a version or a digest"),
    ("europe-west4-docker.pkg.dev", "docker.io", "Vertex AI requires an image in Artifact Registry"),
    ("  ports:", "  env: {LOG_LEVEL: INFO}\n  ports:", "Vertex AI refuses it with 400"),
    ("  ports:", "  env: [{name: AIP_HTTP_PORT, value: '80'}]\n  ports:", "AIP_HTTP_PORT is set by the platform"),
    (
        "  ports:",
        "  env: [{name: LOG_LEVEL, value: ''}]\n  ports:",
        "containerSpec.env[0].value: '' is silently ignored",
    ),
]
FAULTY = """
import json, pathlib, sys, spec, yaml
told = []
for text in json.load(open(sys.argv[1])):
    told.append(list(spec.faults(yaml.safe_load(text))))
spec.FILE = pathlib.Path(sys.argv[2])
try:
    spec.read()
except SystemExit as error:
    told.append([str(error)])
json.dump(told, sys.stdout)
"""


def test_what_the_platform_would_refuse_or_drop_is_told(bench: Bench, tmp_path: Path) -> None:
    text = bench.file.read_text(encoding="utf-8")
    assert all(old in text for old, _, _ in FAULTS)
    edited = [text.replace(old, new, 1) for old, new, _ in FAULTS]
    (tmp_path / "edited.json").write_text(json.dumps(edited), encoding="utf-8")
    (tmp_path / "no.yaml").write_text("project: mine\nregion: [us\ndisplayName: iris\n", encoding="utf-8")
    *told, unread = bench.run(FAULTY, str(tmp_path / "edited.json"), str(tmp_path / "no.yaml"))
    for (old, new, said), found in zip(FAULTS, told, strict=True):
        assert any(said in line for line in found), (old, new, found)
    assert unread == ["no.yaml:3:12: expected ',' or ']', but got ':'"]


def test_nothing_is_compiled_of_a_faulty_file(bench: Bench) -> None:
    """Nor sent: scripts have one check, and the test below shows that upload.py asks it."""
    good = bench.file.read_text(encoding="utf-8")
    compiled = bench.path / "build" / "vertex-ai"
    shutil.rmtree(compiled, ignore_errors=True)
    try:
        bench.file.write_text(good.replace("imageUri", "image"), encoding="utf-8")
        done = bench.make("pipeline", check=False)
    finally:
        bench.file.write_text(good, encoding="utf-8")
    assert done.returncode != 0
    assert 'container_spec.yaml: containerSpec: Vertex AI refuses it with 400: Message type "google' in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(compiled.glob("*"))


def test_a_project_that_nobody_named_is_compiled_for_and_not_sent_to(bench: Bench) -> None:
    good = bench.file.read_text(encoding="utf-8")
    try:
        bench.file.write_text(good.replace("team-models", "my-project"), encoding="utf-8")
        compiled, sent = bench.make("pipeline"), bench.make("vertex-deploy", check=False)
    finally:
        bench.file.write_text(good, encoding="utf-8")
    assert "my-project is the default answer" in compiled.stderr
    assert sent.returncode != 0
    assert "my-project is the default answer" in sent.stderr
