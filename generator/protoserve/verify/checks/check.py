"""The record that describes a check."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from protoserve.verify.options import PLATFORMS
from protoserve.verify.report import Finding

KINDS = ("address", "project", "command", "image")


@dataclass(frozen=True, slots=True)
class Check:
    """A check: `id` never changes, `title` says in a few words what a server that passes does.

    `run` takes the Session. `after` is the id of the check that this one builds upon: if that fails, this one is
    skipped. `platforms` and `kinds` are the platforms and kinds of target that it applies to. A run without the verdict
    of a `decisive` check is unjudged. After one that `ends_server` no method is expected to answer.
    """

    id: str
    title: str
    run: Callable[..., Finding]
    after: str | None = None
    platforms: tuple[str, ...] = PLATFORMS
    kinds: tuple[str, ...] = KINDS
    decisive: bool = False
    ends_server: bool = False
