"""Which projects of a fleet a command takes: `--only`, `--label` and `--shard`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from protoserve.fleet.model import Fleet, Project
from protoserve.fleet.trust import identity
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError

MOST_SHARDS = 1000


class SelectionError(ProtoserveError):
    """No project is selected."""


@dataclass(frozen=True, slots=True)
class Shard:
    """The part `number`, from 1 to `count`, of a fleet."""

    number: int
    count: int

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """The shard that a text such as 3/8 names. Raises ValueError."""
        match = re.fullmatch(r"([1-9]\d{0,3})/([1-9]\d{0,3})", text.strip())
        shard = cls(int(match[1]), int(match[2])) if match else None
        if shard is None or shard.number > shard.count or shard.count > MOST_SHARDS:
            raise ValueError(f"must be PART/PARTS, such as 3/8, with at most {MOST_SHARDS} parts, not {text!r}")
        return shard

    def has(self, project: Project) -> bool:
        """Whether a project belongs to this part. All projects of a repository belong to the same one."""
        digest = hashlib.sha256(identity(project.address).encode("utf-8", "surrogateescape")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


@dataclass(frozen=True, slots=True)
class Selection:
    """Projects that match one of the patterns and have one of the labels, where any are given."""

    only: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def of(self, fleet: Fleet) -> list[Project]:
        """The selected projects in the order of the fleet. Raises SelectionError if a pattern or label has none."""
        for pattern in self.only:
            if not any(_matches(project, pattern) for project in fleet.projects):
                raise SelectionError(f"--only {pattern} matches no project of {fleet.file}: compare it with the urls")
        for label in self.labels:
            if not any(label in project.labels for project in fleet.projects):
                raise SelectionError(f"no project of {fleet.file} has the label {label}: compare it with `labels`")
        chosen = [project for project in fleet.projects if self._has(project)]
        if not chosen:
            raise SelectionError("no project has such a label and matches --only: leave one of the two out")
        return chosen

    def _has(self, project: Project) -> bool:
        by_name = not self.only or any(_matches(project, pattern) for pattern in self.only)
        return by_name and (not self.labels or bool({*self.labels} & {*project.labels}))


def _matches(project: Project, pattern: str) -> bool:
    """Whether a shell pattern names a project: by its whole name, or the last part of its repository or folder."""
    return any(fnmatchcase(name, pattern) for name in _names(project))


def _names(project: Project) -> Sequence[str]:
    repository = without_credentials(project.source)
    last = re.split(r"[/:\\]", repository.rstrip("/"))[-1]
    names = [project.name, repository, last, last.removesuffix(".git")]
    return [*names, project.folder, project.folder.rpartition("/")[2]] if project.folder else names
