"""Readable code that gives train.py its rows and targets: from a CSV file, or drawn at random."""

from __future__ import annotations

from protoserve.schema.model import Contract, Field
from protoserve.schema.types import Kind
from protoserve.seeds.identifiers import Seeded

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


def drawn(item: Seeded) -> str:
    """A function that draws requests and makes up targets that depend on every feature."""
    head = f'''def {item.dataset}(rng: np.random.Generator) -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of features, and for each {_targets(item)} that depends on all of them."""
    rows = np.array([{_draw(item)}])
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale <= 1e-12 * np.abs(mean)] = 1.0  # a feature that is always the same
    size = (rows.shape[1], {1 if item.classify else item.outputs})
    weights = rng.uniform(0.5, 1.5, size) * rng.choice([-1.0, 1.0], size) / np.sqrt(rows.shape[1])
    scores = (rows - mean) / scale @ weights
'''
    if item.classify:
        return f"{head}    return rows, scores[:, 0].argsort().argsort() * {item.outputs} // ROWS  # equal shares\n"
    return f"{head}    return rows, 1.0 / (1.0 + np.exp(-scores))\n"


def _draw(item: Seeded) -> str:
    if item.rows:
        return f"row for _ in range(ROWS) for row in {item.features}({item.random}(rng))"
    return f"{item.features}({item.random}(rng)) for _ in range(ROWS)"


def _targets(item: Seeded) -> str:
    return (
        f"the index of a {item.enum.name}"
        if item.enum is not None and item.classify
        else "a row of numbers from 0 to 1"
    )
