"""What is piped has no escape sequences: the output of protoserve's commands, and of the tools of `make check`."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from commands import protoserve
from support import Project, run

ESCAPE = b"\x1b"
SURROUNDINGS = (
    {"TERM": "xterm-256color", "COLORTERM": "truecolor", "CI": "true", "GITHUB_ACTIONS": "true"},
    {"NO_COLOR": "1", "FORCE_COLOR": "1"},
)
# For the tools that follow it; protoserve's own commands have no colours in a pipe even so.
FORCED = {"FORCE_COLOR": "1", "TERM": "xterm-256color"}
UNSET = ("NO_COLOR", "FORCE_COLOR", "CLICOLOR_FORCE", "PY_COLORS", "TERM", "COLORTERM", "CI", "GITHUB_ACTIONS")


def environment(surroundings: dict[str, str]) -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in UNSET} | surroundings


@pytest.fixture(scope="module")
def work(iris: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a commit, a change of its contract, and something for each tool to complain about."""
    folder = tmp_path_factory.mktemp("colours") / "iris"
    run(["cp", "-r", iris.path, folder], cwd=folder.parent)
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "--quiet"], ["add", "--all"], [*identity, "commit", "--quiet", "--message=x"]):
        run(["git", *command], cwd=folder)
    schema = folder / "schema.yaml"
    schema.write_text(schema.read_text(encoding="utf-8").replace("petal_width", "petal_breadth"), encoding="utf-8")
    with (folder / "src" / "iris" / "model.py").open("a", encoding="utf-8") as file:
        file.write('import os\nx: int =  "a"\n')
    with (folder / "proto" / "iris" / "v1" / "prediction.proto").open("a", encoding="utf-8") as file:
        file.write("message x_y {int32 A = 1;}\n")
    (folder / "Dockerfile").write_text("FROM a\nWORKDIR b\nUSER root\n", encoding="utf-8")
    return folder


COMMANDS = {  # of protoserve, and a word that each prints
    ("diff", "HEAD"): "petal_breadth",
    ("status",): "state",
    ("generate", "--check"): "petal_breadth",
    ("nonsense",): "nonsense",
    ("verify", "127.0.0.1:1", "--timeout", "1"): "reachable",
}


def test_protoserve_prints_no_escapes_where_there_is_no_terminal(work: Path) -> None:
    for command, word in COMMANDS.items():
        done = protoserve(*command, cwd=work, env=environment(FORCED), check=False)
        assert word in done.stdout + done.stderr, command
        assert ESCAPE.decode() not in done.stdout + done.stderr, command


@pytest.mark.usefixtures("mypy_knows_libraries")
@pytest.mark.slow
def test_the_tools_of_make_check_print_no_escapes_into_a_pipe(work: Path) -> None:
    (work / ".venv").symlink_to(sys.prefix)
    targets = (work / "Makefile").read_text(encoding="utf-8")
    check_and_test = targets.partition("\ncheck:")[2].partition("\nsmoke:")[0]
    steps = "\n\t-".join(line.strip() for line in check_and_test.splitlines() if line.startswith("\t$(BIN)"))
    (work / "local.mk").write_text(f"each-step:\n\t-{steps}\n", encoding="utf-8")
    for around in SURROUNDINGS:
        # There is no artifact, so the first test fails; the others would start servers, and print nothing of pytest's.
        variables = environment({**around, "PYTHONPATH": "src", "PYTEST_ADDOPTS": "--exitfirst"})
        done = subprocess.run(["make", "each-step"], cwd=work, env=variables, capture_output=True, check=False)
        output = done.stdout + done.stderr
        for word in (b"I001", b"Incompatible types", b"x_y", b"DL3000", b"test session starts"):
            assert word in output, word
        assert ESCAPE not in output, (around, [line for line in output.splitlines() if ESCAPE in line])
