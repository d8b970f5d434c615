"""The whole life of one project, from nothing to a served prediction of an unseen schema, in order."""

from __future__ import annotations

import json
from pathlib import Path

from serving import Probe, serving
from support import Project, create, run, tool

SIGNATURE = "age: int32, income: float64, segment: Segment(retail|business) -> limit: float64, approved: bool"

# How the default framework is trained and served, tests/create/test_own_model.py shows.
ANSWERS = {"project_name": "Credit", "framework": "python", "schema": SIGNATURE}


def predict(project: Project, address: str, *arguments: str) -> dict[str, object]:
    done = project.python("scripts/predict.py", "--target", address, *arguments)
    reply = json.loads(done.stdout)
    assert isinstance(reply, dict)
    return reply


def test_the_life_of_a_project(template: Path, tmp_path: Path) -> None:
    # It is created from a signature, and its author writes no line before the first prediction.
    project = create(template, tmp_path / "credit", by_copier=True, **ANSWERS)
    project = Project(project.path, "credit")
    schema = project.path / "schema.yaml"
    assert "package: credit.v1" in schema.read_text(encoding="utf-8")
    assert "wrote artifacts/model.npz" in project.python("train.py").stdout
    with serving(Probe(project.path, "credit")) as server:
        first = predict(project, f"127.0.0.1:{server.port}")
        server.terminate()
        assert server.ended() == 0
    assert first.keys() == {"limit", "approved"}

    # Linters find nothing. (That its own tests pass, tests/create/test_any_schema.py shows of any schema.)
    for command in (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["buf", "lint"]):
        run([tool(command[0]), *command[1:]], cwd=project.path)

    # It lives in git from now on. The contract grows: a field with limits, without a number.
    run(["git", "init", "--quiet"], cwd=project.path)
    text = schema.read_text(encoding="utf-8")
    anchor = "        - {name: income, "
    assert anchor in text, text
    schema.write_text(
        text.replace(anchor, f"        - {{name: debts, type: float64, minimum: 0, required: false}}\n{anchor}"),
        encoding="utf-8",
    )
    assert project.python("scripts/generate.py", "--check", check=False).returncode == 1
    project.python("scripts/generate.py")
    assert "{name: debts, number: 4, " in schema.read_text(encoding="utf-8")

    # The author puts a model of their own in: one class.
    (project.path / "src/credit/model.py").write_text(
        '''"""A rule of thumb."""

from collections.abc import Sequence
from pathlib import Path

from credit.contract import InvalidRequest, PredictRequest, PredictResponse, Segment

ARTIFACT = Path("artifacts/model.npz")


class Model:
    def __init__(self, artifact: Path) -> None:
        self.artifact = artifact

    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:
        return [self.one(request) for request in batch]

    def one(self, request: PredictRequest) -> PredictResponse:
        if request.age > 150:
            raise InvalidRequest("nobody is that old", field="age")
        limit = request.income * (2 if request.segment is Segment.BUSINESS else 1) - (request.debts or 0.0)
        return PredictResponse(limit=limit, approved=limit > 0)
''',
        encoding="utf-8",
    )
    asked = {"age": 40, "income": 100.0, "segment": "SEGMENT_BUSINESS"}
    with serving(Probe(project.path, "credit"), LOG_REQUESTS="true") as server:
        address = f"127.0.0.1:{server.port}"
        assert predict(project, address, "--data", json.dumps(asked)) == {"limit": 200.0, "approved": True}
        assert predict(project, address, "--data", json.dumps({**asked, "debts": 250.0})) == {
            "limit": -50.0,
            "approved": False,
        }
        for wrong, said in (({"debts": -1}, "debts: must be at least 0"), ({"age": 200}, "age: nobody is that old")):
            done = project.python(
                "scripts/predict.py", "--target", address, "--data", json.dumps({**asked, **wrong}), check=False
            )
            assert done.returncode == 1
            assert said in done.stderr
