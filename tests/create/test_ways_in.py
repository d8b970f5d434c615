"""The ways to a project, each as a stranger's processes: a scrubbed PATH, an empty home, a template with a release."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support import copy_template, run, scrubbed, tool

pytestmark = pytest.mark.slow

MADE = (
    "schema.yaml",
    "src/iris/model.py",
    "src/iris/v1/prediction_pb2.py",
    "src/iris/server/transports/grpcio/servicer.py",
    "train.py",
)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The template of this checkout as a git repository with a release."""
    folder = copy_template(tmp_path_factory.mktemp("release") / "protoserve")
    environment = scrubbed(home=folder.parent)
    for command in (
        ["init", "--quiet"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=release"],
        ["tag", "v0.1.0"],
    ):
        run(["git", *command], cwd=folder, env=environment)
    return folder


@pytest.fixture(scope="module")
def installed(tagged: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of commands of an environment in which the template is installed.

    By uv, which has what it needs from its cache; tests/docs/test_start_page.py installs it by pip.
    """
    folder = tmp_path_factory.mktemp("installed") / "venv"
    run([tool("uv"), "venv", "--quiet", "--python", sys.executable, folder], cwd=tagged)
    run([tool("uv"), "pip", "install", "--quiet", "--python", folder / "bin/python", tagged], cwd=tagged)
    return folder / "bin"


def assert_made(project: Path) -> None:
    assert [name for name in MADE if not (project / name).is_file()] == []
    answers = (project / ".copier-answers.yml").read_text(encoding="utf-8")
    assert "_commit: v0.1.0\n" in answers


def test_copier_beside_the_installed_template(tagged: Path, installed: Path, tmp_path: Path) -> None:
    environment = scrubbed(installed, home=tmp_path)
    run(["copier", "copy", "--trust", "--defaults", tagged, "made"], cwd=tmp_path, env=environment)
    assert_made(tmp_path / "made")


def test_a_schema_path_is_meant_from_where_copier_was_called(tagged: Path, installed: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "methods:\n  Predict:\n    request: {fields: [{name: a, type: float64}]}\n"
        "    response: {fields: [{name: b, type: bool}]}\n",
        encoding="utf-8",
    )
    environment = {**scrubbed(installed, home=tmp_path), "PWD": str(tmp_path)}
    command = ["copier", "copy", "--trust", "--defaults", "--data", "schema=mine.yaml", tagged, "made"]
    run(command, cwd=tmp_path, env=environment)
    schema = (tmp_path / "made/schema.yaml").read_text(encoding="utf-8")
    assert "{name: a, number: 1, type: float64}" in schema
    assert "package: iris.v1" in schema


def test_uvx_with_nothing_else_installed(tagged: Path, tmp_path: Path) -> None:
    commands = tmp_path / "bin"
    commands.mkdir()
    for name in ("uv", "uvx"):
        (commands / name).symlink_to(tool(name))
    (commands / "python3").symlink_to(Path(sys.base_prefix) / "bin" / "python3")
    cache = run([tool("uv"), "cache", "dir"], cwd=tmp_path).stdout.strip()
    environment = {**scrubbed(commands, home=tmp_path), "UV_PYTHON_DOWNLOADS": "never", "UV_CACHE_DIR": cache}
    run(["uvx", "copier", "copy", "--trust", "--defaults", tagged, "made"], cwd=tmp_path, env=environment)
    assert_made(tmp_path / "made")


def test_without_the_generators_needs_and_without_uv_one_line_says_what_to_install(
    tagged: Path, tmp_path: Path
) -> None:
    venv = tmp_path / "venv"
    run([tool("uv"), "venv", "--quiet", "--python", sys.executable, venv], cwd=tmp_path)
    run([tool("uv"), "pip", "install", "--quiet", "--python", venv / "bin/python", "copier"], cwd=tmp_path)
    environment = scrubbed(venv / "bin", home=tmp_path)
    command = ["copier", "copy", "--trust", "--defaults", str(tagged), "made"]
    done = run(command, cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 1
    said = [line for line in done.stderr.splitlines() if line.startswith("protoserve:")]
    assert len(said) == 1
    assert "grpcio-tools==" in said[0]
    assert "pip install uv" in said[0]
    assert not (tmp_path / "made").exists()


def test_without_trust_copier_refuses_by_itself(tagged: Path, installed: Path, tmp_path: Path) -> None:
    done = run(
        ["copier", "copy", "--defaults", tagged, "made"],
        cwd=tmp_path,
        env=scrubbed(installed, home=tmp_path),
        check=False,
    )
    assert done.returncode == 4
    assert not (tmp_path / "made").exists()


def test_protoserve_new_takes_every_answer_as_an_option(tagged: Path, installed: Path, tmp_path: Path) -> None:
    options = ["--project-name", "Area", "--framework", "python", "--port", "9100", "--python-version", "3.13"]
    options += ["--schema", "length: float64, width: float64 -> area: float64", "--description", "Areas.", "--defaults"]
    run(["protoserve", "new", "made", *options], cwd=tmp_path, env=scrubbed(installed, home=tmp_path))
    answers = (tmp_path / "made/.copier-answers.yml").read_text(encoding="utf-8")
    assert "package: area\n" in answers
    assert "port: 9100\n" in answers
    assert f"_src_path: {tagged}\n" in answers
    assert "optional double length = 1;" in (tmp_path / "made/proto/area/v1/prediction.proto").read_text(
        encoding="utf-8"
    )


def test_the_help_of_an_installed_protoserve_has_the_questions(installed: Path, tmp_path: Path) -> None:
    environment = {**scrubbed(installed, home=tmp_path), "COLUMNS": "80"}
    text = run(["protoserve", "new", "--help"], cwd=tmp_path, env=environment).stdout
    assert max(map(len, text.splitlines())) <= 80
    words = " ".join(text.split()).replace("- ", "-")  # argparse also wraps at hyphens
    assert "On which port does the server listen? [default: 9000]" in words
    assert "[any of: vertex-ai, kubernetes; default: none]" in words


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--port", "80"], "must be an integer from 1024 to 65535"),
        (["--package", "class"], "keyword"),
        (["--schema", "x: flaot64 -> y: float64"], "did you mean"),
        (["--template", "/nowhere/at/all"], "/nowhere/at/all"),
    ],
)
def test_protoserve_new_says_what_is_wrong_and_leaves_nothing(
    installed: Path, tmp_path: Path, options: list[str], said: str
) -> None:
    command = ["protoserve", "new", "made", "--defaults", *options]
    done = run(command, cwd=tmp_path, env=scrubbed(installed, home=tmp_path), check=False)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "made").exists()


def test_protoserve_new_never_writes_into_a_folder_that_has_something(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "made/notes.txt").write_text("mine", encoding="utf-8")
    command = ["protoserve", "new", "made", "--defaults"]
    done = run(command, cwd=tmp_path, env=scrubbed(installed, home=tmp_path), check=False)
    assert done.returncode == 1
    assert "not empty" in done.stderr
    assert os.listdir(tmp_path / "made") == ["notes.txt"]


@pytest.mark.skipif(os.name == "nt", reason="pexpect needs a pseudo-terminal")
def test_protoserve_new_asks_the_questions(installed: Path, tmp_path: Path) -> None:
    import pexpect

    environment = {**scrubbed(installed, home=tmp_path), "TERM": "xterm"}
    child = pexpect.spawn(
        str(installed / "protoserve"), ["new", "made"], cwd=str(tmp_path), env=environment, timeout=60, encoding="utf-8"
    )
    child.expect("project called")
    child.sendcontrol("u")
    child.sendline("Flowers")
    child.expect("Python package")
    child.sendcontrol("u")
    child.sendline("class")
    child.expect("keyword")
    child.sendcontrol("u")
    child.sendline("flowers")
    for question in (
        "What does it serve",
        "made with",
        "which port",
        "goes in",
        "go on",
        "container image",
        "platforms",
    ):
        child.expect(question)
        child.sendline("")
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    assert (tmp_path / "made/src/flowers/model.py").is_file()


def test_package_and_framework_cannot_change(tagged: Path, installed: Path, tmp_path: Path) -> None:
    environment = scrubbed(installed, home=tmp_path)
    project = tmp_path / "made"
    run(["copier", "copy", "--trust", "--defaults", tagged, project], cwd=tmp_path, env=environment)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message=new"]):
        run(["git", *command], cwd=project, env=environment)
    for answer, kept in (("package=other", "package cannot change"), ("framework=python", "framework cannot change")):
        command = ["copier", "update", "--trust", "--defaults", "--data", answer]
        done = run(command, cwd=project, env=environment, check=False)
        assert done.returncode == 1
        assert [line for line in done.stderr.splitlines() if kept in line]
        assert "Traceback" not in done.stderr
        assert run(["git", "status", "--porcelain"], cwd=project, env=environment).stdout == ""
    # An update that changes neither goes through, and one with a schema that is not sound does not begin.
    run(["copier", "update", "--trust", "--defaults", "--data", "port=9100"], cwd=project, env=environment)
    assert "port: 9100\n" in (project / ".copier-answers.yml").read_text(encoding="utf-8")
    run(["git", "commit", "--all", "--quiet", "--message=port"], cwd=project, env=environment)
    schema = project / "schema.yaml"
    schema.write_text(schema.read_text(encoding="utf-8") + "<<<<<<< HEAD\n", encoding="utf-8")
    run(["git", "commit", "--all", "--quiet", "--message=merge"], cwd=project, env=environment)
    done = run(["copier", "update", "--trust", "--defaults"], cwd=project, env=environment, check=False)
    assert done.returncode == 1
    assert "merge" in done.stderr
    assert run(["git", "status", "--porcelain"], cwd=project, env=environment).stdout == ""


def test_run_py_is_the_same_from_the_source_tree(tagged: Path, tmp_path: Path) -> None:
    """The interpreter of the tests holds the pins, so it is used as it is, without uv."""
    done = subprocess.run(
        [sys.executable, str(tagged / "generator/run.py"), "generate", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        env=scrubbed(home=tmp_path),
    )
    assert done.returncode == 1
    assert "is not a protoserve project" in done.stderr
