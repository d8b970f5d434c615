"""Where author and template changed the same: exit 3, markers in the file, listed as conflicts by git, nothing lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from releases import NEW, OLD, Work, git, release

Copied = Callable[..., Work]
Fork = Callable[[Work], Path]
ERRORS = "src/iris/server/errors.py"


@pytest.fixture
def clashing(work: Work) -> Work:
    """Lines that both author and template changed: in a file that keeps its name, and in one that gets another."""
    work.edit(ERRORS, "the server failed to answer this request", "no luck today")
    work.edit(OLD, "import asyncio\n", "import asyncio  # mine\n")
    work.commit()
    return work


def test_conflicts_exit_3_and_stay_as_markers(clashing: Work, copied: Copied) -> None:
    bare = copied("bare", clashing)
    done = clashing.update("--format", "json", check=False)
    assert done.returncode == 3, done.stderr
    assert json.loads(done.stdout)["conflicts"] == [ERRORS, NEW]
    assert "<<<<<<< before updating\n" in clashing.read(ERRORS)
    assert "import asyncio  # mine\n" in clashing.read(NEW)
    assert "import asyncio  # renamed in 2.0\n" in clashing.read(NEW)
    assert {line[3:] for line in git(clashing.path, "status", "--porcelain").splitlines() if "U" in line[:2]} == {
        ERRORS,
        NEW,
    }

    # Bare Copier leaves the same, in git's index too, though it exits 0.
    bare.copier()
    assert bare.state() == clashing.state()

    status = clashing.status(check=False)
    assert status.returncode == 1
    assert f"unmerged  {ERRORS}\n" in status.stdout


@pytest.mark.slow
def test_undecided_there_is_no_next_update_and_decided_there_is(clashing: Work) -> None:
    assert clashing.update(check=False).returncode == 3
    assert clashing.update("--set", "port=9100", check=False).returncode == 1
    for name in (ERRORS, NEW):
        git(clashing.path, "checkout", "--theirs", "--", name)
    clashing.commit()
    assert clashing.update("--set", "port=9100").returncode == 0


@pytest.mark.slow
def test_a_dry_run_tells_conflicts_as_well(clashing: Work) -> None:
    before = clashing.state()
    done = clashing.update("--dry-run", check=False)
    assert done.returncode == 3
    assert "+<<<<<<< before updating\n" in done.stdout
    assert f"- `{ERRORS}`\n- `{NEW}`\n" in done.stderr
    assert clashing.state() == before


@pytest.mark.slow
def test_an_edited_file_that_the_template_removed_waits_for_its_author(work: Work, fork: Fork) -> None:
    template = fork(work)
    git(template, "rm", "--quiet", "template/LICENSE", "template/buf.yaml")
    release(template, "v2.1.0")
    work.write("LICENSE", "Mine.\n")
    work.commit()
    done = work.update(check=False)
    assert done.returncode == 3, done.stderr
    assert "- LICENSE: you edited it, the template has it no longer: keep it (git add) or remove it" in done.stdout
    assert work.read("LICENSE") == "Mine.\n"
    assert not (work.path / "buf.yaml").exists()
    assert git(work.path, "status", "--porcelain", "LICENSE") == "UD LICENSE\n"
