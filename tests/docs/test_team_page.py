"""docs/team.md is followed to the letter, with servers of git in a folder: its commands, its files, its workflows."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from copier._vcs import get_latest_tag

from docs.test_start_page import is_in
from protoserve.project.update.template_versions import Versions
from releases import edit, environment, git, release
from support import ROOT, copy_template, run

PAGE = (ROOT / "docs" / "team.md").read_text(encoding="utf-8")
FENCES = list(re.finditer(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))
# Commands that fail on the page, by their last line, with their exit codes.
FAILING = {"protoserve new churn --template https://git.example/platform/models.git --defaults --framework xgboost": 1}


def make_upstream(folder: Path) -> None:
    """This template in two releases."""
    copy_template(folder)
    git(folder, "init", "--quiet", "--initial-branch=main")
    release(folder, "v1.0.0")
    server = folder / "template/src/{{package}}/server"
    edit(server / "core" / "outcomes.py", "the server failed to answer", "the server could not answer")
    release(folder, "v1.1.0")


@pytest.fixture
def reader(tmp_path: Path) -> dict[str, str]:
    """The variables of a reader who reaches the servers; the repositories are there."""
    make_upstream(tmp_path / "servers/upstream/protoserve.git")
    for name in ("platform/models.git", "risk/churn.git"):
        git(tmp_path, "init", "--quiet", "--bare", "--initial-branch=main", f"servers/{name}")
    home = tmp_path / "home"
    home.mkdir()
    address = f'[url "{(tmp_path / "servers").as_uri()}/"]\n\tinsteadOf = https://git.example/\n'
    identity = "[user]\n\tname = T\n\temail = t@example.com\n"
    (home / ".gitconfig").write_text(address + identity, encoding="utf-8")
    return environment(home)


def steps() -> Iterator[tuple[str, str, str]]:
    """Each block of commands with what is shown below it, and each file with its name, in their order."""
    for index, fence in enumerate(FENCES):
        if fence[1] == "sh":
            below = FENCES[index + 1] if index + 1 < len(FENCES) else None
            yield "run", fence[2], below[2] if below is not None and below[1] == "text" else ""
        elif named := re.search(r"^`([^`\n]+)`:\n\n\Z", PAGE[: fence.start()], re.MULTILINE):
            yield "write", named[1], fence[2]


@pytest.mark.slow
def test_the_commands_lead_from_a_fork_to_projects_that_follow_it(reader: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "work"
    folder.mkdir()
    for kind, text, content in steps():
        if kind == "write":
            (folder / text).write_text(content, encoding="utf-8")
            continue
        wanted = FAILING.get(text.splitlines()[-1], 0)
        script = f"trap 'pwd > {shlex.quote(str(tmp_path / 'folder'))}' EXIT\n{text}"
        done = run(["bash", "-e", "-c", script], cwd=folder, env=reader, check=False)
        assert done.returncode == wanted, f"{text}\n{done.stdout}\n{done.stderr}"
        printed = done.stdout + done.stderr
        assert is_in(content, printed), f"shown is\n{content}\nprinted is\n{printed}"
        folder = Path((tmp_path / "folder").read_text(encoding="utf-8").strip())


@pytest.mark.parametrize(("tags", "newest"), re.findall(r"^\| (`.*`, `.*`) \| `(.*)` \|$", PAGE, re.MULTILINE))
def test_the_newest_tag(tags: str, newest: str, tmp_path: Path) -> None:
    names = re.findall("`(.*?)`", tags)
    assert Versions("", dict.fromkeys(names, ""), {}).newest.name == newest
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "x")
    for name in names:
        git(tmp_path, "tag", name)
    assert get_latest_tag(str(tmp_path)) == newest


def test_the_page_has_commands() -> None:
    assert sum(kind == "run" for kind, _, _ in steps()) > 6
    assert PAGE.count("newest |\n") == 1
    for line in FAILING:
        assert PAGE.count(f"{line}\n") == 1
    assert os.name == "posix"
    assert sys.executable
