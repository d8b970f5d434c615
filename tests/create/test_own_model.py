"""The example model answers without a line written, and a model of the author's own takes a few lines of model.py."""

from __future__ import annotations

import csv
import difflib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from protoserve.seeds.frameworks import frameworks
from serving import PATIENCE, Probe, Server, serving
from support import Project, create, need, run, tool

SPECIES = ("setosa", "versicolor", "virginica")  # the contract's order
MEASURES = ("sepal_length", "sepal_width", "petal_length", "petal_width")
BUDGET = 15  # lines of model.py
DAILY = ("python",)


@dataclass(frozen=True)
class Own:
    """A model that was made without protoserve, and how its author puts it into the project.

    `train` has `flowers`, `columns` and `species` (see TRAIN). It writes the model to `artifact` and sets `predicted`:
    for every flower what the model itself says of each of SPECIES. `edits` are lines of the seed's model.py and what
    stands there afterwards; `files` are the author's other files. `written_with` is the distribution to seal it with;
    without one it is sealed by sha256sum.
    """

    artifact: str
    train: str
    edits: tuple[tuple[str, str], ...]
    files: dict[str, str] = field(default_factory=dict)
    written_with: str | None = None


TRAIN = """\
import csv, json, sys
import numpy as np

data, artifact, predictions = sys.argv[1:]
with open(data, encoding="utf-8") as file:
    flowers = list(csv.DictReader(file))
species = np.array([flower["species"] for flower in flowers])

def columns(*names, kind=np.float64):
    return np.array([[float(flower[name]) for name in names] for flower in flowers], kind)

{train}
with open(predictions, "w", encoding="utf-8") as file:
    json.dump(np.asarray(predicted, np.float64).tolist(), file)
"""
ALL_FEATURES = "[request.sepal_length, request.sepal_width, request.petal_length, request.petal_width]"

OWN = {
    # A forest on two of the measures, the other way round, with texts as classes; skops wants its trees reviewed.
    "sklearn": Own(
        artifact="forest.skops",
        train="""
import skops.io
from sklearn.ensemble import RandomForestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler

rows = columns("petal_width", "petal_length")
estimator = make_pipeline(MinMaxScaler(), RandomForestClassifier(10, random_state=1)).fit(rows, species)
skops.io.dump(estimator, artifact)
predicted = estimator.predict_proba(rows)
""",
        edits=(
            ("artifacts/model.skops", "artifacts/forest.skops"),
            ("TRUSTED: list[str] = []", 'TRUSTED = ["sklearn.tree._tree.Tree"]'),
            (ALL_FEATURES, "[request.petal_width, request.petal_length]"),
        ),
        written_with="scikit-learn",
    ),
    # A booster that knows its features by name, and the classes in an order of its own.
    "xgboost": Own(
        artifact="flowers.json",
        train="""
import xgboost

names = ["petal width", "petal length", "sepal width", "sepal length"]
rows = columns("petal_width", "petal_length", "sepal_width", "sepal_length")
classes = [["virginica", "versicolor", "setosa"].index(name) for name in species]
matrix = xgboost.DMatrix(rows, label=classes, feature_names=names)
booster = xgboost.train({"objective": "multi:softprob", "num_class": 3, "eta": 0.2}, matrix, num_boost_round=8)
booster.save_model(artifact)
predicted = booster.predict(matrix)[:, ::-1]
""",
        edits=(
            ("artifacts/model.ubj", "artifacts/flowers.json"),
            (
                'PARAMETERS = {"nthread": 1}\n',
                'PARAMETERS = {"nthread": 1}\nNAMES = ["petal width", "petal length", "sepal width", "sepal length"]\n',
            ),
            (
                "outputs = self.booster.inplace_predict(rows)\n",
                "matrix = xgboost.DMatrix(rows, feature_names=NAMES)\n"
                "        outputs = self.booster.predict(matrix)[:, ::-1]  # virginica comes first in the model\n",
            ),
            (ALL_FEATURES, "[request.petal_width, request.petal_length, request.sepal_width, request.sepal_length]"),
        ),
        written_with="xgboost-cpu" if sys.platform != "darwin" else "xgboost",
    ),
    # A random forest from scikit-learn's side of the library, on products of the measures.
    "lightgbm": Own(
        artifact="forest.txt",
        train="""
import lightgbm

sizes = columns("petal_length", "petal_width", "sepal_length", "sepal_width")
rows = np.column_stack([sizes[:, 0] * sizes[:, 1], sizes[:, 2] * sizes[:, 3]])
classifier = lightgbm.LGBMClassifier(
    boosting_type="rf", n_estimators=12, subsample=0.7, subsample_freq=1, random_state=3, verbosity=-1
).fit(rows, species)
classifier.booster_.save_model(artifact)
predicted = classifier.predict_proba(rows)
""",
        edits=(
            ("artifacts/model.txt", "artifacts/forest.txt"),
            (ALL_FEATURES, "[request.petal_length * request.petal_width, request.sepal_length * request.sepal_width]"),
        ),
        written_with="lightgbm",
    ),
    # What skl2onnx gives without options: float32 in, a label and a dict of probabilities out.
    "onnx": Own(
        artifact="flowers.onnx",
        train="""
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import QuantileTransformer, StandardScaler

rows = columns("petal_width", "petal_length", "sepal_length", kind=np.float32)
estimator = make_pipeline(StandardScaler(), LogisticRegression(C=0.3)).fit(rows, species)
with open(artifact, "wb") as file:
    file.write(to_onnx(estimator, rows[:1]).SerializeToString())
predicted = estimator.predict_proba(rows)
""",
        edits=(
            ("artifacts/model.onnx", "artifacts/flowers.onnx"),
            (
                '(outputs,) = self.session.run(["probabilities"], {"X": rows})\n',
                '_, found = self.session.run(None, {"X": rows.astype(np.float32)})\n'
                "        outputs = np.array([[row[species.name.lower()] for species in Species] for row in found])\n",
            ),
            (ALL_FEATURES, "[request.petal_width, request.petal_length, request.sepal_length]"),
        ),
        written_with="onnxruntime",
    ),
    # A network in float32 that gives scores, not probabilities.
    "pytorch": Own(
        artifact="network.pt2",
        train="""
import torch

torch.manual_seed(5)
rows = torch.from_numpy(columns("petal_width", "petal_length", "sepal_width", kind=np.float32))
classes = torch.tensor([["setosa", "versicolor", "virginica"].index(name) for name in species])
network = torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3))
optimizer = torch.optim.Adam(network.parameters(), lr=0.05)
for _ in range(200):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(network(rows), classes).backward()
    optimizer.step()
program = torch.export.export(network.eval(), (rows[:2],), dynamic_shapes=({0: torch.export.Dim("batch")},))
torch.export.save(program, artifact)
with torch.inference_mode():
    predicted = network(rows).softmax(dim=1).numpy()
""",
        edits=(
            ("artifacts/model.pt2", "artifacts/network.pt2"),
            (
                "network(torch.from_numpy(rows).to(DEVICE)).cpu().numpy()",
                "network(torch.from_numpy(rows).float().to(DEVICE)).softmax(dim=1).cpu().numpy()",
            ),
            (ALL_FEATURES, "[request.petal_width, request.petal_length, request.sepal_width]"),
        ),
        written_with="torch",
    ),
    # A class that its author had before, in a file of its own.
    "python": Own(
        artifact="centroids.json",
        train="""
names = ("petal_width", "petal_length", "sepal_width", "sepal_length")
rows = columns(*names)
centroids = np.array([rows[species == name].mean(axis=0) for name in ("setosa", "versicolor", "virginica")])
with open(artifact, "w", encoding="utf-8") as file:
    json.dump(centroids.tolist(), file)
closeness = 1 / (1e-9 + ((rows[:, np.newaxis] - centroids) ** 2).sum(axis=2))
predicted = closeness / closeness.sum(axis=1, keepdims=True)
""",
        files={
            "src/iris/centroids.py": '''\
"""Says of a flower how close it is to the middle of each species."""

import json
from pathlib import Path


class Centroids:
    def __init__(self, file: Path) -> None:
        self.centroids: list[list[float]] = json.loads(file.read_text(encoding="utf-8"))

    def shares(self, flower: list[float]) -> list[float]:
        closeness = [1 / (1e-9 + self.distance(flower, centroid)) for centroid in self.centroids]
        return [one / sum(closeness) for one in closeness]

    def distance(self, flower: list[float], centroid: list[float]) -> float:
        return sum((one - other) ** 2 for one, other in zip(flower, centroid, strict=True))
'''
        },
        edits=(
            ("artifacts/model.npz", "artifacts/centroids.json"),
            (
                "from iris.contract import",
                "from iris.centroids import Centroids\nfrom iris.contract import",
            ),
            (
                "        with np.load(artifact, allow_pickle=False) as arrays:  # a pickle could run code\n"
                "            self.arrays = {name: arrays[name] for name in arrays.files}\n",
                "        self.centroids = Centroids(artifact)\n",
            ),
            (
                "        rows = np.array([features(request) for request in batch], dtype=float)\n"
                '        scores = np.exp(4.0 * self._outputs("predict", rows))\n'
                "        outputs = scores / scores.sum(axis=1, keepdims=True)\n"
                "        return [response(row) for row in outputs]\n"
                "\n"
                "    def _outputs(self, method: str, rows: NDArray[Any]) -> NDArray[Any]:\n"
                '        """One row of outputs for each row of features."""\n'
                "        mean, scale, weights = "
                '(self.arrays[f"{method}_{name}"] for name in ("mean", "scale", "weights"))\n'
                "        return np.asarray(np.column_stack([(rows - mean) / scale, np.ones(len(rows))]) @ weights)\n",
                "        return [response(np.array(self.centroids.shares(features(request)))) for request in batch]\n",
            ),
            (ALL_FEATURES, "[request.petal_width, request.petal_length, request.sepal_width, request.sepal_length]"),
        ),
    ),
}


def cases() -> Iterator[Any]:
    for framework in frameworks():
        yield pytest.param(framework, marks=[] if framework in DAILY else [pytest.mark.slow])


@pytest.fixture(scope="module", params=list(cases()))
def project(request: pytest.FixtureRequest, template: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A new project with a framework: asked as it is by the first test, with another model in it by the second."""
    need(request.param)
    return create(template, tmp_path_factory.mktemp(request.param) / "iris", framework=request.param)


@pytest.fixture
def framework(project: Project) -> str:
    return project.path.parent.name.rstrip("0123456789")


def content(project: Project) -> dict[str, bytes]:
    files = (path for path in project.path.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(project.path).as_posix(): path.read_bytes() for path in files}


def flowers(project: Project) -> list[dict[str, str]]:
    with (project.path / "data" / "examples.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_the_first_right_reply_takes_no_line_of_the_user(project: Project) -> None:
    before = content(project)
    project.python("train.py")
    with serving(Probe(project.path, project.package)) as server:
        reply = json.loads(project.python("scripts/predict.py", "--target", f"localhost:{server.port}").stdout)
        assert server.messages("WARNING") == ""
    sample = json.loads((project.path / "tests" / "requests" / "Predict.json").read_text(encoding="utf-8"))
    same = [flower for flower in flowers(project) if all(float(flower[name]) == sample[name] for name in MEASURES)]
    known = same[0]["species"]
    assert reply["species"] == f"SPECIES_{known.upper()}"
    assert reply["probabilities"][SPECIES.index(known)] > 0.8
    assert len(reply["probabilities"]) == len(SPECIES)
    after = content(project)
    assert {name: data for name, data in after.items() if not name.startswith("artifacts/model.")} == before


def put_in(own: Own, project: Project) -> list[list[float]]:
    """Trains the model elsewhere, does what its author does in the project, and returns what the model predicts."""
    elsewhere = project.path.parent / "elsewhere"
    elsewhere.mkdir()
    script = TRAIN.replace("{train}", own.train)
    files = [project.path / "data" / "examples.csv", project.path / "artifacts" / own.artifact, "predictions.json"]
    run([sys.executable, "-c", script, *files], cwd=elsewhere)
    model = project.path / "src" / "iris" / "model.py"
    source = model.read_text(encoding="utf-8")
    for old, new in own.edits:
        assert source.count(old) == 1, f"the seed has no longer one {old!r}"
        source = source.replace(old, new)
    model.write_text(source, encoding="utf-8")
    for name, text in own.files.items():
        (project.path / name).write_text(text, encoding="utf-8")
    if own.written_with is None:
        seal = f"sha256sum {own.artifact} > {own.artifact}.sha256"
        run(["sh", "-c", seal], cwd=project.path / "artifacts")
    else:
        seal = f"seal(Path('artifacts/{own.artifact}'), '{own.written_with}')"
        project.python("-c", f"from pathlib import Path; from iris.server.artifact import seal; {seal}")
    predicted: list[list[float]] = json.loads((elsewhere / "predictions.json").read_text(encoding="utf-8"))
    return predicted


def changed_lines(before: str, after: str) -> int:
    """How many lines an author replaces: those that go or those that come, whichever are more."""
    marks = [line[0] for line in difflib.ndiff(before.splitlines(), after.splitlines())]
    return max(marks.count("-"), marks.count("+"))


def ask(server: Server, flower: dict[str, str]) -> Any:
    """The reply to a flower, for a client that knows nothing but the address."""
    pool = descriptor_pool.DescriptorPool(ProtoReflectionDescriptorDatabase(server.channel))
    request, response = (
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"iris.v1.{name}"))
        for name in ("PredictRequest", "PredictResponse")
    )
    call = server.channel.unary_unary(
        "/iris.v1.PredictionService/Predict", request.SerializeToString, response.FromString
    )
    return call(request(**{name: float(flower[name]) for name in MEASURES}), timeout=PATIENCE)


@pytest.fixture
def mypy_knows(framework: str, request: pytest.FixtureRequest) -> None:
    """What mypy has read before: of the framework's library, too, if it has one."""
    request.getfixturevalue("mypy_knows_libraries" if framework in DAILY else "mypy_knows_frameworks")


@pytest.mark.slow
@pytest.mark.usefixtures("mypy_knows")
def test_a_model_of_ones_own_takes_few_lines(project: Project, framework: str) -> None:
    model = project.path / "src" / "iris" / "model.py"
    seed = model.read_text(encoding="utf-8")
    predicted = put_in(OWN[framework], project)
    assert 0 < changed_lines(seed, model.read_text(encoding="utf-8")) <= BUDGET

    run([tool("ruff"), "check", "--no-cache", "."], cwd=project.path)
    run([tool("ruff"), "format", "--no-cache", "--check", "."], cwd=project.path)
    project.python("-m", "mypy")
    project.python("-m", "pytest", "--quiet", "tests/test_model.py")
    with serving(Probe(project.path, project.package)) as server:
        assert server.messages("WARNING") == ""
        found = set()
        for flower, wanted in list(zip(flowers(project), predicted, strict=True))[::10]:
            reply = ask(server, flower)
            assert list(reply.probabilities) == pytest.approx(wanted, abs=1e-5)
            found.add(reply.species)
            assert reply.species == wanted.index(max(wanted)) + 1
        assert found == {1, 2, 3}
