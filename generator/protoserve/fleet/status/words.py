"""What the formats of a fleet's status for people say in the same words."""

from __future__ import annotations

from protoserve.fleet.status.report import REPOSITORY, FleetReport, ProjectReport, Verdict, counts
from protoserve.platform.plain_text import one_line
from protoserve.project.status.options import ROWS
from protoserve.project.status.report import Row, State


def row_names(report: FleetReport) -> list[str]:
    """The names of the columns: the rows of a status, and that of what could not be judged where it occurs."""
    present = {row.name for project in report.projects for row in project.rows}
    known = [*ROWS, REPOSITORY]
    return [name for name in (*known, *sorted(present.difference(known))) if name in present]


def state_text(row: Row | None, fail_on: frozenset[str]) -> str:
    """The state of a row; one that does not count is in parentheses."""
    if row is None:
        return ""
    return row.state.value if counts(row, fail_on) or row.state is State.OK else f"({row.state})"


def to_do(project: ProjectReport, fail_on: frozenset[str]) -> str:
    """What each row that counts and is not ok says."""
    rows = [row for row in project.rows if counts(row, fail_on) and row.state is not State.OK]
    return "; ".join(one_line(f"{row.name}: {row.text}") for row in rows)


def total_lines(report: FleetReport) -> list[str]:
    """The totals: of verdicts, of versions, and of each row that is not ok everywhere."""
    totals = report.totals
    shard = f" (part {report.shard})" if report.shard else ""
    verdicts = ", ".join(f"{totals[verdict]} {verdict}" for verdict in Verdict)
    lines = [f"{totals['projects']} projects{shard}: {verdicts}"]
    if totals["versions"]:
        versions = (f"{count} at {one_line(name)}" for name, count in totals["versions"].items())
        lines.append(f"versions: {', '.join(versions)}")
    for name, states in totals["rows"].items():
        wrong = [f"{count} {state}" for state, count in states.items() if state != State.OK]
        if wrong:
            lines.append(f"{name}: {', '.join(wrong)}")
    return lines
