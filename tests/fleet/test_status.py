"""`protoserve fleet status`: what it reports of many projects, what it runs of them, and what it does not do twice."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from commands import run_copy
from fleet_projects import KINDS, Fleet, make_fleet
from releases import Work, commit, edit, environment, git
from small_template import make_three_releases

Bare = Callable[[str], Path]
FleetFile = Callable[..., Path]
ROWS = ["template", "answers", "generated", "conflicts", "contract", "files", "policy"]


def status(fleet: Path, home: Path, *options: str, code: int, **variables: str) -> dict[str, Any]:
    """The report as JSON."""
    arguments = ("fleet", "status", str(fleet), "--format", "json", *options)
    env = {**environment(home), **variables}
    done = run_copy("protoserve", *arguments, cwd=fleet.parent, env=env, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert done.stderr == ""
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def empty_home(tmp_path: Path) -> Path:
    """A home without caches."""
    home = tmp_path / "home"
    home.mkdir()
    return home


def push(bare: Path, work: Path, change: Callable[[Path], object]) -> None:
    """Commits a change to the repository's main branch."""
    git(bare.parent, "clone", "--quiet", str(bare), str(work))
    change(work)
    commit(work, "work")
    git(work, "push", "--quiet", "origin", "HEAD:main")


def test_projects_that_can_be_judged_and_those_that_cannot(
    first: Work, bare: Bare, fleet_file: FleetFile, tmp_path: Path
) -> None:
    home = empty_home(tmp_path)
    good = bare("iris.git")
    trace = tmp_path / "executed"
    foreign = bare("foreign.git")
    push(foreign, tmp_path / "w1", lambda work: (work / ".copier-answers.yml").write_text(answers_of_foreign(trace)))
    plain = bare("plain.git")
    push(plain, tmp_path / "w2", lambda work: git(work, "rm", "--quiet", "-r", "."))
    git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "empty.git"))
    mono = bare("mono.git")
    push(mono, tmp_path / "w3", make_mono)
    fleet = fleet_file(
        {"path": "iris.git", "owner": "risk", "labels": ["eu"]},
        {"url": f"file://{mono}", "folder": "services/iris"},
        f"file://{foreign}",
        str(plain),
        "empty.git",
        "https://user:SECRET@127.0.0.1:1/nothing.git",
        {"url": str(good), "branch": "other"},
        {"url": f"file://{mono}", "folder": "services/nothing"},
        {"url": f"file://{mono}", "folder": "link"},
        {"url": f"file://{mono}", "folder": "link/iris"},
    )
    report = status(fleet, home, code=2)
    assert list(report)[:3] == ["verdict", "projects", "totals"]
    assert report["verdict"] == "unknown"
    assert [project["project"] for project in report["projects"]][:3] == [
        "iris.git",
        f"file://{mono}#services/iris",
        f"file://{foreign}",
    ]
    judged = report["projects"][:2]
    for project in judged:
        assert [row["name"] for row in project["rows"]] == ROWS
        states = {row["name"]: row["state"] for row in project["rows"]}
        assert states == {**dict.fromkeys(ROWS, "ok"), "template": "todo"}, project["rows"]
        assert (project["verdict"], project["version"], project["project_name"]) == ("todo", "v1.0.0", "iris")
    assert (judged[0]["owner"], judged[0]["labels"]) == ("risk", ["eu"])
    kinds = []
    for project in report["projects"][2:]:
        (row,) = project["rows"]
        assert (project["verdict"], row["name"], row["state"]) == ("unknown", "repository", "unknown")
        kinds += row["details"]
    assert kinds == [
        "foreign template",
        "no answers file",
        "empty",
        "unreachable",
        "branch",
        "folder",
        "folder",
        "folder",
    ]
    assert not trace.exists()
    assert "SECRET" not in json.dumps(report)
    totals = report["totals"]
    assert {name: totals[name] for name in ("projects", "ok", "todo", "unknown")} == {
        "projects": 10,
        "ok": 0,
        "todo": 2,
        "unknown": 8,
    }
    assert totals["versions"] == {"v1.0.0": 2}
    assert totals["rows"]["template"] == {"todo": 2}

    kept = {path: path.stat().st_mtime_ns for path in (home / "cache/protoserve/fleet/reports").iterdir()}
    assert len(kept) == 9  # all but the one that cannot be reached
    assert status(fleet, home, code=2) == report
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    (chosen,) = status(fleet, home, "--only", "services/iris", "--fail-on", "answers", code=0)["projects"]
    assert chosen["project"] == f"file://{mono}#services/iris"
    push(good, tmp_path / "w4", lambda work: edit(work / "Makefile", "\n", "\n# mine\n"))
    (changed,) = status(fleet, home, "--label", "eu", code=1)["projects"]
    assert changed["rows"][5]["details"]["edited"] == ["Makefile"]
    assert "+# mine\n" in changed["diff"]


def answers_of_foreign(trace: Path) -> str:
    """Answers that name a template whose task leaves a trace."""
    folder = trace.with_name("attack")
    (folder / "generator").mkdir(parents=True)
    command = [sys.executable, "-c", f"open({str(trace)!r}, 'w')"]
    (folder / "copier.yml").write_text(yaml.safe_dump({"_tasks": [command]}), encoding="utf-8")
    (folder / "generator" / "run.py").write_text(f"open({str(trace)!r}, 'w')", encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "attack")
    return f"_src_path: {folder}\n_commit: main\npackage: iris\nframework: python\n"


def make_mono(work: Path) -> None:
    """Moves the project into services/iris, with a link beside it."""
    (work / "services" / "iris").mkdir(parents=True)
    for path in list(work.iterdir()):
        if path.name not in (".git", "services"):
            path.rename(work / "services" / "iris" / path.name)
    (work / "link").symlink_to("services")
    with (work / "services" / "iris" / ".copier-answers.yml").open("a") as file:
        file.write("_reviewed: 2027-01-31\n")  # a date, which JSON does not have


@pytest.mark.slow
def test_each_kind_of_drift_is_reported_as_by_a_lone_status(tmp_path: Path) -> None:
    fleet = make_fleet(tmp_path / "fleet", len(KINDS), make_three_releases)
    report = status(fleet.file, fleet.home, code=2)
    assert len(report["projects"]) == len(fleet.projects)
    for planted, project in zip(fleet.projects, report["projects"], strict=True):
        assert project["verdict"] == planted.verdict, project
        if not planted.kind.unknown:
            assert not planted.differences(project["rows"])
            assert project["rows"] == lone(fleet, planted.url, planted.folder)


def lone(fleet: Fleet, url: str, folder: str) -> list[dict[str, Any]]:
    """The rows of `protoserve status` in a clone."""
    clone = fleet.folder / "clones" / url.rpartition("/")[2]
    if not clone.exists():
        git(fleet.folder, "clone", "--quiet", url, str(clone))
    done = Work(clone / folder, fleet.home).status("--format", "json", check=False)
    rows: list[dict[str, Any]] = json.loads(done.stdout)["rows"]
    return rows
