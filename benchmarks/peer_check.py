"""Rows whose right answers are known, and calls that compare what a server answers with them."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rows_model
from peer_protocols import Client, Row

SAMPLE_SECONDS = 0.05
# ONNX computes with 32 bits, and so do some replies.
TOLERANCE = 1e-5


class WrongReply(Exception):
    """A server answered something else than the model does."""


@dataclass(frozen=True)
class KnownRows:
    """Rows within the limits of the contract, and the model's probabilities for them."""

    rows: Sequence[Row]
    answers: Sequence[Sequence[float]]

    @classmethod
    def of(cls, artifact: Path, count: int = 500) -> KnownRows:
        """Rows that are the same in each run."""
        rng = random.Random(18)
        rows = [tuple(rng.uniform(low, low + 4) for low in (4, 2, 1, 0.1)) for _ in range(count)]
        return cls(rows, rows_model.load_artifact(artifact)(np.array(rows)).tolist())

    def check_one(self, client: Client, number: int) -> None:
        """Asks for one of the rows; raises WrongReply, or what the call raises."""
        row, wanted = self.rows[number % len(self.rows)], self.answers[number % len(self.rows)]
        got = client.probabilities(row)
        if not (len(got) == len(wanted) and np.allclose(got, wanted, rtol=0, atol=TOLERANCE)):
            raise WrongReply(f"for {row} it answered {got} instead of {wanted}")


class Sampling(threading.Thread):
    """Checks a reply 20 times a second while the block runs; `problem` is the first that went wrong."""

    def __init__(self, known: KnownRows, client: Client) -> None:
        super().__init__(daemon=True)
        self.problem: Exception | None = None
        self.checked = 0
        self._known, self._client = known, client
        self._end = threading.Event()

    def run(self) -> None:
        """Runs in the thread."""
        while self.problem is None:
            try:
                self._known.check_one(self._client, self.checked)
            except Exception as error:  # of any client
                self.problem = error
            self.checked += 1
            if self._end.wait(SAMPLE_SECONDS):
                return

    def __enter__(self) -> Sampling:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self.join()
