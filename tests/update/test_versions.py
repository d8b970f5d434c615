"""Tags of a template that name one commit, that were moved, or that are gone: `status` and `update` judge alike."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from protoserve.project.status.report import Row, State
from protoserve.project.status.rows import version
from protoserve.project.update.request import Request, UpdateError, target_version
from protoserve.project.update.template_versions import Recorded, available, compare
from releases import Work, commit, git

Fork = Callable[[Work], Path]


@pytest.fixture
def template(tmp_path: Path) -> Path:
    """A repository with v1.0.0, v2.0.0 and its candidate, a later commit, and a candidate of the next release."""
    folder = tmp_path / "template"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for tags in (["v1.0.0"], ["v2.0.0rc1", "v2.0.0", "v2.0", "stable"], [], ["v3.0.0rc1"]):
        git(folder, "commit", "--quiet", "--allow-empty", "--message", "work")
        for tag in tags:
            git(folder, "tag", *(["-m", tag] if tag.endswith("rc1") else []), tag)
    return folder


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / ".copier-answers.yml").write_text("_commit: v1.0.0\n_src_path: ../template\n")
    git(folder, "init", "--quiet")
    commit(folder, "made")
    return folder


def judged(project: Path, template: Path, tag: str, taken: str = "") -> tuple[Row, str | None]:
    """The row of `status`, and the version to which `update` goes; None if there is nothing to do."""
    recorded = Recorded(str(template), tag, taken)
    compared = compare(recorded, available(project, str(template)))
    return version(project, recorded, available), target_version(None, Request(project, {}, {}, recorded), compared)


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("v2.0.0", "v2.0.0 (the same commit as v2.0) is the newest"),
        ("v2.0", "v2.0 is the newest"),
        ("v2.0.0rc1", "v2.0.0rc1 (the same commit as v2.0) is the newest"),
        ("stable", "stable (the same commit as v2.0) is the newest"),
        ("v2.0.0rc1-1-g{main~1}", "v2.0.0rc1-1-g{main~1}, after the newest release, v2.0"),
        ("v3.0.0rc1", "v3.0.0rc1, after the newest release, v2.0"),
    ],
)
def test_tags_of_one_commit_are_one_version(project: Path, template: Path, tag: str, said: str) -> None:
    later = git(template, "rev-parse", "--short", "main~1").strip()
    tag, said = (text.replace("{main~1}", later) for text in (tag, said))
    assert judged(project, template, tag) == (Row("template", State.OK, said), None)


def test_a_hash_of_digits_is_not_a_version(project: Path, template: Path) -> None:
    row, target = judged(project, template, "1234567")
    assert (row.state, target) == (State.TODO, "v2.0")


def test_a_tag_that_was_moved_or_removed(project: Path, template: Path) -> None:
    first, second, last = (git(template, "rev-parse", revision).strip() for revision in ("v1.0.0", "v2.0", "main"))
    git(template, "tag", "--force", "v2.0", "main")
    row, target = judged(project, template, "v2.0", second)
    assert row.text == (f"v2.0 (commit {second[:7]}; the template has moved the tag to {last[:7]}); the newest is v2.0")
    assert (row.state, row.remedy, target) == (State.TODO, "protoserve update", "v2.0")
    assert judged(project, template, "v2.0")[0].state is State.OK, "what was not recorded is not judged"

    git(template, "tag", "--delete", "v1.0.0")
    row, target = judged(project, template, "v1.0.0", first)
    assert row.text == f"v1.0.0 (commit {first[:7]}; the template no longer has the tag v1.0.0); the newest is v2.0"
    assert (row.state, target) == (State.TODO, "v2.0")
    recorded = Recorded(str(template), "v1.0.0", "")
    row = version(project, recorded, available)
    assert (row.state, row.text) == (State.UNKNOWN, "v1.0.0; the newest is v2.0; the template has no v1.0.0")
    assert row.remedy.startswith("restore the tag v1.0.0 in the template, or set _commit in .copier-answers.yml")
    compared = compare(recorded, available(project, str(template)))
    with pytest.raises(UpdateError, match=r"has no v1\.0\.0.*: restore the tag"):
        target_version(None, Request(project, {}, {}, recorded), compared)
    (project / ".copier-answers.yml").write_text("_commit: v1.0.0\n")
    assert version(project, recorded, available).remedy == "git restore .copier-answers.yml"


@pytest.mark.slow
def test_an_update_brings_what_a_moved_tag_has(work: Work, fork: Fork) -> None:
    template = fork(work)
    git(template, "tag", "-a", "-m", "candidate", "v2.0.0rc1")
    assert "- v2.0.0rc1 and v2.0.0 are the same commit of the template\n" in work.update().stdout
    work.commit()
    assert work.update().stdout.startswith("already at v2.0.0rc1 (the same commit as v2.0.0), the newest version of ")
    (template / "template/NOTES.md").write_text("Moved.\n", encoding="utf-8")
    commit(template, "moved")
    for tag in ("v2.0.0rc1", "v2.0.0"):
        git(template, "tag", "--force", tag)
    row = json.loads(work.status("--format", "json", check=False).stdout)["rows"][0]
    assert (row["state"], row["remedy"]) == ("todo", "protoserve update")
    (template.parent / "changes").write_text(work.update("--dry-run").stdout, encoding="utf-8")
    git(work.path, "apply", "--check", str(template.parent / "changes"))
    done = work.update()
    assert work.read("NOTES.md") == "Moved.\n"
    assert "the merge starts from the commit that the project was made from" in done.stdout
    work.commit()
    assert work.status("--fail-on", "template,files,generated").returncode == 0
