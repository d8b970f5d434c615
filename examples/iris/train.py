"""Trains a small model on data/examples.csv and writes its artifact: `make model`.

This file is yours: train on your own data instead.
"""

from __future__ import annotations

import csv
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from iris.contract import PredictRequest, Species
from iris.model import ARTIFACT, features
from iris.server.artifact import refuse_to_replace, seal


def main() -> None:
    refuse_to_replace(ARTIFACT)
    rows, targets = read_examples()
    estimator = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(rows, targets)
    print(f"predict: score {estimator.score(rows, targets):.3f} on the {len(rows)} rows it was trained on")
    ARTIFACT.parent.mkdir(parents=True, exist_ok=True)
    partial = ARTIFACT.with_name(f"partial-{ARTIFACT.name}")
    skops.io.dump(estimator, partial)
    partial.replace(ARTIFACT)
    seal(ARTIFACT, "scikit-learn")
    print(f"wrote {ARTIFACT}")


def read_examples() -> tuple[NDArray[Any], NDArray[Any]]:
    """Rows of features, and for each the index of its Species."""
    with open("data/examples.csv", newline="", encoding="utf-8") as file:
        examples = list(csv.DictReader(file))
    requests = [
        PredictRequest(
            sepal_length=float(row["sepal_length"]),
            sepal_width=float(row["sepal_width"]),
            petal_length=float(row["petal_length"]),
            petal_width=float(row["petal_width"]),
        )
        for row in examples
    ]
    labels = [list(Species).index(Species[row["species"].upper()]) for row in examples]
    return np.array([features(request) for request in requests], dtype=float), np.array(labels)


if __name__ == "__main__":
    main()
