"""The type checker of a project holds its class Model against the contract."""

from __future__ import annotations

import re
import shutil

import pytest

from support import Project

pytestmark = pytest.mark.usefixtures("mypy_knows_libraries")


@pytest.fixture(scope="module")
def project(fraud: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """`fraud` to write in: its method Score is unary, Explain is a stream."""
    copy = tmp_path_factory.mktemp("interface") / "fraud"
    shutil.copytree(fraud.path, copy, ignore=shutil.ignore_patterns("artifacts", ".mypy_cache"))
    return Project(copy, fraud.package)


def mypy(project: Project, model: str) -> str:
    """What mypy reports of the project with this model.py; empty where it is content."""
    (project.path / f"src/{project.package}/model.py").write_text(model, encoding="utf-8")
    done = project.python("-m", "mypy", check=False)
    return done.stdout if done.returncode else ""


def test_a_missing_method_is_a_type_error_that_names_it(project: Project) -> None:
    source = (project.path / f"src/{project.package}/model.py").read_text(encoding="utf-8")
    assert "\nclass Model:\n" in source, "a class without a base is enough"
    assert mypy(project, source) == ""
    derived = source.replace("\nclass Model:\n", "\nclass Model(ModelInterface):\n")
    derived = derived.replace("import (", "import (\n    ModelInterface,", 1)
    assert mypy(project, derived) == ""
    for name, model in (("score", source), ("explain", derived)):
        renamed = re.sub(rf"\bdef {name}\(self", f"def {name}_all(self", model)
        assert re.search(rf"contract/served\.py.* error: .*Model(.|\n)*\b{name}\b", mypy(project, renamed))


def test_a_method_of_another_type_is_a_type_error_that_names_it(project: Project, fraud: Project) -> None:
    source = (fraud.path / f"src/{fraud.package}/model.py").read_text(encoding="utf-8")
    changed = re.sub(
        r"def explain\(self, request: \w+\) -> Iterator\[\w+\]",
        "def explain(self, request: str) -> Iterator[str]",
        source,
    )
    assert "explain" in mypy(project, changed).partition("contract/served.py")[2]


ASYNC = """\
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

from fraud.contract import ExplainRequest, ExplainResponse, ScoreRequest, ScoreResponse

ARTIFACT = Path("artifacts/model.npz")


class Model:
    def __init__(self, artifact: Path) -> None: ...

    async def score(self, request: ScoreRequest) -> ScoreResponse:
        return ScoreResponse(score=1.0, reasons=[])

    async def explain(self, request: ExplainRequest) -> AsyncIterator[ExplainResponse]:
        for response in list[ExplainResponse]():
            yield response
"""
MIXTURES = {
    "async def score(self, request: ScoreRequest) -> ScoreResponse": (
        "def score(self, request: ScoreRequest) -> ScoreResponse",
        "async def score(self, batch: Sequence[ScoreRequest]) -> ScoreResponse",
        "async def score(self, request: ScoreRequest) -> list[ScoreResponse]",
    ),
    "async def explain(self, request: ExplainRequest) -> AsyncIterator[ExplainResponse]": (
        "async def explain(self, request: ExplainRequest) -> list[ExplainResponse]",
        "async def explain(self, batch: Sequence[ExplainRequest]) -> AsyncIterator[ExplainResponse]",
    ),
}


def test_methods_may_be_async_and_mixtures_of_forms_are_type_errors(project: Project) -> None:
    """All mixtures are classes of one module, since mypy takes a second for a run."""
    of_others = "train.py"  # which imports what this model.py does not have
    assert [line for line in mypy(project, ASYNC).splitlines()[:-1] if not line.startswith(of_others)] == []
    classes = []
    for form, mixtures in MIXTURES.items():
        for mixture in mixtures:
            name = f"Mixture{len(classes)}"
            body = ASYNC[ASYNC.index("class Model") :].replace("class Model", f"class {name}").replace(form, mixture)
            classes.append(
                f"{body}\n\ndef make_{name}(artifact: Path) -> ModelInterface:\n    return {name}(artifact)\n"
            )
    source = ASYNC.replace("contract import ", "contract import ModelInterface, ", 1)
    errors = mypy(project, "\n\n".join([source, *classes]))
    for number in range(len(classes)):
        assert f'got "Mixture{number}", expected "ModelInterface"' in errors
