"""What an update leaves for the author, wherever it is: `status` lists it, and the next update does not lose it."""

from __future__ import annotations

from pathlib import Path

import pytest

from protoserve.project.status.report import State
from protoserve.project.status.rows import conflicts
from releases import Work, commit, git

MARKER = "<<<<<<< before updating\n"
REJECTED = "diff a/models/iris/README.md b/models/iris/README.md\t(rejected hunks)\n@@ -1 +1 @@\n-# iris\n+# mine\n"


def test_markers_and_rejected_edits_are_listed_whatever_git_shows(tmp_path: Path) -> None:
    project = tmp_path / "models/iris"
    (project / "folder").mkdir(parents=True)
    git(tmp_path, "init", "--quiet")
    (tmp_path / ".git/info").mkdir(exist_ok=True)
    (tmp_path / ".git/info/exclude").write_text("*.rej\nignored*\n", encoding="utf-8")
    for name in ("skipped", "assumed", "tracked.rej", "sparse", "quoted", "folder/ignored"):
        (project / name).write_text("one\n", encoding="utf-8")
    (tmp_path / "elsewhere").write_text(MARKER, encoding="utf-8")
    git(tmp_path, "add", "--force", "--all")
    commit(tmp_path, "made")
    assert conflicts(project).state is State.OK
    git(project, "update-index", "--skip-worktree", "skipped", "sparse")
    git(project, "update-index", "--assume-unchanged", "assumed")
    (project / "sparse").unlink()
    for name in ("skipped", "assumed", "folder/ignored", "ignored", "new"):
        (project / name).write_text("one\n" + MARKER, encoding="utf-8")
    (project / "quoted").write_text(f"  {MARKER}", encoding="utf-8")
    for name in ("tracked.rej", "folder/gone.rej"):
        (project / name).write_text(REJECTED, encoding="utf-8")
    (project / "folder/own.rej").write_text("of another program\n", encoding="utf-8")
    row = conflicts(project)
    assert row.state is State.TODO
    assert row.details == {
        "unmerged": ["assumed", "folder/ignored", "ignored", "new", "skipped"],
        "rejected": ["folder/gone.rej", "tracked.rej"],
    }


@pytest.mark.slow
def test_rejected_edits_of_plain_copier_wait_for_their_author(work: Work) -> None:
    work.edit("requirements/dev.txt", "pytest>=9\n", "pytest>=9,<11\n")
    work.write(".gitignore", work.read(".gitignore") + "*.rej\n")
    work.commit("mine")
    work.copier("--vcs-ref=v1.1.0", "--conflict=rej")
    work.commit("updated")
    assert "+pytest>=9,<11\n" in work.read("requirements/dev.txt.rej")
    status = work.status(check=False)
    assert status.returncode == 1
    assert "rejected  requirements/dev.txt.rej\n" in status.stdout

    before = work.state()
    for update, reason in (
        (work.update, "an earlier update could not apply these edits: make them by hand"),
        (work.copier, "Copier would take this for edits that it rejects, and remove it"),
    ):
        done = update(check=False)
        assert done.returncode != 0
        assert f"protoserve: requirements/dev.txt.rej: {reason}" in done.stderr
        assert work.state() == before
    (work.path / "requirements/dev.txt.rej").rename(work.path / "requirements/mine.diff")
    work.write("notes.rej", "of another program\n")
    work.commit("mine")
    assert "protoserve: notes.rej: Copier would take this" in work.copier(check=False).stderr
    work.update()
    assert work.read("notes.rej") == "of another program\n"
