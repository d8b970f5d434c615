"""Projects as targets: every generated one passes all checks, and whatever happens no server is left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from protoserve.verify.targets.project import ProjectServer, UsageError
from support import Project, create, need, tool
from zoo.process import assert_passes, checks_with, verify
from zoo.project import project

PROTO = Path(__file__).parent.parent / "zoo" / "zoo.proto"


def made(template: Path, folder: Path, **answers: str) -> Project:
    need(answers["framework"])
    new = create(template, folder, **answers)
    new.python("train.py")
    return new


def test_a_project_that_only_streams_passes_every_check(template: Path, tmp_path: Path) -> None:
    assert_passes(made(template, tmp_path / "it", framework="python", schema="chat").path)


def test_the_default_project_passes_every_check(trained_iris: Project) -> None:
    need("sklearn")
    report = assert_passes(trained_iris.path)
    assert report["seconds"] < 20


def test_a_project_of_every_kind_of_field_passes_every_check(fraud: Project) -> None:
    assert_passes(fraud.path)


@pytest.mark.slow
@pytest.mark.parametrize("schema", ["image", "text", "embedding", "tensors"])
def test_the_other_presets_pass_every_check(template: Path, tmp_path: Path, schema: str) -> None:
    """tests/create/test_any_schema.py shows it of the other frameworks."""
    assert_passes(made(template, tmp_path / "it", framework="python", schema=schema).path)


def test_a_model_that_cannot_be_loaded_is_told_with_the_reason_in_the_log(fraud: Project, tmp_path: Path) -> None:
    shutil.copytree(fraud.path, tmp_path / "it")
    broken = Project(tmp_path / "it", fraud.package)
    model = broken.path / "src" / broken.package / "model.py"
    model.write_text(model.read_text(encoding="utf-8") + "\nimport catboost_of_another_kind\n", encoding="utf-8")
    code, report = verify(str(broken.path))
    assert code == 1
    fails = checks_with(report, "fail")
    assert list(fails) == ["reachable"], report["checks"]
    assert "No module named 'catboost_of_another_kind'" in fails["reachable"]
    assert "exit code 1" in fails["reachable"]


def test_an_empty_artifacts_folder_is_named_and_a_model_without_a_seal_is_one(
    iris: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MODEL_PATH", raising=False)
    folder = Path(shutil.copytree(iris.path, tmp_path / "new", ignore=shutil.ignore_patterns("model.skops*")))
    with pytest.raises(UsageError, match=r"artifacts/ is empty: put your model there, or train one"):
        ProjectServer(folder)
    (folder / "artifacts" / "mine.joblib").touch()
    ProjectServer(folder).close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_leaves_no_server_behind_and_prints_what_it_had(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The model never loads, so that the run is interrupted while it waits for it, with one check done."""
    folder = project("serving-never-able", tmp_path / "project")
    command = [tool("protoserve"), "verify", str(folder), "--proto", str(PROTO)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        try:
            first = run.stdout.readline()
            servers = children(run.pid)
            run.send_signal(number)
            out, errors = run.stdout.read(), run.stderr.read()
            assert run.wait(30) == 1, errors
        finally:
            run.kill()
    assert "Traceback" not in errors
    assert "reachable" in first
    assert "interrupted: 1 passed" in out
    assert servers
    assert not [pid for pid in servers if alive(pid)]


def children(pid: int) -> list[int]:
    """The servers that the process has started."""
    command = ["ps", "-ww", "-o", "pid=,args=", "--ppid", str(pid)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return [int(line.split()[0]) for line in lines if "zoo_project.server" in line]


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
