"""The model: loads its artifact once, then answers requests, a batch at a time.

This file is yours. It serves the example model that train.py makes. Put your own in its place: any class with these
methods will do.

It can refuse a request with a status code that callers act on:
`raise RequestRefused("NOT_FOUND", "there is no user 7")`. A model that cannot answer anybody any more can say so, and
health follows: it raises ModelBroken, or has a method `ready(self) -> bool`, which the server asks now and then. The
contract package has both exceptions, and InvalidRequest.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
from numpy.typing import NDArray

from iris.contract import PredictRequest, PredictResponse, Species

ARTIFACT = Path("artifacts/model.skops")

# skops loads only types that it knows to be safe, and those named here. `skops.io.get_untrusted_types(file=...)` lists
# the others in a file: review a type before you trust it.
TRUSTED: list[str] = []


class Model:
    """Serves a scikit-learn estimator."""

    def __init__(self, artifact: Path) -> None:
        self.estimator: Any = skops.io.load(artifact, trusted=TRUSTED)

    def predict(self, batch: Sequence[PredictRequest]) -> Sequence[PredictResponse]:
        rows = np.array([features(request) for request in batch], dtype=float)
        outputs = self.estimator.predict_proba(rows)
        return [response(row) for row in outputs]


def features(request: PredictRequest) -> list[float]:
    """The numbers that the model computes with; their count is the same for every request."""
    return [request.sepal_length, request.sepal_width, request.petal_length, request.petal_width]


def response(outputs: NDArray[Any]) -> PredictResponse:
    """Builds the reply from one probability per value of Species."""
    return PredictResponse(species=list(Species)[int(outputs.argmax())], probabilities=outputs)
