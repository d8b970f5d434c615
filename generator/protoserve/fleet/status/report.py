"""The result of `protoserve fleet status`, as plain data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from protoserve.platform.printing import printable
from protoserve.project.status.report import Row, State

# The one row of a project that cannot be judged. It always counts.
REPOSITORY = "repository"


class Verdict(StrEnum):
    """Of the rows that count: all are ok; one needs action; one could not be determined."""

    OK = "ok"
    TODO = "todo"
    UNKNOWN = "unknown"


EXIT_CODES = {Verdict.OK: 0, Verdict.TODO: 1, Verdict.UNKNOWN: 2}


@dataclass(frozen=True, slots=True)
class ProjectReport:
    """The rows of one project.

    `template` and `version` are what it records, `title` its answer `project_name`, `commit` what was judged. `diff`
    leads from the template's files to those that the project edited or deleted.
    """

    name: str
    rows: tuple[Row, ...]
    owner: str = ""
    labels: tuple[str, ...] = ()
    branch: str = ""
    commit: str = ""
    title: str = ""
    template: str = ""
    version: str = ""
    diff: str = ""

    def verdict(self, fail_on: frozenset[str]) -> Verdict:
        """The verdict if the rows `fail_on` count."""
        return _verdict({row.state for row in self.rows if counts(row, fail_on)})

    def row(self, name: str) -> Row | None:
        """The row of a name."""
        return next((row for row in self.rows if row.name == name), None)


@dataclass(frozen=True, slots=True)
class FleetReport:
    """The projects in the order of `fleet.yaml`, and the rows that count.

    `fleet` identifies the projects that were selected before `shard`, such as 3/8, took its part; "" for all of them.
    """

    projects: tuple[ProjectReport, ...]
    fail_on: frozenset[str]
    fleet: str = ""
    shard: str = ""

    @property
    def verdict(self) -> Verdict:
        """The worst verdict of a project, where `unknown` is the worst."""
        return _verdict({State(project.verdict(self.fail_on)) for project in self.projects})

    @property
    def exit_code(self) -> int:
        """0, 1 or 2, as `protoserve status` has it."""
        return EXIT_CODES[self.verdict]

    @property
    def totals(self) -> dict[str, Any]:
        """How many projects there are: by verdict, by version (of those that could be judged), by state of each row."""
        verdicts = Counter(project.verdict(self.fail_on) for project in self.projects)
        judged = [project for project in self.projects if project.row(REPOSITORY) is None]
        versions = Counter(project.version for project in judged)
        states: dict[str, Counter[str]] = {}
        for project in self.projects:
            for row in project.rows:
                states.setdefault(row.name, Counter())[row.state] += 1
        return {
            "projects": len(self.projects),
            **{verdict.value: verdicts[verdict] for verdict in Verdict},
            "versions": dict(sorted(versions.items())),
            "rows": {name: dict(sorted(counted.items())) for name, counted in states.items()},
        }


def counts(row: Row, fail_on: frozenset[str]) -> bool:
    """Whether a row counts for the verdict."""
    return row.name in fail_on or row.name == REPOSITORY


def _verdict(states: set[State]) -> Verdict:
    if State.UNKNOWN in states:
        return Verdict.UNKNOWN
    return Verdict.OK if states <= {State.OK} else Verdict.TODO


def unknown(kind: str, reason: str, remedy: str = "") -> Row:
    """The row of a project that cannot be judged; `kind` is one word for the reason, which its details list."""
    return Row(REPOSITORY, State.UNKNOWN, reason, {kind: [reason]}, remedy).without_credentials()


def row_data(row: Row, fail_on: frozenset[str]) -> dict[str, Any]:
    """A row as JSON has it; the keys are those of `protoserve status`."""
    return {
        "name": row.name,
        "state": row.state.value,
        "counts": counts(row, fail_on),
        "said": row.text,
        "details": {kind: list(lines) for kind, lines in row.details.items()},
        "remedy": row.remedy,
    }


def row_of(data: Mapping[str, Any]) -> Row:
    """The row that `row_data` wrote. Raises KeyError, TypeError and ValueError for other data."""
    details = {str(kind): [str(line) for line in lines] for kind, lines in dict(data["details"]).items()}
    text, remedy = str(data.get("said", "")), str(data.get("remedy", ""))
    return Row(printable(str(data["name"])), State(data["state"]), text, details, remedy)
