"""What an update of a fleet did for each project, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

CONFLICTS, FAILED = 3, 1


class State(StrEnum):
    """How a project came out.

    UPDATED: its branch is new or has been brought up to date; in a dry run, it would be. UNCHANGED: an earlier run has
    done it. NEWEST: there is nothing to do. CONFLICTS: a person has to decide. TAKEN: its branch has commits of
    somebody else. REFUSED: the update is not allowed. FAILED: it can be tried again.
    """

    UPDATED = "updated"
    UNCHANGED = "unchanged"
    NEWEST = "newest"
    CONFLICTS = "conflicts"
    TAKEN = "taken"
    REFUSED = "refused"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one project. `text` says why, and what to do; `mirror` is the repository that has the branch."""

    project: str
    state: State
    text: str = ""
    before: str = ""
    after: str = ""
    branch: str = ""
    commit: str = ""
    mirror: str = ""
    pushed: bool = False
    conflicts: tuple[str, ...] = ()
    summary: str = ""
    diff: str = ""


@dataclass(frozen=True, slots=True)
class UpdateReport:
    """The results in the order of the fleet."""

    results: Sequence[Result]
    dry_run: bool

    @property
    def exit_code(self) -> int:
        """1 if one has failed or was refused, else 3 if one waits for a person, else 0."""
        states = {result.state for result in self.results}
        if states & {State.FAILED, State.REFUSED}:
            return FAILED
        return CONFLICTS if states & {State.CONFLICTS, State.TAKEN} else 0

    @property
    def verdict(self) -> str:
        """The exit code in a word."""
        return {0: "ok", CONFLICTS: "conflicts", FAILED: "failed"}[self.exit_code]

    @property
    def totals(self) -> dict[str, int]:
        """How many projects there are, and how many in each state."""
        counted: Counter[str] = Counter(result.state.value for result in self.results)
        return {"projects": len(self.results), **{state.value: counted[state.value] for state in State}}

    def as_data(self) -> dict[str, Any]:
        """The whole report as JSON has it."""
        projects = [
            {
                "project": result.project,
                "state": result.state.value,
                "text": result.text,
                "before": result.before,
                "after": result.after,
                "branch": result.branch,
                "commit": result.commit,
                "mirror": result.mirror,
                "pushed": result.pushed,
                "conflicts": list(result.conflicts),
                "summary": result.summary,
                **({"diff": result.diff} if self.dry_run else {}),
            }
            for result in self.results
        ]
        return {"verdict": self.verdict, "dry_run": self.dry_run, "projects": projects, "totals": self.totals}
