"""What a status says, as plain data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class State(StrEnum):
    """How a row stands: as it should be, needs doing, was edited by its author, or could not be found out."""

    OK = "ok"
    TODO = "todo"
    EDITED = "edited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was looked at: `said` is a line for people, `details` names what it counts, `remedy` a command."""

    name: str
    state: State
    said: str
    details: Mapping[str, list[str]] = field(default_factory=dict)
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """The rows of one project, and which of them count for the exit code."""

    project: str
    template: str
    version: str
    rows: tuple[Row, ...]
    fail_on: Collection[str]

    @property
    def exit_code(self) -> int:
        """Of the rows that count, 0: all are as they should be; 2: one could not be found out; 1: anything else."""
        states = {row.state for row in self.rows if row.name in self.fail_on}
        return 2 if State.UNKNOWN in states else 0 if states <= {State.OK} else 1
