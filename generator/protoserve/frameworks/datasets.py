"""Readable code that gives train.py its rows and targets: from a CSV file, or drawn at random."""

from __future__ import annotations

from protoserve.contract.model import Contract, Field
from protoserve.contract.types import Kind
from protoserve.frameworks.naming import Seeded

PATH = "data/examples.csv"


def from_csv(contract: Contract, item: Seeded) -> str:
    """A function that reads requests and labels from the data of a preset: plain columns, one label."""
    assert item.label is not None  # presets bring data only for classifications
    assert item.enum is not None
    request = item.method.request
    parts = ", ".join(f"{field.name}={_parsed(field)}" for field in request.fields)
    enum = item.enum.name
    return f'''def {item.dataset}(rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of features, and for each the index of its {enum}, in random order."""
    with open("{PATH}", newline="", encoding="utf-8") as file:
        examples = list(csv.DictReader(file))
    requests = [{request.name}({parts}) for row in examples]
    labels = [list({enum}).index({enum}[row["{item.label.name}"].upper()]) for row in examples]
    order = rng.permutation(len(examples))
    return np.array([{item.features}(request) for request in requests])[order], np.array(labels)[order]
'''


def _parsed(field: Field) -> str:
    value = f'row["{field.name}"]'
    if field.scalar is not None and field.scalar.kind is Kind.FLOAT:
        return f"float({value})"
    return f"int({value})" if field.scalar is not None and field.scalar.kind is Kind.INT else value


def drawn(contract: Contract, item: Seeded, outputs: int) -> str:
    """A function that draws requests and makes up targets that depend on every feature."""
    head = f'''def {item.dataset}(rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of features, and for each {_targets(item)} that depends on all of them."""
    rows = np.array([{item.features}({item.random}(rng)) for _ in range(ROWS)])
    scale = rows.std(axis=0)
    scale[scale == 0] = 1.0
    weights = rng.uniform(0.5, 1.5, (rows.shape[1], {1 if item.classify else outputs})) / np.sqrt(rows.shape[1])
    scores = (rows - rows.mean(axis=0)) / scale @ weights
'''
    if item.classify:
        count = len(item.enum.values) if item.enum is not None else 1
        edges = "[]" if count == 1 else f"np.quantile(scores, np.linspace(0, 1, {count + 1})[1:-1])"
        return f"{head}    return rows, np.digitize(scores[:, 0], {edges})\n"
    return f"{head}    return rows, 1.0 / (1.0 + np.exp(-scores))\n"


def _targets(item: Seeded) -> str:
    return (
        f"the index of a {item.enum.name}"
        if item.enum is not None and item.classify
        else "a row of numbers from 0 to 1"
    )
