"""The model that all peers serve: a function from rows of numbers to rows of probabilities.

Needs nothing but numpy and the library that reads the artifact, since it runs in the environment of each peer.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

HELD_SECONDS = 2
# A first number with which a row lets the model hold Python's interpreter lock, if HOLD_GIL is set.
HOLD_GIL_AT = 29.5


def load() -> Callable[[Any], Any]:
    """The model of the artifact that MODEL_PATH names."""
    predict = load_artifact(Path(os.environ["MODEL_PATH"]))
    return _holding_the_gil(predict) if os.environ.get("HOLD_GIL") else predict


def load_artifact(artifact: Path) -> Callable[[Any], Any]:
    """The model of a `.skops` or an `.onnx` file."""
    if artifact.suffix == ".onnx":
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(artifact, options, providers=["CPUExecutionProvider"])
        return lambda rows: session.run(["probabilities"], {"X": rows})[0]
    import skops.io

    estimator: Any = skops.io.load(artifact)
    return lambda rows: estimator.predict_proba(rows)


def _holding_the_gil(predict: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def predict_or_hold(rows: Any) -> Any:
        if rows[0, 0] == HOLD_GIL_AT:
            ctypes.PyDLL(None).sleep(HELD_SECONDS)  # unlike CDLL, PyDLL does not release the lock for a call
        return predict(rows)

    return predict_or_hold
