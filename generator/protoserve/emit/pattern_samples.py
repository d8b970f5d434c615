"""Texts that match a pattern, for samples."""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import re2
import rstr

_TRIES = 200
# Parts of a pattern that are written, and characters of a class that are looked at, for all tries together: a pattern
# of a few characters, such as `(((a*)*)*)*`, can stand for a text of gigabytes.
_STEPS = 200_000


class _TooMuchWorkError(Exception):
    pass


class _Writer(rstr.Rstr):
    """Writes texts by a random generator, within a number of steps."""

    def __init__(self, generator: random.Random, steps: int) -> None:
        super().__init__(generator)
        self.steps = steps

    def _handle_state(self, state: Any) -> Any:
        opcode, value = state
        self.steps -= value[1] - value[0] + 1 if opcode.name == "RANGE" else 1
        if self.steps < 0:
            raise _TooMuchWorkError
        return super()._handle_state(state)


@lru_cache(maxsize=1024)
def text(pattern: str, least: int, most: int | None) -> str | None:
    """A text of `least` to `most` characters that matches; None if none could be made, and the author must give one."""
    compiled = re2.compile(pattern)
    steps = _STEPS
    for seed in range(_TRIES):
        writer = _Writer(random.Random(seed), steps)
        try:
            candidate = writer.xeger(pattern)
        except Exception:  # RE2 knows forms that the writer does not
            return None
        steps = writer.steps
        candidate += "a" * (least - len(candidate))
        if (most is None or len(candidate) <= most) and compiled.search(candidate) and candidate.isprintable():
            return candidate
    return None
