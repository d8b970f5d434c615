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
    for name in ("score", "explain"):
        for model in (source, derived):
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
