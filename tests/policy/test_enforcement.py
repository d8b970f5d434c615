"""Where the policy of a template holds, and that it says the same words everywhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from commands import run_copy
from policies import AUDITED
from protoserve.policy import NotAllowedError
from protoserve.project import policy_command
from protoserve.project.answers_policy import after_update
from protoserve.project.questions import ADOPTED
from protoserve.project.recorded_version import recorded_folder
from releases import Work, commit, environment, git
from support import ROOT

WORDS = "port must be from 8000 to 9999, not 7001: the mesh routes these (answers.port in policy.yaml)"
KEPT = "port must be from 8000 to 9999, not 7000: the mesh routes these (answers.port in policy.yaml)"


def recorded(work: Work) -> dict[str, object]:
    answers: dict[str, object] = yaml.safe_load(work.read(".copier-answers.yml"))
    return answers


@pytest.mark.parametrize("program", ["copier", pytest.param("protoserve", marks=pytest.mark.slow)])
def test_a_new_project(program: str, team_template: Path, home: Path, tmp_path: Path) -> None:
    """Refused with exit code 1, and nothing is left of the new folder."""
    if program == "copier":
        command = ("copier", "copy", "--trust", "--defaults", "--data", "port=7001", team_template, "iris")
    else:
        command = ("protoserve", "new", "--defaults", "--template", team_template, "--port=7001", "iris")
    done = run_copy(*command, cwd=tmp_path, env=environment(home), check=False, copies_generator=True)
    assert done.returncode == 1, done.stderr
    assert f"protoserve: {WORDS}\n" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_every_question_reaches_the_step_before_an_update() -> None:
    """It refuses before the merge. The list leaves out what only `protoserve adopt` answers."""
    copier_yml = yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8"))
    passed = copier_yml["_migrations"][0]["command"][-1]
    listed = re.findall(r"'(\w+)'", passed[passed.index("[") :])
    assert set(listed) == {name for name in copier_yml if not name.startswith("_")} - {ADOPTED}


def test_an_answer_that_is_given_to_an_update(work: Work) -> None:
    before = work.state()
    done = work.update("--set", "port=7001", "--to", "latest", check=False)
    assert done.returncode == 1
    assert f"protoserve: {WORDS}\n" in done.stderr
    assert "the project is as it was" in done.stderr
    assert work.state() == before


@pytest.mark.slow
def test_an_answer_that_is_given_to_bare_copier(work: Work) -> None:
    before = work.state()
    bare = work.copier("--data", "port=7001", check=False)
    assert bare.returncode == 1
    assert f"protoserve: {WORDS}\n" in bare.stderr
    assert work.state() == before


def test_a_recorded_answer_is_kept_and_reported(
    work: Work, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the update, by a status, and by the project's own CI, each by the policy of the recorded version."""
    done = work.update("--format", "json")
    assert recorded(work)["port"] in ("7000", 7000)
    assert json.loads(done.stdout)["notes"] == [f"kept, though the policy does not allow it: {KEPT}"]
    assert work.read("README.md") == "two\n"
    work.write("src/iris/server/transports/health.py", "mine\n")
    status = work.status("--format", "json", check=False)
    assert status.returncode == 1
    (row,) = [row for row in json.loads(status.stdout)["rows"] if row["state"] == "todo"]
    assert row["name"] == "policy"
    assert row["details"]["rules"] == ["answers.port", "files.unedited", "contract.package", "contract.request_fields"]
    assert row["details"]["violations"][0] == f".copier-answers.yml: {KEPT}; protoserve update --set port=VALUE"

    monkeypatch.setenv("XDG_CACHE_HOME", str(work.home / "cache"))
    for version, lines in {"v1.0.0": [], "v2.0.0": row["details"]["violations"]}.items():
        of_version = {**recorded(work), "_commit": version, "_commit_hash": None}
        folder = recorded_folder(work.path, of_version, tmp_path)
        capsys.readouterr()
        assert policy_command.check(work.path, folder) == (1 if lines else 0)
        assert capsys.readouterr().err == "".join(f"protoserve: {line}\n" for line in lines)


@pytest.mark.slow
def test_bare_copier_keeps_a_recorded_answer(work: Work) -> None:
    done = work.copier()
    assert recorded(work)["port"] in ("7000", 7000)
    assert f"protoserve: kept, though the policy does not allow it: {KEPT}\n" in done.stderr


def test_an_answer_that_is_typed_at_an_update(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Copier runs `after-update` with the answers in the project; those before are in its last commit."""
    template, project = tmp_path / "template", tmp_path / "project"
    template.mkdir()
    (template / "policy.yaml").write_text(AUDITED, encoding="utf-8")
    git(tmp_path, "init", "--quiet", "project")
    path = project / ".copier-answers.yml"
    before = "package: iris\nframework: onnx\nport: 7000\n"
    path.write_text(before, encoding="utf-8")
    commit(project, "made")
    path.write_text(before.replace("7000", "7001"), encoding="utf-8")
    after_update(project, template, [], asked=False)  # Copier's own doing
    assert capsys.readouterr().err.count("kept, though the policy does not allow it") == 2
    for given, asked in ((["port"], False), (["framework", "port"], False), ([], True)):
        with pytest.raises(NotAllowedError) as error:
            after_update(project, template, given, asked=asked)
        assert str(error.value).startswith(f"{WORDS}; a bare `copier update` is undone by ")
        assert "framework" not in str(error.value)
    path.write_text(before, encoding="utf-8")
    after_update(project, template, ["port"], asked=True)
    (template / "policy.yaml").write_text("answer: x", encoding="utf-8")
    capsys.readouterr()
    after_update(project, template, ["port"], asked=True)
    assert capsys.readouterr().err.startswith("protoserve: the policy cannot be used: policy.yaml:1:1: ")
