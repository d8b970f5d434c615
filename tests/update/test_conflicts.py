"""Where author and template changed the same: exit 3, markers in the file, listed as conflicts by git, nothing lost."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from releases import NEW, OLD, Work, git, release

Copied = Callable[..., Work]
Fork = Callable[[Work], Path]
ERRORS = "src/iris/server/core/outcomes.py"


@pytest.fixture(scope="module")
def edited(first: Work, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """The result of `edit_both_sides`, before any update."""
    path = tmp_path_factory.mktemp("edited") / "iris"
    shutil.copytree(first.path, path, symlinks=True)
    return edit_both_sides(Work(path, first.home))


@pytest.fixture
def clashing(edited: Work, copied: Copied) -> Work:
    """A copy of it."""
    return copied(of=edited)


@pytest.fixture(scope="module")
def conflicted(edited: Work, tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, str]:
    """The same after an update, which tests copy; and the update's summary."""
    path = tmp_path_factory.mktemp("conflicted") / "iris"
    shutil.copytree(edited.path, path, symlinks=True)
    work = Work(path, edited.home)
    done = work.update("--format", "json", check=False)
    assert done.returncode == 3, done.stderr
    return work, done.stdout


def edit_both_sides(work: Work) -> Work:
    """Lines that both author and template changed: in a file that keeps its name, and in one that gets another."""
    work.edit(ERRORS, "the server failed to answer this request", "no luck today")
    work.edit(OLD, "import grpc\n", "import grpc  # mine\n")
    work.commit()
    return work


def test_conflicts_exit_3_and_stay_as_markers(conflicted: tuple[Work, str], copied: Copied) -> None:
    work = copied("updated", conflicted[0])
    assert json.loads(conflicted[1])["conflicts"] == [ERRORS, NEW]
    assert "<<<<<<< before updating\n" in work.read(ERRORS)
    assert "import grpc  # mine\n" in work.read(NEW)
    assert "import grpc  # renamed in 2.0\n" in work.read(NEW)
    assert {line[3:] for line in git(work.path, "status", "--porcelain").splitlines() if "U" in line[:2]} == {
        ERRORS,
        NEW,
    }

    status = work.status(check=False)
    assert status.returncode == 1
    assert f"unmerged  {ERRORS}\n" in status.stdout


@pytest.mark.slow
def test_bare_copier_leaves_the_same_in_the_index_too_though_it_exits_0(
    clashing: Work, conflicted: tuple[Work, str]
) -> None:
    clashing.copier()
    assert clashing.state() == conflicted[0].state()


@pytest.mark.slow
def test_undecided_there_is_no_next_update_and_decided_there_is(conflicted: tuple[Work, str], copied: Copied) -> None:
    work = copied(of=conflicted[0])
    assert work.update("--set", "port=9100", check=False).returncode == 1
    for name in (ERRORS, NEW):
        git(work.path, "checkout", "--theirs", "--", name)
    work.commit()
    assert work.update("--set", "port=9100").returncode == 0


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
    assert "- LICENSE: you edited it, and the template no longer has it: keep it (git add) or remove it" in done.stdout
    assert work.read("LICENSE") == "Mine.\n"
    assert not (work.path / "buf.yaml").exists()
    assert git(work.path, "status", "--porcelain", "LICENSE") == "UD LICENSE\n"
