"""The result of `protoserve status`, as plain data."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from protoserve.platform.credentials import without_credentials


class State(StrEnum):
    """The state of a row: as it should be, needs action, edited by its author, or not possible to determine."""

    OK = "ok"
    TODO = "todo"
    EDITED = "edited"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Row:
    """The state of one thing: `text` is a line for people, `details` lists what it counts, `remedy` is a command."""

    name: str
    state: State
    text: str
    details: Mapping[str, list[str]] = field(default_factory=dict)
    remedy: str = ""

    def without_credentials(self) -> Row:
        """The row as it may be printed."""
        details = {kind: [*map(without_credentials, lines)] for kind, lines in self.details.items()}
        return Row(self.name, self.state, without_credentials(self.text), details, without_credentials(self.remedy))


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
        """Of the rows that count, 0: all are as they should be; 2: one is unknown; 1: anything else."""
        states = {row.state for row in self.rows if row.name in self.fail_on}
        return 2 if State.UNKNOWN in states else 0 if states <= {State.OK} else 1
