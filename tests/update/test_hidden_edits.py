"""Edits of tracked files that `git status` does not show: an update that would lose them is refused."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from protoserve.platform.git import Repository
from protoserve.project.hidden_edits import hidden_edits
from releases import Work, commit, git
from support import run

NAMES = (
    "kept",
    "a file.md",
    "assumed",
    "both",
    "script.sh",
    "deleted",
    "link",
    "folder",
    "same-size",
    "crlf",
    "dos.txt",
)


def make_repository(folder: Path) -> Repository:
    """With a few files committed, and settings with which git looks at as little as possible."""
    folder.mkdir()
    git(folder, "init", "--quiet")
    for name, value in (("core.trustctime", "false"), ("core.checkStat", "minimal"), ("core.splitIndex", "true")):
        git(folder, "config", name, value)
    for name in NAMES:
        (folder / name).write_bytes(b"one\r\ntwo\r\n" if name == "dos.txt" else b"one\ntwo\n")
    (folder / "same-size").write_bytes(b"one\ntwo\n")
    os.utime(folder / "same-size", (1, 1))  # git looks again at what is as new as its index
    (folder / "ident").write_bytes(b"$Id$\n")
    (folder / "sparse").mkdir()
    (folder / "sparse/file").write_bytes(b"left out\n")
    (folder / "filtered").write_bytes(b"SECRET\n")
    commit(folder, "made")
    return Repository(folder, "")


def hide(folder: Path, flag: str, *names: str) -> None:
    git(folder, "update-index", f"--{flag}", "--", *names)


def hide_edits(folder: Path) -> None:
    """In every way there is."""
    same = folder / "same-size"
    before = same.stat()
    same.write_bytes(b"six\ntwo\n")
    os.utime(same, ns=(before.st_atime_ns, before.st_mtime_ns))
    hide(folder, "skip-worktree", "a file.md", "both", "script.sh", "link", "folder", "kept")
    hide(folder, "assume-unchanged", "assumed", "both", "deleted")
    for name in ("a file.md", "assumed", "both"):
        (folder / name).write_text("mine\n", encoding="utf-8")
    (folder / "script.sh").chmod(0o755)
    for name in ("deleted", "link", "folder"):
        (folder / name).unlink()
    (folder / "link").symlink_to("kept")
    (folder / "folder").mkdir()


def convert(folder: Path) -> None:
    """What git's own conversions change is not an edit, and neither is what a sparse checkout leaves out."""
    attributes = "crlf text eol=crlf\nident ident\nfiltered filter=secret\ndos.txt text\n"
    (folder / ".git/info").mkdir(exist_ok=True)
    (folder / ".git/info/attributes").write_text(attributes, encoding="utf-8")
    git(folder, "config", "filter.secret.clean", "sed s/mine/SECRET/")
    (folder / "crlf").write_bytes(b"one\r\ntwo\r\n")
    (folder / "ident").write_bytes(b"$Id: 0123456789012345678901234567890123456789 $\n")
    (folder / "filtered").write_bytes(b"mine\n")
    hide(folder, "skip-worktree", "sparse/file", "crlf", "ident", "filtered", "dos.txt")
    (folder / "sparse/file").unlink()
    (folder / "sparse").rmdir()


def test_what_is_on_disk_counts(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "project")
    assert hidden_edits(repository) == []
    hide_edits(repository.project)
    convert(repository.project)
    assert git(repository.project, "status", "--porcelain") == ""
    skipped, assumed = ("skip-worktree",), ("assume-unchanged",)
    index = (repository.project / ".git/index").read_bytes()
    assert {edit.path: edit.flags for edit in hidden_edits(repository)} == {
        "a file.md": skipped,
        "assumed": assumed,
        "both": skipped + assumed,
        "deleted": assumed,
        "folder": skipped,
        "link": skipped,
        "same-size": (),
        "script.sh": skipped,
    }
    assert [edit.path for edit in hidden_edits(repository, {"kept", "both", "unknown"})] == ["both"]
    assert (repository.project / ".git/index").read_bytes() == index
    git(repository.project, "config", "core.fileMode", "false")
    assert hidden_edits(repository, {"script.sh"}) == []


def test_a_program_that_watches_files_is_not_believed(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "project")
    hook = tmp_path / "hook"
    hook.write_text("#!/bin/sh\nprintf 'token\\0'\n", encoding="utf-8")
    hook.chmod(0o755)
    git(repository.project, "config", "core.fsmonitor", str(hook))
    git(repository.project, "status")
    (repository.project / "kept").write_text("mine\n", encoding="utf-8")
    assert git(repository.project, "status", "--porcelain") == ""
    assert [edit.path for edit in hidden_edits(repository)] == ["kept"]


UPDATES = [
    pytest.param(Work.update, "--to=v2.0.0", id="protoserve update"),
    pytest.param(Work.copier, "--vcs-ref=v2.0.0", id="copier update"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("update", "version"), UPDATES)
def test_an_update_is_refused_until_git_shows_them(
    work: Work, update: Callable[..., subprocess.CompletedProcess[str]], version: str
) -> None:
    hide(work.path, "skip-worktree", "README.md")
    hide(work.path, "assume-unchanged", "Makefile", "tests/test_smoke.py")
    work.edit("README.md", "```sh\nmake setup", "```sh\n# mine\nmake setup")
    work.edit("Makefile", "IMAGE ?=", "IMAGE  ?=")
    before = work.state()
    done = update(work, version, check=False)
    assert done.returncode == 1
    assert "protoserve: git does not show your edits of Makefile, README.md, so the update would go" in done.stderr
    assert work.state() == before
    remedy = done.stderr.partition(": run `")[2].partition("`")[0]
    run(["sh", "-c", remedy], cwd=work.path)
    assert git(work.path, "status", "--porcelain") == " M Makefile\n M README.md\n"
    work.commit("mine")
    update(work, version)
    assert "# mine\nmake setup" in work.read("README.md")
    assert "Ask nobody about it.\n" in work.read("README.md")
    # A file that was hidden, though not edited, is shown once the update has changed it.
    assert " D tests/test_smoke.py\n" in git(work.path, "status", "--porcelain")


@pytest.mark.slow
def test_an_edit_that_the_update_does_not_touch_survives(work: Work) -> None:
    hide(work.path, "skip-worktree", "LICENSE", "README.md", "requirements/dev.txt")
    work.write("LICENSE", "Mine.\n")
    (work.path / "README.md").unlink()
    done = work.update("--to=v2.0.0")
    assert work.read("LICENSE") == "Mine.\n"
    assert "Ask nobody about it.\n" in work.read("README.md")
    changed = git(work.path, "status", "--porcelain").splitlines()
    assert " M README.md" in changed
    assert " M requirements/dev.txt" in changed
    assert git(work.path, "ls-files", "-t", "LICENSE") == "S LICENSE\n"
    assert "LICENSE" not in done.stdout


@pytest.mark.slow
def test_copier_does_not_start_where_it_would_fail_half_way(work: Work) -> None:
    hide(work.path, "skip-worktree", "requirements/dev.txt")
    before = work.state()
    done = work.copier(check=False)
    assert done.returncode != 0
    assert "git is set to skip requirements/dev.txt (skip-worktree)" in done.stderr
    assert work.state() == before
