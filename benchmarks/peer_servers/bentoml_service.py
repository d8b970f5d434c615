"""BentoML, as its documentation shows it, with adaptive batching."""

from __future__ import annotations

import bentoml
import numpy as np
import rows_model


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Iris:
    def __init__(self) -> None:
        self.model = rows_model.load()

    @bentoml.api(batchable=True, max_batch_size=32)
    def predict(self, rows: np.ndarray) -> np.ndarray:
        return np.asarray(self.model(rows))
