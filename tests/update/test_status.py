"""`protoserve status`: what it reports of a project, and the exit code that a CI job reads."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from protoserve.project import compared_file
from protoserve.project.status import rows as status_rows
from protoserve.project.status.recorded_template import Rendered
from protoserve.project.status.report import State
from releases import Work, git

ROWS = ["template", "answers", "generated", "conflicts", "contract", "files", "policy"]


def rows(work: Work, *options: str, code: int) -> dict[str, Any]:
    before = work.state()
    done = work.status("--format", "json", *options, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert work.state() == before
    report = json.loads(done.stdout)
    assert [row["name"] for row in report["rows"]] == ROWS
    assert report["exit_code"] == code
    return {row["name"]: row for row in report["rows"]}


def test_a_project_that_only_lags_behind(work: Work) -> None:
    by_name = rows(work, code=1)
    assert {name: row["state"] for name, row in by_name.items()} == {**dict.fromkeys(ROWS, "ok"), "template": "todo"}
    assert by_name["template"]["said"] == "v1.0.0; the newest is v2.0.0"
    assert by_name["template"]["remedy"] == "protoserve update"
    assert "Makefile" in by_name["files"]["details"]["unchanged"]
    assert ".copier-answers.yml" not in by_name["files"]["details"]["unchanged"]


@pytest.mark.slow
def test_the_newest_is_not_asked_for_offline(work: Work) -> None:
    assert rows(work, "--offline", code=0)["template"]["said"] == "v1.0.0 (the newest was not looked up)"


def test_everything_that_can_be_said_of_a_project(work: Work) -> None:
    work.edit("schema.yaml", "status: draft", "status: stable")
    work.commit()
    git(work.path, "tag", "release-1")
    work.edit("schema.yaml", "          maximum: 30\n", "          maximum: 20\n")
    work.write("src/iris/server/core/outcomes.py", work.read("src/iris/server/core/outcomes.py") + "# mine\n")
    (work.path / "Dockerfile").unlink()
    work.write("README.md", work.read("README.md") + "<<<<<<< before updating\n")
    work.edit(".copier-answers.yml", "port: 9000\n", "port: 80\ncolour: red\n")
    work.edit(".copier-answers.yml", "python_version: '3.12'\n", "")
    by_name = rows(work, code=1)
    assert by_name["answers"]["details"]["missing"] == ["python_version"]
    assert by_name["answers"]["details"]["unknown"] == ["colour"]
    (refused,) = by_name["answers"]["details"]["refused"]
    assert refused.startswith("port: must be an integer from 1024 to 65535")
    assert by_name["generated"]["state"] == "todo"
    assert by_name["conflicts"]["details"]["unmerged"] == ["README.md"]
    assert by_name["contract"]["state"] == "todo"
    assert by_name["contract"]["remedy"] == "protoserve diff release-1"
    assert by_name["contract"]["details"]["breaking"][0].startswith(
        "methods.Predict.request.fields.petal_length.maximum: "
    )
    assert by_name["files"]["details"]["edited"] == ["README.md", "src/iris/server/core/outcomes.py"]
    assert by_name["files"]["details"]["deleted"] == ["Dockerfile"]

    table = work.status("--fail-on", "files", check=False)
    assert table.returncode == 1
    for line in ("edited    src/iris/server/core/outcomes.py", "deleted   Dockerfile", "unmerged  README.md"):
        assert f"{line}\n" in table.stdout
    assert "protoserve diff release-1" in table.stdout


def test_what_lies_in_the_way(work: Work) -> None:
    """A folder for a file of the template, a link for a folder, a folder for a generated file, a pipe behind a link."""
    core = work.path / "src/iris/server/core"
    core.rename(work.path / "core")
    core.symlink_to("../../../core")
    for name in ("Makefile", "src/iris/contract/v1.py"):
        (work.path / name).unlink()
        (work.path / name).mkdir()
    os.mkfifo(work.path.parent / "pipe")
    (work.path / "Dockerfile").unlink()
    (work.path / "Dockerfile").symlink_to(work.path.parent / "pipe")
    by_name = rows(work, "--offline", code=1)
    details = by_name["files"]["details"]
    assert (by_name["files"]["state"], by_name["generated"]["state"]) == ("todo", "todo")
    assert details["blocked"] == [
        "Makefile is a folder, and the template has a file there: move it away",
        "src/iris/server/core is a link to ../../../core, and the template has a folder there: put a folder in its "
        "place",
    ]
    assert (details["edited"], details["deleted"]) == (["Dockerfile"], [])
    assert by_name["generated"]["details"]["blocked"] == [
        "src/iris/contract/v1.py is a folder, and the generator writes a file there: move it away"
    ]


def test_a_file_that_cannot_be_read(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_if_exists(path: Path, root: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    rendered = Rendered(tmp_path / "render", {}, {})
    shutil.copytree(work.path, rendered.folder, ignore=shutil.ignore_patterns(".git"))
    monkeypatch.setattr(compared_file, "read_if_exists", read_if_exists)
    row = status_rows.files(work.path, rendered)
    said = f"{work.path}/.dockerignore cannot be read: Permission denied"
    assert (row.state, row.text) == (State.UNKNOWN, said)


def test_what_counts_is_said_by_fail_on(work: Work) -> None:
    work.write("Makefile", work.read("Makefile") + "\nmine:\n")
    work.edit("proto/iris/v1/prediction.proto", "service PredictionService", "service  PredictionService")
    (work.path / "tests/requests/Predict.json").unlink()
    by_name = rows(work, "--fail-on", "answers,contract", code=0)
    assert by_name["files"]["counts"] is False
    assert by_name["generated"]["details"]["differ"] == [
        "proto/iris/v1/prediction.proto",
        "tests/requests/Predict.json",
    ]
    assert by_name["generated"]["remedy"] == "make generate"
    done = work.status("--fail-on", "colour", check=False)
    assert done.returncode == 2
    assert "colour must be a row: template, answers, generated, conflicts, contract, files, policy" in done.stderr


@pytest.mark.parametrize("missing", ["template", "version", "script", "project"])
def test_what_cannot_be_found_out_is_exit_2(work: Work, missing: str) -> None:
    if missing == "project":
        (work.path / ".copier-answers.yml").unlink()
        done = work.status(check=False)
        assert done.returncode == 2
        assert "is not a protoserve project" in done.stderr
        return
    if missing == "template":
        answers = work.read(".copier-answers.yml").splitlines(keepends=True)
        gone = [f"_src_path: {work.path}-gone\n" if line.startswith("_src_path") else line for line in answers]
        work.write(".copier-answers.yml", "".join(gone))
    elif missing == "version":
        work.edit(".copier-answers.yml", "_commit: v1.0.0\n", "_commit: v9.9.9\n")
        by_name = rows(work, code=2)
        assert by_name["template"]["said"] == "v9.9.9; the newest is v2.0.0; the template has no v9.9.9"
        assert by_name["template"]["remedy"] == "git restore .copier-answers.yml"
        assert {by_name[name]["state"] for name in ("template", "answers", "generated", "files")} == {"unknown"}
        return
    else:
        (work.path / "scripts/generate.py").unlink()
    by_name = rows(work, "--fail-on", "generated", code=2)
    assert by_name["generated"]["state"] == "unknown"
    assert by_name["conflicts"]["state"] == "ok"
    assert ("scripts/generate.py" if missing == "script" else f"{work.path}-gone") in by_name["generated"]["said"]


def test_a_schema_that_is_not_sound(work: Work) -> None:
    work.edit("schema.yaml", "type: float64", "type: flaot64")
    by_name = rows(work, "--offline", code=1)
    assert by_name["generated"]["said"].startswith("schema.yaml:")
    assert by_name["generated"]["remedy"] == "edit schema.yaml"
