"""A project for Kubernetes in which somebody works, and its image; each is made once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import create, run
from workplace import Workplace

DOCKER = os.environ.get("DOCKER", "docker")
SCHEMA = """\
package: slow.v1
service: SlowService
methods:
  Predict:
    request:
      fields:
        - {name: seconds, number: 1, type: float64, minimum: 0, maximum: 1, example: 0}
    response:
      fields:
        - {name: computed, number: 1, type: float64}
"""
# Loads until there is a file `go` beside its artifact, and computes, holding the interpreter's lock, as long as asked.
# Once there is a file `broken`, it is broken for good.
MODEL = '''\
"""A model that is slow in every way."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path

from .contract import ModelBroken, PredictRequest, PredictResponse

ARTIFACT = Path("artifacts/model.txt")


class Model:
    """Serves artifacts/model.txt."""

    def __init__(self, artifact: Path) -> None:
        self.broken = artifact.parent / "broken"
        while not (artifact.parent / "go").exists():
            threading.Event().wait(0.05)

    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:
        if self.broken.exists():
            raise ModelBroken("the session is closed")
        for request in batch:
            end = time.monotonic() + request.seconds
            while time.monotonic() < end:
                pass
        return [PredictResponse(computed=request.seconds) for request in batch]
'''

TRAIN = '''\
"""Writes the artifact."""

from slow.model import ARTIFACT
from slow.server.artifact import seal

ARTIFACT.write_text("slow\\n", encoding="utf-8")
seal(ARTIFACT, "protobuf")
(ARTIFACT.parent / "go").touch()
'''


@pytest.fixture(scope="session")
def slow_project(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    """A project with the platform Kubernetes and the slow model, with its environment."""
    folder = tmp_path_factory.mktemp("kubernetes")
    (folder / "slow.yaml").write_text(SCHEMA, encoding="utf-8")
    answers = {"package": "slow", "framework": "python", "port": 9100, "platforms": ["kubernetes"]}
    project = create(template, folder / "slow", project_name="Slow", schema=str(folder / "slow.yaml"), **answers)
    (project.path / "src/slow/model.py").write_text(MODEL, encoding="utf-8")
    (project.path / "train.py").write_text(TRAIN, encoding="utf-8")
    work = Workplace(project.path)
    work.set_up()
    work.make("model")
    return work


@pytest.fixture(scope="session")
def slow_image(slow_project: Workplace) -> Iterator[str]:
    """The image of that project, whose own artifact lets it load at once."""
    name = f"protoserve-kubernetes-test:{os.getpid()}"
    slow_project.make("image", f"DOCKER={DOCKER}", f"IMAGE={name}")
    yield name
    run([DOCKER, "image", "rm", "--force", name], cwd=slow_project.path, check=False)
