"""Documents like those of `fleet status --format json`, of any number of projects, without looking at any."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

from protoserve.policy import PolicyException, Violation

ROWS = ("template", "answers", "generated", "conflicts", "contract", "files", "policy")
VERSIONS = ("v2.0.0", "v1.10.0", "v1.9.0")
FILES = ("Dockerfile", "Makefile", "src/{package}/server/logs.py", "pyproject.toml")
PORT = Violation("answers.port", "port", "port must be at least 8000, not 7000", "the mesh routes these", "set it")
EXCEPTION = PolicyException("Model 1", "answers.port", date(2027, 3, 31), "moves with the old gateway")
UNREACHABLE = "it cannot be read: could not resolve host"


def document(count: int) -> dict[str, Any]:
    """A report of projects: each tenth cannot be read, the others go through versions, edits and violations."""
    return report([project(number) for number in range(count)])


def report(projects: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "verdict": "todo",
        "projects": projects,
        "totals": {},
        "fail_on": [name for name in ROWS if name != "files"],
        "fleet": "",
        "shard": "",
    }


def project(number: int) -> dict[str, Any]:
    package = f"model_{number}"
    data = {
        "project": f"https://git.example/team/model-{number}.git",
        "project_name": f"Model {number}",
        "branch": "",
        "commit": f"{number:040x}",
        "template": "https://git.example/platform/template.git",
        "owner": ("risk", "growth")[number % 2],
        "labels": ["eu"] if number % 3 == 0 else [],
        "diff": "",
    }
    if number % 10 == 9:
        return {**data, "verdict": "unknown", "version": "", "rows": [row("repository", "unknown", UNREACHABLE)]}
    version = VERSIONS[number % 3]
    edited = [name.format(package=package) for name in FILES[: number % 4]]
    unchanged = [name.format(package=package) for name in FILES[number % 4 :]]
    details: dict[str, dict[str, list[str]]] = {"files": {"edited": edited, "deleted": [], "unchanged": unchanged}}
    states = dict.fromkeys(ROWS, "ok") | {"files": "edited" if edited else "ok"}
    if version != VERSIONS[0]:
        states["template"] = "todo"
    if number % 5 == 0:
        states["policy"] = "todo"
        details["policy"] = {"violations": [PORT.line], "rules": [PORT.rule]}
    if number % 5 == 1:
        excepted = replace(PORT, exception=EXCEPTION)
        details["policy"] = {"excepted": [f"{excepted.where}: {excepted.sentence}"]}
    rows = [row(name, state, f"{name} of {number}", details.get(name)) for name, state in states.items()]
    todo = "todo" in states.values()
    diff = "".join(diff_of(name, number) for name in edited)
    return {**data, "verdict": "todo" if todo else "ok", "version": version, "rows": rows, "diff": diff}


def row(name: str, state: str, said: str, details: dict[str, list[str]] | None = None) -> dict[str, Any]:
    data = {"name": name, "state": state, "counts": name != "files", "said": said, "details": details or {}}
    return {**data, "remedy": "protoserve update" if state == "todo" else ""}


def diff_of(name: str, number: int) -> str:
    """An edit that puts one line in the place of another."""
    return f"--- a/{name}\n+++ b/{name}\n@@ -1,2 +1,2 @@\n first\n-of the template\n+edit {number} of the team\n"
