"""Trains a small model on made-up data and writes its artifact: `make model`.

This file is yours: train on your own data instead.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fraud.contract import (
    METHODS,
)
from fraud.model import ARTIFACT, explain_features, score_features
from fraud.server.artifact import refuse_to_replace, seal

ROWS = 300


def main() -> None:
    refuse_to_replace(ARTIFACT)
    rng = np.random.default_rng(0)
    arrays: dict[str, NDArray[Any]] = {}
    rows = made_up_rows(score_features(sample_request("Score")), rng)
    targets = made_up_numbers(rows, 2, rng)
    arrays |= fit("score", rows, targets)
    rows = made_up_rows(explain_features(sample_request("Explain")), rng)
    targets = made_up_numbers(rows, 2, rng)
    arrays |= fit("explain", rows, targets)
    ARTIFACT.parent.mkdir(parents=True, exist_ok=True)
    partial = ARTIFACT.with_name(f"partial-{ARTIFACT.name}")
    np.savez(partial, allow_pickle=False, **arrays)
    partial.replace(ARTIFACT)
    seal(ARTIFACT, "numpy")
    print(f"wrote {ARTIFACT}")


def sample_request(name: str) -> Any:
    """The contract's sample request for the method of this name."""
    method = next(method for method in METHODS if method.name == name)
    return method.decode(method.sample())


def made_up_rows(row: list[float], rng: np.random.Generator) -> NDArray[Any]:
    """Rows of features around a known one."""
    return rng.normal(row, 1.0 + np.abs(row) / 10, (ROWS, len(row)))


def made_up_numbers(rows: NDArray[Any], count: int, rng: np.random.Generator) -> NDArray[Any]:
    """For each row `count` numbers from 0 to 1, which depend on all of its features."""
    deviation = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    weights = rng.uniform(0.5, 1.5, (rows.shape[1], count)) * rng.choice([-1.0, 1.0], (rows.shape[1], count))
    numbers: NDArray[Any] = 1.0 / (1.0 + np.exp(-deviation @ weights / np.sqrt(rows.shape[1])))
    return numbers


def fit(method: str, rows: NDArray[Any], targets: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Fits ridge regression on features scaled to mean 0 and deviation 1."""
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale[scale <= 1e-12 * np.abs(mean)] = 1.0  # a constant feature
    inputs = np.column_stack([(rows - mean) / scale, np.ones(len(rows))])
    weights = np.linalg.solve(inputs.T @ inputs + 1e-3 * np.eye(inputs.shape[1]), inputs.T @ targets)
    error = np.sqrt(np.mean((inputs @ weights - targets) ** 2))
    print(f"{method}: error {error:.3f} on the {len(rows)} rows it was trained on")
    return {f"{method}_mean": mean, f"{method}_scale": scale, f"{method}_weights": weights}


if __name__ == "__main__":
    main()
