"""Projects that many tests look at; each is made once, and none of these tests writes into it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest

from releases import make_template
from support import ROOT, Project, copy_template, create, made_once, run, tool

# pip need not compile what is installed for one test: Python compiles what it imports.
os.environ["PIP_COMPILE"] = "0"
# What one process has compiled serves the next: hundreds of them import the generator or a project's server.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

FRAUD = """\
package: acme.fraud.v1
service: FraudService
enums:
  Channel: {values: [{name: online, number: 1}, {name: in_store, number: 2}]}
messages:
  Merchant:
    fields:
      - {name: merchant_id, number: 1, type: string, pattern: '^m_[0-9]{4}$', example: m_0042}
      - {name: country, number: 2, type: string, min_length: 2, max_length: 2, example: NL}
  Payment:
    fields:
      - {name: at, number: 1, type: timestamp}
      - {name: amount, number: 2, type: float64, minimum: 0, maximum: 10000}
methods:
  Score:
    doc: Say how likely a payment is a fraud.
    request:
      fields:
        - {name: merchant, number: 1, type: Merchant}
        - {name: amount, number: 2, type: float64, minimum: 0, maximum: 10000}
        - {name: channel, number: 3, type: Channel}
        - {name: history, number: 4, type: Payment, repeated: true, max_items: 50}
        - {name: counters, number: 5, key: string, value: int64}
        - {name: card, number: 6, type: string, oneof: means}
        - {name: account, number: 7, type: string, oneof: means}
        - {name: retries, number: 8, type: int32, default: 0, minimum: 0, maximum: 9}
        - {name: note, number: 9, type: string, required: false}
    response:
      fields:
        - {name: score, number: 1, type: float64, minimum: 0, maximum: 1}
        - {name: reasons, number: 2, type: string, repeated: true}
  Explain:
    doc: Stream what speaks for and against.
    streaming: server
    request:
      fields:
        - {name: embedding, number: 1, type: float32, shape: [items, 4]}
        - {name: pixels, number: 2, type: uint8, shape: [2, 2, 3], required: false}
        - {name: context, number: 3, type: json, required: false}
        - {name: window, number: 4, type: duration}
    response:
      fields:
        - {name: text, number: 1, type: string}
        - {name: weight, number: 2, type: float32}
"""


@pytest.fixture(autouse=True)
def _environment_as_before() -> Iterator[None]:
    """What a command that a test calls sets for its own process does not reach other tests."""
    before = dict(os.environ)
    yield
    # Name by name: threads of other fixtures may start processes meanwhile.
    for name in {*before, *os.environ} - {"PYTEST_CURRENT_TEST"}:
        if name not in before:
            del os.environ[name]
        elif os.environ.get(name) != before[name]:
            os.environ[name] = before[name]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Docker tests are skipped where there is no engine, and fail there in CI, which starts one."""
    if item.get_closest_marker("docker") and not _engine() and os.environ.get("PROTOSERVE_DOCKER") != "required":
        pytest.skip("no Docker engine answers")


@cache
def _engine() -> bool:
    try:
        return (
            subprocess.run([os.environ.get("DOCKER", "docker"), "info"], capture_output=True, check=False).returncode
            == 0
        )
    except OSError:
        return False


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of this checkout, as a folder without git."""
    return made_once(tmp_path_factory, "protoserve", copy_template)


@pytest.fixture(scope="session")
def iris(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The default answers, before anything is trained: scikit-learn takes seconds to import."""
    return Project(made_once(tmp_path_factory, "iris", partial(create, template)), "iris")


@pytest.fixture(scope="session")
def trained_iris(iris: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The same with its artifact."""

    def make(folder: Path) -> None:
        shutil.copytree(iris.path, folder)
        Project(folder, iris.package).python("train.py")

    return Project(made_once(tmp_path_factory, "trained/iris", make), iris.package)


@pytest.fixture(scope="session")
def fraud(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A schema that no preset resembles: every kind of field, two methods, a foreign proto package; trained."""

    def make(folder: Path) -> None:
        schema = folder.with_suffix(".yaml")
        schema.write_text(FRAUD, encoding="utf-8")
        answers = {"project_name": "Fraud", "package": "fraud", "framework": "python", "schema": str(schema)}
        create(template, folder, **answers).python("train.py")

    return Project(made_once(tmp_path_factory, "fraud", make), "fraud")


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The repository of a template with three releases; no test writes into it."""
    return made_once(tmp_path_factory, "models", make_template)


@pytest.fixture(scope="session", autouse=True)
def _mypy_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which mypy keeps what it learns of libraries; all projects in the tests' environment share it."""
    folder = tmp_path_factory.mktemp("mypy")
    os.environ["MYPY_CACHE_DIR"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def mypy_knows_libraries(_mypy_cache: Path, iris: Project, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Fills that folder: reading the libraries takes mypy most of its time, so that one process does it for all."""

    def fill(folder: Path) -> None:
        iris.python("-m", "mypy", env={"MYPY_CACHE_DIR": str(folder)})

    shutil.copytree(made_once(tmp_path_factory, "mypy", fill), _mypy_cache, dirs_exist_ok=True)


@pytest.fixture(scope="session")
def vertex_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with what a project's deploy/vertex-ai needs, and the SDK's local endpoint.

    It is one of its own, since what the API's library needs clashes with what the generator needs.
    """
    folder = tmp_path_factory.mktemp("vertex") / "env"
    requirements = next((ROOT / "template" / "deploy").glob("*vertex-ai*/requirements.txt"))
    run([tool("uv"), "venv", "--quiet", "--python", sys.executable, folder], cwd=ROOT)
    python = folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
    install = [tool("uv"), "pip", "install", "--quiet", "--python", python, "--requirement", requirements]
    run([*install, "google-cloud-aiplatform[prediction]"], cwd=ROOT)
    return python


# Tests that share nothing: each goes to whoever has time.
SINGLE = {"test_any_schema.py", "test_situations.py"}
# Files that take long, or wait for long, begin first, the longest of them before the others: at the end all others
# would wait for them.
LONG = (
    "test_other_ways.py",  # of the slow tests
    "test_start_page.py",
    "test_any_schema.py",
    "test_own_model.py",
    "test_green.py",
    "test_merge.py",
    "test_zoo.py",
    "test_shapes.py",
    "test_situations.py",
    "test_torch_build.py",
    "test_life.py",
    "test_ways_in.py",
    "test_make.py",
    "test_image_target.py",
    "test_http.py",
    "test_adopt.py",
    "test_gate.py",
    "test_vertex_image.py",
    "test_remedies.py",
    "test_image.py",
    "test_properties.py",
)


@pytest.hookimpl(tryfirst=True)  # before xdist looks for groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The tests of a file stay together when several processes run them: they share what is expensive to make.

    Files that share it, too, name a group of their own.
    """
    for item in items:
        if item.path.name not in SINGLE and item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(str(item.path)))
    order = {name: place for place, name in enumerate(LONG)}
    items.sort(key=lambda item: order.get(item.path.name, len(LONG)))


@pytest.hookimpl(optionalhook=True)  # there is no such hook where one process runs all
def pytest_xdist_node_collection_finished(node: Any, ids: list[str]) -> None:
    """Without groups every process makes everything anew, and tests of one file get in each other's way."""
    loose = next((name for name in ids if Path(name.partition("::")[0]).name not in SINGLE and "@" not in name), None)
    if node.config.getoption("dist") == "loadgroup" and loose is not None:
        pytest.exit(f"this pytest-xdist puts {loose} into no group: pip install -e '.[dev]' brings one that does", 2)
