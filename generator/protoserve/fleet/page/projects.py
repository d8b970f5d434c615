"""The projects of a report as the page shows them. Every text is bounded and free of characters that act."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from protoserve.fleet.fair_share import fair_share
from protoserve.fleet.page.diffs import Diff, bytes_in_page, read_diffs
from protoserve.platform.credentials import without_credentials
from protoserve.platform.plain_text import one_line

STATES = {"ok": "ok", "todo": "to do", "edited": "edited", "unknown": "unknown"}  # and the words for people
VERDICTS = ("ok", "todo", "unknown")
UNKNOWN_VERSION = "unknown"
_ORDER = ("todo", "unknown", "ok")  # of verdicts in the table
_MOST_LINES = 50  # of one kind of detail, such as the unmerged files
_LONGEST_TEXT = 500  # characters
_DIFFS_TOGETHER = 3_500_000  # bytes of all diffs, so that the page of 200 projects stays below 5 MB
# The kinds of details that are not listed: `rules` has the rule of each line of `violations`.
_NOT_LISTED = ("unchanged", "rules")
_RULE = re.compile(r" \(([\w.-]+) in policy\.yaml\)")
_HOST = re.compile(r"[a-z+]+://[^/]*/|[^/:]+:(?!//)", re.IGNORECASE)  # of a URL, or of git's short form of one for ssh
_PACKAGE = re.compile(r"src/([^/]+)/")


@dataclass(frozen=True, slots=True)
class Row:
    """The state of one thing in a project, and whether it counts for the verdict.

    `count` is the number of its details; `cut` of these are not listed.
    """

    name: str
    state: str
    text: str
    details: Mapping[str, Sequence[str]]
    remedy: str
    counts: bool
    count: int
    cut: int


@dataclass(frozen=True, slots=True)
class Finding:
    """What a rule of the policy finds in a project, in words that are the same in every project with the same fault."""

    rule: str
    text: str
    excepted: bool


@dataclass(frozen=True, slots=True)
class Project:
    """A project. Of its template files, those that it edited or deleted and the rest have the names in the template."""

    name: str
    address: str
    about: Mapping[str, str]
    verdict: str
    version: str
    owner: str
    labels: Sequence[str]
    rows: Sequence[Row]
    findings: Sequence[Finding]
    edited: Sequence[str]
    deleted: Sequence[str]
    unchanged: Sequence[str]
    package: str
    diffs: Sequence[Diff]

    def row(self, name: str) -> Row | None:
        """The row of that name, if the project has it."""
        return next((row for row in self.rows if row.name == name), None)


def read_projects(document: Mapping[str, Any]) -> list[Project]:
    """The projects of the JSON document of `fleet status`, the ones with something to do first."""
    listed = document["projects"]
    longest_diff = fair_share((bytes_in_page(project.get("diff", "")) for project in listed), _DIFFS_TOGETHER)
    names = Counter(short_name(project["project"]) for project in listed)
    projects = [_project(project, names, longest_diff) for project in listed]
    return sorted(projects, key=lambda project: _ORDER.index(project.verdict))


def short_name(address: str) -> str:
    """The last two parts of a path, after the host: `https://git.example/risk/fraud.git` is `risk/fraud`."""
    repository, separator, folder = address.partition("#")
    path = _HOST.sub("", repository).rstrip("/").removesuffix(".git")
    return "/".join(path.split("/")[-2:]) + separator + folder


def _project(project: Mapping[str, Any], names: Counter[str], longest_diff: int) -> Project:
    address = project["project"]
    details = {row["name"]: row["details"] for row in project["rows"]}
    files: Mapping[str, Sequence[str]] = details.get("files", {})
    package = _package(files)
    short = short_name(address)
    return Project(
        name=_text(short if names[short] == 1 else f"{address} {project.get('branch', '')}"),
        address=_text(address),
        about={
            key: _text(project[key]) for key in ("project_name", "branch", "commit", "template") if project.get(key)
        },
        verdict=project["verdict"] if project["verdict"] in VERDICTS else "unknown",
        version=_text(project.get("version") or UNKNOWN_VERSION),
        owner=_text(project.get("owner", "")),
        labels=[_text(label) for label in project.get("labels", ())],
        rows=[_row(row) for row in project["rows"]],
        findings=_findings(details.get("policy", {}), package),
        edited=_files_of_template(files.get("edited", ()), package),
        deleted=_files_of_template(files.get("deleted", ()), package),
        unchanged=_files_of_template(files.get("unchanged", ()), package),
        package=_text(package),
        diffs=read_diffs(project.get("diff", ""), longest_diff),
    )


def _package(files: Mapping[str, Sequence[str]]) -> str:
    """The name of the project's package, the one folder in `src` in which the template has files."""
    return next((match[1] for names in files.values() for name in names if (match := _PACKAGE.match(name))), "")


def _files_of_template(names: Sequence[str], package: str) -> list[str]:
    return [_text(of_every_project(name, package)) for name in names]


def of_every_project(text: str, package: str) -> str:
    """The text with `{package}` for the project's own: `src/fraud/server/logs.py` is `src/{package}/server/logs.py`."""
    return text.replace(f"src/{package}/", "src/{package}/") if package else text


def _findings(policy: Mapping[str, Sequence[str]], package: str) -> list[Finding]:
    """What the row of the policy lists.

    A violation has the form `WHERE: WHAT: WHY (RULE in policy.yaml); REMEDY`, with an exception in place of the remedy.
    """
    found: list[Finding] = []
    for kind in ("violations", "excepted"):
        for line in policy.get(kind, ()):
            if rule := _RULE.search(line):
                excepted = kind == "excepted"
                before, after = line[: rule.start()].partition(": ")[2], line[rule.end() :].removeprefix("; ")
                text = _text(of_every_project(after if excepted else before, package))
                found.append(Finding(_text(rule[1]), text, excepted))
    return found


def _row(row: Mapping[str, Any]) -> Row:
    listed = {kind: lines for kind, lines in row["details"].items() if kind not in _NOT_LISTED and lines}
    details = {_text(kind): [_text(line) for line in lines[:_MOST_LINES]] for kind, lines in listed.items()}
    count = sum(map(len, listed.values()))
    return Row(
        name=_text(row["name"]),
        state=row["state"] if row["state"] in STATES else "unknown",
        text=_text(row.get("said", "")),
        details=details,
        remedy=_text(row.get("remedy", "")),
        counts=bool(row.get("counts", True)),
        count=count,
        cut=count - sum(map(len, details.values())),
    )


def _text(text: object) -> str:
    return _shown(str(text))


@lru_cache(20_000)  # the same names and sentences come up in many projects
def _shown(text: str) -> str:
    line = one_line(without_credentials(text) if "://" in text else text)
    return line if len(line) <= _LONGEST_TEXT else f"{line[:_LONGEST_TEXT]} …"
