"""The container as Vertex AI's own SDK runs it, and as `protoserve verify` judges it."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from protoserve import cli
from serving import MODEL, Probe
from support import run, tool
from vertex_probe import make_vertex_probe, row

pytestmark = [pytest.mark.slow, pytest.mark.docker]

DOCKER = os.environ.get("DOCKER", "docker")
IMAGE = "protoserve-test:vertex"
# The model takes its time to load.
SLOW = MODEL.replace("import json\n", "import json\nimport time\n").replace("tell(loading=how)", "time.sleep(4)")

# Runs in the SDK's environment. The SDK asks health until it is 200; what it was told is written down.
DRIVER = """
import json, sys, yaml
from google.cloud import aiplatform_v1
from google.cloud.aiplatform.prediction import LocalModel
from google.protobuf import json_format

given = json.load(sys.stdin)
message = aiplatform_v1.ModelContainerSpec.pb(aiplatform_v1.ModelContainerSpec())
json_format.ParseDict(given["spec"], message)
local = LocalModel(serving_container_spec=aiplatform_v1.ModelContainerSpec.wrap(message))
endpoint = local.deploy_to_local_endpoint(container_ready_timeout=120, container_ready_check_interval=1)
health, asked = [], endpoint.run_health_check
def noted(**options):
    reply = asked(**options)
    health.append(reply.status_code)
    return reply
endpoint.run_health_check = noted
told = []
with endpoint:
    for instances in given["calls"]:
        body, headers = json.dumps({"instances": instances}), {"Content-Type": "application/json"}
        reply = endpoint.predict(request=body, headers=headers, verbose=False)
        told.append([reply.status_code, reply.json()])
json.dump({"health": health, "told": told}, sys.stdout)
"""


@pytest.fixture(scope="module")
def project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Probe]:
    probe = make_vertex_probe(template, tmp_path_factory.mktemp("vertex"))
    (probe.path / "src" / "probe" / "model.py").write_text(SLOW, encoding="utf-8")
    command = [tool("uv"), "pip", "compile", "--quiet", "--generate-hashes", "--python-version", "3.12"]
    files = ["requirements/server.txt", "requirements/model.txt"]
    run([*command, "--output-file", "requirements.lock", *files], cwd=probe.path)
    env = os.environ | {"DOCKER_BUILDKIT": "1"}
    run([DOCKER, "build", "--quiet", "--tag", IMAGE, "."], cwd=probe.path, env=env)
    yield probe
    run([DOCKER, "image", "rm", "--force", IMAGE], cwd=probe.path)


def test_the_sdk_runs_it(project: Probe, vertex_python: Path) -> None:
    spec = yaml.safe_load((project.path / "deploy/vertex-ai/container_spec.yaml").read_text(encoding="utf-8"))
    container: dict[str, Any] = {**spec["containerSpec"], "imageUri": IMAGE}
    calls = [[row(1), row(2)], [row(1), row(-1), {}]]
    given = json.dumps({"spec": container, "calls": calls})
    (project.path / "given.json").write_text(given, encoding="utf-8")
    with (project.path / "given.json").open() as file:
        done = subprocess.run(
            [vertex_python, "-c", DRIVER], stdin=file, capture_output=True, text=True, check=False, cwd=project.path
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["health"][-1] == 200
    assert 503 in found["health"]
    assert set(found["health"]) == {200, 503}
    (good, predictions), (bad, error) = found["told"]
    assert (good, [item["result"] for item in predictions["predictions"]]) == (200, [2, 4])
    assert bad == 400
    fields = [item["field"] for item in error["error"]["details"][0]["fieldViolations"]]
    assert fields == ["instances[1].value", "instances[2].value", "instances[2].mode"]


def test_verify_passes(project: Probe, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--platform", "vertex", "--project", str(project.path), "--docker", DOCKER, "--format", "json"]
    spec = str(project.path / "deploy/vertex-ai/container_spec.yaml")
    code = cli.main(["verify", "--image", IMAGE, *options, "--spec", spec])
    report = json.loads(capsys.readouterr().out)
    verdicts = {check["id"]: check["verdict"] for check in report["checks"]}
    assert code == 0, report["checks"]
    assert verdicts["http-health"] == verdicts["http-predict"] == verdicts["spec-routes"] == "pass", report["checks"]
