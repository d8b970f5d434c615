"""Which projects `--only`, `--label` and `--shard` take, and what joins the parts again."""

from __future__ import annotations

import json
from argparse import Namespace
from pathlib import Path

import pytest

from protoserve.cli import main
from protoserve.fleet.model import Fleet, Project
from protoserve.fleet.report_command import PartError, join, report
from protoserve.fleet.selection import Selection, SelectionError, Shard
from protoserve.fleet.status.output import FORMATS, as_data
from protoserve.fleet.status.report import FleetReport, ProjectReport
from protoserve.project.status.report import Row, State

PROJECTS = tuple(Project(f"https://h.example/{name}.git", f"https://h.example/{name}.git") for name in "abcdefgh")
MONO = "git@h.example:team/mono.git"
FLEET = Fleet(
    Path("fleet.yaml"),
    ("gh:a/b",),
    (
        *PROJECTS,
        Project(MONO, MONO, folder="services/churn", labels=("eu",)),
        Project(MONO, MONO, folder="services/fraud", labels=("eu", "canary")),
        Project("https://me:SECRET@h.example/z.git", "https://me:SECRET@h.example/z.git"),
    ),
)


def names(*only: str, labels: tuple[str, ...] = ()) -> list[str]:
    return [project.name for project in Selection(only, labels).of(FLEET)]


def test_only_and_label() -> None:
    churn, fraud = f"{MONO}#services/churn", f"{MONO}#services/fraud"
    assert names("a") == names("a.git") == names("https://h.example/a.git") == ["https://h.example/a.git"]
    assert names("mono", "churn") == [churn, fraud]
    assert names("services/c*") == names(churn) == [churn]
    assert names("*/z.git") == ["https://h.example/z.git"]
    assert names(labels=("canary", "eu")) == [churn, fraud]
    assert names("churn", "a", labels=("eu",)) == [churn]
    with pytest.raises(SelectionError, match=r"--only x matches no project of fleet\.yaml"):
        names("a", "x")
    with pytest.raises(SelectionError, match=r"no project of fleet\.yaml has the label us"):
        names(labels=("us",))
    with pytest.raises(SelectionError, match=r"no project has such a label and matches --only"):
        names("a", labels=("eu",))


def test_shards_are_all_projects_once_and_keep_a_repository_together() -> None:
    parts = [[project for project in FLEET.projects if Shard(number, 3).has(project)] for number in (1, 2, 3)]
    assert sorted(project.name for part in parts for project in part) == sorted(
        project.name for project in FLEET.projects
    )
    assert sum(any(project.address == MONO for project in part) for part in parts) == 1
    assert str(Shard.parse(" 3/8 ")) == "3/8"
    for wrong in ("0/8", "9/8", "3", "3/", "a/b", "-1/2", "1/1001"):
        with pytest.raises(ValueError, match="must be PART/PARTS, such as 3/8"):
            Shard.parse(wrong)


def part(
    shard: str, *projects: str, fleet: str = "f", fail_on: str = "answers", state: State = State.OK
) -> FleetReport:
    rows = (Row("answers", state, "said", {"missing": ["port"]}, "do it"),)
    made = (ProjectReport(name, rows, "risk", ("eu",), "main", "c0ffee", name, "t", "v1", "diff") for name in projects)
    return FleetReport(tuple(made), frozenset([fail_on]), fleet, shard)


def test_parts_are_joined(tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [part("2/2", "b", state=State.TODO), part("1/2", "a")]
    paths = [tmp_path / "2.json", tmp_path / "1.json"]
    for path, made in zip(paths, parts, strict=True):
        path.write_text(json.dumps(as_data(made)), encoding="utf-8")
    assert report(Namespace(parts=paths, format="json")) == 1
    whole = FleetReport((parts[1].projects[0], parts[0].projects[0]), frozenset(["answers"]), "f")
    assert json.loads(capfd.readouterr().out) == as_data(whole)
    assert report(Namespace(parts=paths, format="markdown")) == 1
    assert "2 projects: 1 ok, 1 todo, 0 unknown" in capfd.readouterr().out
    paths[0].write_text(paths[0].read_text().replace('"answers"', '"\\u001b[31m"'))  # a part that somebody has edited
    paths[1].write_text(paths[1].read_text().replace('"answers"', '"\\u001b[31m"'))
    for name in FORMATS:
        report(Namespace(parts=paths, format=name))
        assert "\x1b" not in capfd.readouterr().out
    monkeypatch.setattr("sys.stdout", None)  # as Python has it after `>&-`
    for name in FORMATS:
        report(Namespace(parts=paths, format=name))


@pytest.mark.parametrize("command", ["status", "update"])
def test_arguments_that_cannot_be_used_have_an_exit_code_of_their_own(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["fleet", command, str(tmp_path / "fleet.yaml")]) == 2
    (tmp_path / "fleet.yaml").write_text("templates: [gh:a/b]\nprojects: [gh:a/c]\n", encoding="utf-8")
    assert main(["fleet", command, str(tmp_path / "fleet.yaml"), "--shard", "4/3"]) == 2
    assert "--shard must be PART/PARTS, such as 3/8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([part("1/2", "a"), part("2/2", "b", fleet="g")], "1 and 0 are of different fleets"),
        ([part("1/2", "a"), part("2/2", "b", fail_on="files")], "1 and 0 have different --fail-on"),
        ([part("1/2", "a"), part("1/2", "a")], "0 and 1 are the same part, 1/2"),
        ([part("1/2", "a"), part("2/3", "b")], "the parts are of 2 and of 3 parts"),
        ([part("1/3", "a"), part("3/3", "b")], "missing: the parts 2/3"),
        ([part("1/2", "a"), part("2/2", "a")], "more than one part has a"),
    ],
)
def test_parts_that_cannot_be_joined(parts: list[FleetReport], message: str) -> None:
    with pytest.raises(PartError, match=message):
        join([(Path(str(number)), made) for number, made in enumerate(parts)])


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"projects": [{}], "shard": "", "fleet": "", "fail_on": []}', "[" * 99]
)
def test_files_that_are_not_parts(text: str, tmp_path: Path) -> None:
    path = tmp_path / "part.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PartError, match=r"part\.json is not (JSON|the report of a fleet): give the output of"):
        report(Namespace(parts=[path], format="json"))
    with pytest.raises(PartError, match=r"none\.json does not exist"):
        report(Namespace(parts=[tmp_path / "none.json"], format="json"))
