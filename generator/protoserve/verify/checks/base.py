"""What a check is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protoserve.verify.options import PLATFORMS
from protoserve.verify.report import Finding

KINDS = ("address", "project", "image")


@dataclass(frozen=True, slots=True)
class Check:
    """A check: `id` never changes, `asks` is its question in a few words.

    `run` takes the Session. `after` names the check whose failure makes this one meaningless: it is skipped then.
    `platforms` and `kinds` (of targets) are those that it is for.
    """

    id: str
    asks: str
    run: Callable[..., Finding]
    after: str | None = None
    platforms: tuple[str, ...] = PLATFORMS
    kinds: tuple[str, ...] = KINDS
