"""The page on versions: its commands are run in a project, and what it says of files and texts holds."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from support import ROOT, Project, run

PAGE = (ROOT / "docs" / "versions.md").read_text(encoding="utf-8")
SCHEMA = "schema.yaml"


def section(title: str) -> str:
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found is not None, title
    return found[1]


def commands(title: str) -> list[list[str]]:
    """The commands of `protoserve` in a section."""
    blocks = re.findall(r"```sh\n(.*?)```", section(title), re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("protoserve ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


def table(title: str) -> list[str]:
    """The first cells of the tables of a section."""
    rows = re.findall(r"^\| (.*?) \|", section(title), re.MULTILINE)
    return [row for row in rows if row.startswith("`")]


def protoserve(project: Project, *arguments: str, check: bool = True) -> str:
    done = run([sys.executable, "-m", "protoserve", *arguments], cwd=project.path, check=check)
    return done.stdout + done.stderr


@pytest.mark.slow
def test_from_v1_to_the_end_of_v1(template: Path, iris: Project, tmp_path: Path) -> None:
    run(["cp", "-r", iris.path, tmp_path / "iris"], cwd=tmp_path)
    project = Project(tmp_path / "iris", "iris")

    def commit() -> None:
        run(["git", "-c", "user.name=T", "-c", "user.email=t@e", "commit", "-qam", "a step"], cwd=project.path)

    run(["git", "init", "-q"], cwd=project.path)
    run(["git", "add", "-A"], cwd=project.path)
    commit()

    (start,) = commands("From v1 to v2")
    assert "wrote schemas/v1.yaml" in protoserve(project, *start)
    named = re.findall(r"`([\w./]+)`", " ".join(table("From v1 to v2")))
    files = [name if "/" in name or name == SCHEMA else f"src/iris/contract/{name}" for name in named]
    assert len(files) >= 7
    assert [name for name in files if not (project.path / name).exists()] == []

    # What the page shows of an author's work: a required field, what `generate` says of it, and the method.
    text = (project.path / SCHEMA).read_text(encoding="utf-8")
    field = "        - {name: currency, number: 9, type: string, min_length: 3, max_length: 3, example: EUR}\n"
    (project.path / SCHEMA).write_text(text.replace("      fields:\n", f"      fields:\n{field}", 1), encoding="utf-8")
    told = " ".join(re.findall(r"```text\n(.*?)```", section("How callers are upgraded"), re.DOTALL)[0].split())
    assert told in protoserve(project, "generate")
    snippet = re.findall(r"```python\n(.*?)```", section("How callers are upgraded"), re.DOTALL)[0]
    missing = "from iris.contract import served; from iris import model; print(served.missing_code(model))"
    assert "write predict_request_currency in class Upgrade of" in project.python("-c", missing).stdout
    upgrade = project.path / "src/iris/upgrade/v1.py"
    upgrade.write_text(f"from typing import final\n\n{snippet}", encoding="utf-8")
    assert project.python("-c", missing).stdout == "\n"
    run(["git", "add", "-A"], cwd=project.path)
    commit()

    (end,) = commands("The end of v1")
    assert "src/iris/upgrade/v1.py had predict_request_currency" in protoserve(project, *end)
    assert (project.path / ".protoserve/dropped.txt").read_text(encoding="utf-8") == "iris.v1\n"
    protoserve(project, "generate", "--check")


@pytest.mark.parametrize("text", [row.strip("`") for row in table("What is refused")])
def test_what_is_refused_is_what_the_command_says(text: str) -> None:
    """The words of each row, without the names in it, stand in the code that refuses."""
    if text.startswith("schema.yaml:LINE"):
        return
    sources = ("compat/version_command.py", "platform/git/repository.py")
    code = "".join((ROOT / "generator/protoserve" / name).read_text(encoding="utf-8") for name in sources)
    words = re.split(r"'[\w.]+'|\bv\d\w*\b|schema\.yaml has|\.\.\.", text)
    parts = [part.strip(" ,:") for part in words if len(part.strip(" ,:")) > 3]
    assert parts
    assert [part for part in parts if part not in code] == []
