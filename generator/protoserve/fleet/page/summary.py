"""What the page says of all projects together: versions, checks, rules of the policy, and drift of files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from packaging.version import InvalidVersion, Version

from protoserve.fleet.page.projects import STATES, UNKNOWN_VERSION, VERDICTS, Project

_OLDEST_LOOK = 4
_MOST_FINDINGS = 3
# What `git describe` prints for a commit after a tag.
_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<commits>\d{1,9})-g[0-9a-f]+")


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a bar: what it counts, where it lies, in per cent of the bar, and the class that colours it."""

    name: str
    count: int
    start: float
    width: float
    look: str
    per_cent: str


@dataclass(frozen=True, slots=True)
class Check:
    """A row of the status over all projects."""

    name: str
    parts: Sequence[Part]


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule of the policy: how many projects break it and are excepted from it, and what it finds most often."""

    name: str
    broken: int
    excepted: int
    findings: Sequence[tuple[str, int]]


@dataclass(frozen=True, slots=True)
class FileDrift:
    """A file of the template: how many projects edited and deleted it, of those that should have it; and its bar."""

    name: str
    edited: int
    deleted: int
    projects: int
    parts: Sequence[Part]

    @property
    def drifted(self) -> int:
        """How many projects do not have the file as the template does."""
        return self.edited + self.deleted

    @property
    def heat(self) -> int:
        """Their share in five steps, the last of which begins at two fifths."""
        return min(5, 1 + 10 * self.drifted // self.projects)

    @property
    def per_cent(self) -> str:
        """Their share, for people."""
        return per_cent(self.drifted, self.projects)


def parts(counts: Iterable[tuple[str, int, str]], total: int | None = None) -> list[Part]:
    """The parts of a bar from their names, counts and looks, in this order; they fill it unless `total` is more."""
    filled = [part for part in counts if part[1]]
    total = total or sum(count for _, count, _ in filled)
    result: list[Part] = []
    before = 0
    for name, count, look in filled:
        start, width = (round(100 * number / total, 3) for number in (before, count))
        result.append(Part(name, count, start, width, look, per_cent(count, total)))
        before += count
    return result


def per_cent(count: int, total: int) -> str:
    """A share for people, who must not read nothing or everything where it is almost so."""
    if 0 < 100 * count < total:
        return "< 1 %"
    return f"{min(99, round(100 * count / total)) if count < total else 100} %"


def verdicts(projects: Sequence[Project]) -> list[Part]:
    """How many projects have each verdict."""
    counts = Counter(project.verdict for project in projects)
    return parts((verdict, counts[verdict], verdict) for verdict in VERDICTS)


def versions(projects: Sequence[Project]) -> list[Part]:
    """How many projects are on each version of the template, the newest version first and paler with age."""
    counts = Counter(project.version for project in projects)
    names = sorted(counts, key=version_order, reverse=True)
    looks = {name: f"age-{min(age, _OLDEST_LOOK)}" for age, name in enumerate(names)}
    return parts((name, counts[name], "none" if name == UNKNOWN_VERSION else looks[name]) for name in names)


def version_order(version: str) -> tuple[bool, Version, int, str]:
    """Sorts v1.10.0 after v1.9.0, after v1.10.0rc1 and before v1.10.0-2-g2043abc; what names no release comes first."""
    described = _DESCRIBED.fullmatch(version)
    try:
        release = Version(described["tag"] if described else version)
    except InvalidVersion:
        return False, Version("0"), 0, version
    return True, release, int(described["commits"]) if described else 0, version


def checks(projects: Sequence[Project]) -> list[Check]:
    """How many projects have each state in each row, in the order of the rows."""
    names = dict.fromkeys(row.name for project in projects for row in project.rows)
    counts = Counter((row.name, row.state) for project in projects for row in project.rows)
    states = {name: [(state, counts[name, state], state) for state in STATES] for name in names}
    return [Check(name, parts(states[name], len(projects))) for name in names]


def columns(projects: Sequence[Project]) -> list[str]:
    """The rows that a project has which can be judged: one that cannot has a single row, which says why."""
    return list(dict.fromkeys(row.name for project in projects if len(project.rows) > 1 for row in project.rows))


def rules(projects: Sequence[Project]) -> list[Rule]:
    """The rules of the policy that some project breaks or is excepted from, the most broken first."""
    broken = Counter(rule for project in projects for rule in rules_of(project, excepted=False))
    excepted = Counter(rule for project in projects for rule in rules_of(project, excepted=True))
    texts = Counter((item.rule, item.text) for project in projects for item in project.findings)
    names = sorted(broken | excepted, key=lambda name: (-broken[name], name))
    found = {name: [(text, count) for (rule, text), count in texts.most_common() if rule == name] for name in names}
    return [Rule(name, broken[name], excepted[name], found[name][:_MOST_FINDINGS]) for name in names]


def rules_of(project: Project, *, excepted: bool) -> list[str]:
    """The names of the rules that a project breaks, or is excepted from, each once."""
    return list(dict.fromkeys(item.rule for item in project.findings if item.excepted == excepted))


def drift(projects: Sequence[Project]) -> list[FileDrift]:
    """The files of the template that some project edited or deleted, the most drifted first.

    The longest bar is that of the first, unless less than a quarter of all projects edited or deleted it.
    """
    edited = Counter(name for project in projects for name in project.edited)
    deleted = Counter(name for project in projects for name in project.deleted)
    unchanged = Counter(name for project in projects for name in project.unchanged)
    drifted = edited + deleted
    scale = max(max(drifted.values(), default=0), len(projects) // 4)
    return [
        FileDrift(
            name,
            edited[name],
            deleted[name],
            drifted[name] + unchanged[name],
            parts([("edited", edited[name], "edited"), ("deleted", deleted[name], "deleted")], scale),
        )
        for name in sorted(drifted, key=lambda name: (-drifted[name], name))
    ]
