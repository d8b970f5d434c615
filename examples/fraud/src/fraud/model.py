"""The model: loads its artifact once, then answers requests, a batch at a time.

This file is yours. It serves the example model that train.py makes. Put your own in its place: any class with these
methods will do.

It can refuse a request with a status code that callers act on:
`raise RequestRefused("NOT_FOUND", "there is no user 7")`. A model that cannot answer anybody any more can say so, and
health follows: it raises ModelBroken, or has a method `ready(self) -> bool`, which the server asks now and then. The
contract package has both exceptions, and InvalidRequest.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.contract import (
    ExplainRequest,
    ExplainResponse,
    ScoreRequest,
    ScoreResponse,
)

ARTIFACT = Path("artifacts/model.npz")


class Model:
    """Serves a linear model for each method, in plain numpy."""

    def __init__(self, artifact: Path) -> None:
        with np.load(artifact, allow_pickle=False) as arrays:  # a pickle could run code
            self.arrays = {name: arrays[name] for name in arrays.files}

    def score(self, batch: Sequence[ScoreRequest]) -> Sequence[ScoreResponse]:
        rows = np.array([score_features(request) for request in batch], dtype=float)
        outputs = self._outputs("score", rows)
        return [score_response(row) for row in outputs]

    def explain(self, request: ExplainRequest) -> Iterator[ExplainResponse]:
        rows = np.array([explain_features(request)], dtype=float)
        outputs = self._outputs("explain", rows)
        for _ in range(3):
            yield explain_response(outputs[0])

    def _outputs(self, method: str, rows: NDArray[Any]) -> NDArray[Any]:
        """One row of outputs for each row of features."""
        mean, scale, weights = (self.arrays[f"{method}_{name}"] for name in ("mean", "scale", "weights"))
        return np.asarray(np.column_stack([(rows - mean) / scale, np.ones(len(rows))]) @ weights)


def score_features(request: ScoreRequest) -> list[float]:
    """The numbers that the model computes with; their count is the same for every request."""
    return [
        *words(request.merchant.merchant_id),
        *words(request.merchant.country),
        request.cents,
        *words(request.currency),
        request.channel,
        len(request.history),
        *words(request.card or ""),
        *words(request.account or ""),
    ]


def score_response(outputs: NDArray[Any]) -> ScoreResponse:
    """Builds the reply from the model's outputs, which are numbers from 0 to 1."""
    outputs = np.clip(outputs, 0.0, 1.0)
    return ScoreResponse(score=float(outputs[0]), reasons=[f"{outputs[1]:.6f}"])


def explain_features(request: ExplainRequest) -> list[float]:
    """The numbers that the model computes with; their count is the same for every request."""
    return [*statistics(request.embedding)]


def explain_response(outputs: NDArray[Any]) -> ExplainResponse:
    """Builds the reply from the model's outputs, which are numbers from 0 to 1."""
    outputs = np.clip(outputs, 0.0, 1.0)
    return ExplainResponse(reason=f"{outputs[0]:.6f}", weight=scale(outputs[1], -1.0, 1.0))


def words(text: str) -> list[float]:
    """How often each of eight groups of words is in a text. A real model would embed it."""
    counts = [0.0] * 8
    for word in text.lower().split():
        counts[zlib.crc32(word.encode()) % 8] += 1.0
    return counts


def statistics(array: NDArray[Any] | None) -> list[float]:
    """Mean, deviation, minimum and maximum of an array. A real model would take the array itself."""
    if array is None or array.size == 0:
        return [0.0] * 4
    values = array.astype(float)
    return [finite(value) for value in (values.mean(), values.std(), values.min(), values.max())]


def finite(value: float) -> float:
    """A number that any model can compute with, for one that may be NaN or infinite."""
    return float(np.clip(np.nan_to_num(value), -1e9, 1e9))


def scale(output: Any, low: float, high: float) -> Any:
    """From 0..1 to low..high."""
    return np.clip(low + (high - low) * output, low, high)  # rounding could lead just beyond
