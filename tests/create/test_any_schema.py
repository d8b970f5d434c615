"""Any schema with any framework runs at once, and its example model really looks at the request."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import pytest

from conftest import FRAUD
from protoserve.schema.initial_text import seed
from protoserve.schema.load import loads
from protoserve.schema.presets import presets
from protoserve.seeds.example_methods import example_methods
from protoserve.seeds.frameworks import frameworks, load
from support import Project, create, lacking, made_once, need, run, tool
from zoo.process import assert_passes

WIDE = [f"n{index}: {kind}" for index, kind in enumerate(("float64", "int32", "bool", "float32") * 20)]
SCHEMAS = {
    "one-number": "x: float64 -> y: float64",
    "few-inputs": "a: bool -> label: Label(low|mid|high), scores: float64[3]",
    "classes": "a: float32, b: int16 -> label: Label(low|mid|high), scores: float64[3]",
    "two-tensors": "left: float32[n, 4], right?: uint8[2, 3], mask: bool[n] -> out: float32[n, 2], total: uint64",
    "texts": "texts: string[], weights: map<string, float64> -> best: string, ranks: int32[]",
    "stream": "prompt: string, temperature?: float32 -> stream token: string, probability: float32",
    "wide": f"{', '.join([*WIDE[:40], 'context?: json', *WIDE[40:]])} -> y: float64",
    "fraud": FRAUD,
}

# In one process, which imports the framework's library once: trains each project's model, then asks it. Each reply must
# keep the contract; and every numeric input of the sample request is changed in turn, as its type and limits allow,
# until the reply changes.
TRAIN_AND_ASK = """
import asyncio, dataclasses, importlib, os, runpy, sys

import numpy as np

async def all_of(replies):
    return [reply async for reply in replies]

def answer(model, method, request):
    replies = getattr(model, method.attribute)(request if method.streaming else [request])
    if hasattr(replies, "__aiter__"):
        replies = asyncio.run(all_of(replies))
    return [method.encode(reply) for reply in replies]

def changes(value):
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int) and not hasattr(value, "name"):
        return [value + step for step in (1, -1, 7, 20, 90, 1000, 5000)]
    if isinstance(value, float):
        return [value * 0.9 + 0.01, *(value + step for step in (0.5, -0.5, 2.0, -2.0, 10.0, -10.0, 1000.0))]
    if isinstance(value, np.ndarray) and value.dtype != bool:
        wide = value.astype(float)
        return [array.astype(value.dtype) for array in (wide * 0.5, wide + 1, wide + 20, wide + 90)]
    return []

for folder in sys.argv[1:]:
    package = os.path.basename(folder)
    os.chdir(folder)
    sys.path.insert(0, os.path.join(folder, "src"))
    runpy.run_path("train.py", run_name="__main__")
    contract = importlib.import_module(package + ".contract")
    author = importlib.import_module(package + ".model")
    model = author.Model(author.ARTIFACT)
    for method in contract.METHODS:
        request = method.decode(method.sample())
        before = answer(model, method, request)
        for field in dataclasses.fields(request):
            tried = changes(getattr(request, field.name))
            asked = [dataclasses.replace(request, **{field.name: new}) for new in tried]
            changed = any(answer(model, method, other) != before for other in asked)
            assert changed or not asked, f"{package}: {method.name}.{field.name} changes nothing"
    print(package, "answers")
"""


# Every framework meets every preset. What a schema asks of the seeds in common, the base templates do: the quickest
# framework meets all schemas. What it asks of a framework's own blocks besides is one number out (regression alone),
# and several models in one artifact, one of them streamed (fraud).
OWN_BLOCKS = ("one-number", "fraud")
# The server knows neither schema nor framework: a framework is served with this one by its project's own tests, and
# with the default preset by verify; the quickest one is served with all.
SERVED = ("fraud",)
# What the quickest one meets in the same test, besides OWN_BLOCKS: a preset with a stream, and tensors.
ALSO_QUICKEST = ("chat", "two-tensors")
QUICKEST = "python"
ALL_SCHEMAS = tuple(dict.fromkeys((*SCHEMAS, *presets())))

Projects = dict[str, Project]  # by the name of the schema


def names_for(framework: str) -> tuple[str, ...]:
    """Names of the schemas that a framework meets when it is trained, each in a project."""
    return (*OWN_BLOCKS, *(ALSO_QUICKEST if framework == QUICKEST else presets()))


def make(template: Path, folder: Path, framework: str, name: str) -> Project:
    """A project with the schema of that name: a signature, the text of a file, or a preset."""
    answer = SCHEMAS.get(name, name)
    if answer not in presets() and "->" not in answer:
        (folder / f"{name}.yaml").write_text(answer, encoding="utf-8")
        answer = str(folder / f"{name}.yaml")
    package = package_of(framework, name)
    answers = {"project_name": "Thing", "package": package, "framework": framework, "schema": answer}
    return create(template, folder / package, **answers)


def package_of(framework: str, name: str) -> str:
    """No two projects have the same: mypy looks at all of them at once."""
    return f"with_{framework}_{name.replace('-', '_')}"


@pytest.fixture
def made(template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Projects]:
    """Makes a framework's projects with all of its schemas, once for all tests."""

    def projects_of(framework: str) -> Projects:
        names = ALL_SCHEMAS if framework == QUICKEST else names_for(framework)

        def make_all(folder: Path) -> None:
            folder.mkdir()
            for name in names:
                make(template, folder, framework, name)

        folder = made_once(tmp_path_factory, f"of {framework}", make_all)
        packages = {name: package_of(framework, name) for name in names}
        return {name: Project(folder / package, package) for name, package in packages.items()}

    return projects_of


def serves(project: Project) -> None:
    """Runs the project's own tests with its real server. How one stops, tests/project shows."""
    smoke = project.python("-m", "pytest", "--quiet", "tests", "-k", "not sigterm")
    assert " passed" in smoke.stdout


@pytest.mark.slow
@pytest.mark.parametrize("framework", frameworks())
def test_the_seeds_train_serve_and_listen(made: Callable[[str], Projects], tmp_path: Path, framework: str) -> None:
    need(framework)
    projects = {name: made(framework)[name] for name in names_for(framework)}
    train_and_ask(projects.values(), tmp_path)
    for name in names_for(QUICKEST) if framework == QUICKEST else SERVED:
        serves(projects[name])
    if framework != QUICKEST:  # whose projects tests/verify has
        assert_passes(projects["tabular"].path)


@pytest.mark.slow
def test_any_schema_is_served(made: Callable[[str], Projects], tmp_path: Path) -> None:
    """Those that the test above does not serve with the quickest framework."""
    others = [project for name, project in made(QUICKEST).items() if name not in names_for(QUICKEST)]
    train_and_ask(others, tmp_path)
    for project in others:
        serves(project)


@pytest.mark.usefixtures("mypy_knows_frameworks")
@pytest.mark.slow
def test_linters_accept_the_seeds(made: Callable[[str], Projects], tmp_path: Path) -> None:
    """Those of all frameworks at once: mypy reads the libraries, and what all projects share, a single time."""
    installed = [framework for framework in frameworks() if lacking(framework) is None]
    linters_accept([project for framework in installed for project in made(framework).values()], tmp_path)


def train_and_ask(projects: Collection[Project], folder: Path) -> None:
    """Trains the model of each project, and asks it."""
    done = run([sys.executable, "-c", TRAIN_AND_ASK, *(project.path for project in projects)], cwd=folder)
    assert done.stdout.count("answers\n") == len(projects)


def linters_accept(projects: Sequence[Project], folder: Path) -> None:
    """Runs ruff and mypy over the authors' files of all projects at once, and over what these import.

    What no author's file imports, the server, is the same in all of them; tests/project has mypy read it.
    """
    run([tool("ruff"), "check", "--no-cache", *(project.path / "train.py" for project in projects)], cwd=folder)
    run([tool("ruff"), "check", "--no-cache", *(project.path / "src" for project in projects)], cwd=folder)
    sources = []
    for project in projects:
        sources += ["--module", f"{project.package}.model"]
        for script in ("train.py", "tests/test_model.py"):
            copy = folder / "scripts" / f"{project.package}_{Path(script).name}"
            copy.parent.mkdir(exist_ok=True)
            shutil.copy2(project.path / script, copy)
            sources += ["--module", copy.stem]
    path = os.pathsep.join([str(folder / "scripts"), *(str(project.path / "src") for project in projects)])
    config = projects[0].path / "pyproject.toml"
    run(
        [sys.executable, "-m", "mypy", "--config-file", config, *sources],
        cwd=projects[0].path,
        env={**os.environ, "MYPYPATH": path},
    )


@pytest.mark.slow
def test_equal_models_are_equal_artifacts(template: Path, tmp_path: Path) -> None:
    """Of several models too: their digest then says whether anything has changed."""
    need("xgboost")
    (tmp_path / "given.yaml").write_text(FRAUD, encoding="utf-8")
    answers = {"package": "thing", "framework": "xgboost", "schema": str(tmp_path / "given.yaml")}
    project = create(template, tmp_path / "made", project_name="Thing", **answers)
    digest = project.path / "artifacts" / "models.zip.sha256"
    project.python("train.py")
    before = digest.read_text(encoding="utf-8")
    digest.unlink()
    digest.with_suffix("").unlink()
    project.python("train.py")
    assert digest.read_text(encoding="utf-8") == before


@pytest.mark.slow
def test_what_only_training_needs_is_not_needed_to_serve(template: Path, tmp_path: Path) -> None:
    need("onnx")
    project = create(template, tmp_path / "made", project_name="Thing", package="thing", framework="onnx")
    assert "skl2onnx" in (project.path / "requirements" / "train.txt").read_text(encoding="utf-8")
    project.python("train.py")
    blocked = "import sys; sys.modules |= dict.fromkeys(('sklearn', 'skl2onnx', 'onnx', 'scipy'))"
    project.python("-c", f"{blocked}; from thing.model import ARTIFACT, Model; Model(ARTIFACT)")
    for name in ("Dockerfile", "requirements/server.txt", "requirements/model.txt"):
        text = (project.path / name).read_text(encoding="utf-8")
        assert not {"skl2onnx", "requirements/train.txt"} & set(text.split()), name


# Replaces the tensors of the example inputs in a .pt2 file by a pickle that makes a folder.
DOCTOR = """
import io, os, zipfile
import torch

class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)

evil = io.BytesIO()
torch.save({"inputs": Evil()}, evil)
with zipfile.ZipFile("artifacts/model.pt2") as given, zipfile.ZipFile("artifacts/evil.pt2", "w") as made:
    for name in given.namelist():
        made.writestr(name, evil.getvalue() if "/sample_inputs/" in name else given.read(name))
"""


@pytest.mark.slow
def test_a_pickle_in_a_pytorch_artifact_is_not_run(template: Path, tmp_path: Path) -> None:
    need("pytorch")
    project = create(template, tmp_path / "made", project_name="Thing", package="thing", framework="pytorch")
    project.python("train.py")
    project.python("-c", DOCTOR)
    load_it = "from pathlib import Path; from thing.model import Model; Model(Path('artifacts/evil.pt2'))"
    done = project.python("-c", load_it, check=False)
    assert done.returncode == 1
    assert "UnpicklingError: Weights only load failed" in done.stderr
    assert not (project.path / "ran").exists()


@pytest.mark.slow
@pytest.mark.docker
@pytest.mark.parametrize("framework", ["lightgbm", "xgboost"])
def test_the_image_has_what_the_framework_needs(template: Path, tmp_path: Path, framework: str) -> None:
    """Slim images lack libraries that wheels take for granted. ONNX's image is in tests/verify/test_image_target.py."""
    need(framework)
    project = create(template, tmp_path / "made", project_name="Thing", package="thing", framework=framework)
    project.python("train.py")
    image, docker = f"protoserve-test:{framework}", os.environ.get("DOCKER", "docker")
    lock = ["pip", "compile", "--quiet", "--universal", "--generate-hashes", "--python-version", "3.12"]
    files = ["requirements/server.txt", "requirements/model.txt", "--output-file", "requirements.lock"]
    run([tool("uv"), *lock, "--no-python-downloads", *files], cwd=project.path)
    run([tool("hadolint"), "Dockerfile"], cwd=project.path)
    environment = os.environ | {"DOCKER_BUILDKIT": "1"}
    try:
        run([docker, "build", "--tag", image, "."], cwd=project.path, env=environment)
        done = project.python("scripts/image_smoke.py", "--docker", docker, image)
    finally:
        run([docker, "image", "rm", "--force", image], cwd=project.path, env=environment, check=False)
    assert "answers, stops with 0" in done.stdout


def test_an_enum_of_one_value_leaves_nothing_to_classify() -> None:
    contract = loads(seed("x: float64 -> label: Label(only), scores: float64[1]", "thing", Path()))
    assert not example_methods(contract, load("python"))[0].classify


def test_the_default_is_the_real_iris(iris: Project) -> None:
    """That train.py uses these 150 rows, tests/docs/test_start_page.py sees."""
    from sklearn.datasets import load_iris

    rows = (iris.path / "data/examples.csv").read_text(encoding="utf-8").splitlines()
    data = load_iris()
    species = [data.target_names[target] for target in data.target]
    wanted = [
        ",".join([*(f"{value:.1f}" for value in row), name]) for row, name in zip(data.data, species, strict=True)
    ]
    assert rows[1:] == wanted
