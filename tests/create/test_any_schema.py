"""Any schema with any framework runs at once, and its example model really looks at the request."""

from __future__ import annotations

from pathlib import Path

import pytest

from conftest import FRAUD
from protoserve.frameworks import frameworks
from support import create

SCHEMAS = {
    "one-number": "x: float64 -> y: float64",
    "classes": "a: float32, b: int16 -> label: Label(low|mid|high), scores: float64[3]",
    "tensors": "left: float32[n, 4], right?: uint8[2, 3], mask: bool[n] -> out: float32[n, 2], total: uint64",
    "texts": "texts: string[], weights: map<string, float64> -> best: string, ranks: int32[]",
    "stream": "prompt: string, temperature?: float32 -> stream token: string, probability: float32",
    "fraud": FRAUD,
}

# Every numeric input of the sample request is changed in turn, as its type and limits allow, until the reply changes.
PROBE = """
import dataclasses, sys
import numpy as np
from {package}.contract import METHODS
from {package}.model import ARTIFACT, Model

model = Model(ARTIFACT)

def answer(method, request):
    call = getattr(model, method.attribute)
    replies = list(call(request)) if method.streaming else call([request])
    return [method.encode(reply) for reply in replies]

def changes(value):
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int) and not hasattr(value, "name"):
        return [value + 1, value - 1, value + 3, value + 7]
    if isinstance(value, float):
        return [value + 0.5, value - 0.5, value * 0.9 + 0.01, value * 2 + 3]
    if isinstance(value, np.ndarray) and value.dtype != bool:
        return [(value + 1).astype(value.dtype), (value * 0.5).astype(value.dtype)]
    return []

for method in METHODS:
    request = method.decode(method.sample())
    before = answer(method, request)
    for field in dataclasses.fields(request):
        tried = changes(getattr(request, field.name))
        asked = [dataclasses.replace(request, **{{field.name: new}}) for new in tried]
        if asked and all(answer(method, other) == before for other in asked):
            sys.exit(f"{{method.name}}.{{field.name}} changes nothing")
        print(method.name, field.name, len(tried))
"""


@pytest.mark.parametrize("framework", frameworks())
@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_seed_trains_serves_and_listens(template: Path, tmp_path: Path, framework: str, schema: str) -> None:
    answer = SCHEMAS[schema]
    if "->" not in answer:
        (tmp_path / "given.yaml").write_text(answer, encoding="utf-8")
        answer = str(tmp_path / "given.yaml")
    project = create(
        template, tmp_path / "made", project_name="Thing", package="thing", framework=framework, schema=answer
    )
    project.python("train.py")
    project.python("-m", "pytest", "--quiet", "tests")
    done = project.python("-c", PROBE.format(package="thing"))
    assert done.stdout


def test_the_default_is_the_real_iris(iris: object) -> None:
    from sklearn.datasets import load_iris

    from support import Project

    assert isinstance(iris, Project)
    rows = (iris.path / "data/examples.csv").read_text(encoding="utf-8").splitlines()
    data = load_iris()
    species = [data.target_names[target] for target in data.target]
    wanted = [
        ",".join([*(f"{value:.1f}" for value in row), name]) for row, name in zip(data.data, species, strict=True)
    ]
    assert rows[1:] == wanted
    done = iris.python("train.py")
    assert "150 rows" in done.stdout
