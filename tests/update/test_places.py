"""Where templates and projects lie: short forms and URLs, relative paths, larger repositories, untagged commits."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from protoserve.platform import answers
from protoserve.project.status.report import State
from protoserve.project.status.rows import version
from protoserve.project.update import template_versions
from releases import Work, commit, git, make_project, release

pytestmark = pytest.mark.slow

Fork = Callable[[Work], Path]


def pointed_at(work: Work, source: str, recorded: str = "v1.0.0") -> Work:
    """The project records another place, or another version, of its template."""
    answers = work.read(".copier-answers.yml").splitlines(keepends=True)
    lines = [line for line in answers if not line.startswith(("_src_path:", "_commit:"))]
    work.write(".copier-answers.yml", "".join([f"_commit: {recorded}\n", f"_src_path: {source}\n", *lines]))
    work.commit("another place")
    return work


def newest(work: Work) -> tuple[State, str]:
    """How a status finds the project's version, and the newest that it names; an update takes the same."""
    row = version(
        work.path, template_versions.recorded(work.path, answers.load(work.path)), template_versions.available
    )
    return row.state, row.text.split()[-1]


def instead_of(url: str, releases: Path) -> dict[str, str]:
    """Variables that let git find `releases` under a URL, as if it lay on a server."""
    return {
        "GIT_CONFIG_COUNT": "2",
        "GIT_CONFIG_KEY_0": f"url.file://{releases}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
        "GIT_CONFIG_KEY_1": "safe.directory",
        "GIT_CONFIG_VALUE_1": "*",
    }


@pytest.mark.parametrize(
    ("source", "url"),
    [
        ("gh:acme/models", "https://github.com/acme/models.git"),
        ("git@git.example.com:models.git", "git@git.example.com:models.git"),
    ],
)
def test_remote_templates(work: Work, releases: Path, source: str, url: str) -> None:
    variables = instead_of(url, releases)
    pointed_at(work, source)
    status = json.loads(work.status("--format", "json", check=False, **variables).stdout)
    assert status["rows"][0]["said"] == "v1.0.0; the newest is v2.0.0"
    work.update(**variables)
    assert f"_src_path: {source}\n" in work.read(".copier-answers.yml")
    assert "_commit: v2.0.0\n" in work.read(".copier-answers.yml")
    assert (work.path / "tests/test_server.py").exists()


def test_a_relative_path_counts_from_the_project(work: Work, releases: Path) -> None:
    relative = os.path.relpath(releases, work.path)
    pointed_at(work, relative)
    elsewhere = Work(work.path.parent, work.home)
    elsewhere.update(work.path.name)
    assert f"_src_path: {relative}\n" in work.read(".copier-answers.yml")
    assert (work.path / "tests/test_server.py").exists()


def test_a_project_in_a_larger_repository(work: Work, first: Work, tmp_path: Path) -> None:
    company = tmp_path / "company"
    services = company / "services"
    services.mkdir(parents=True)
    shutil.copytree(first.path, services / "iris", ignore=shutil.ignore_patterns(".git"))
    (company / "README.md").write_text("Ours.\n", encoding="utf-8")
    git(company, "init", "--quiet", "--initial-branch=main")
    project = Work(services / "iris", first.home)
    project.edit("src/iris/server/core/outcomes.py", "the server failed to answer this request", "no luck today")
    project.write(
        "src/iris/server/transports/health.py", project.read("src/iris/server/transports/health.py") + "\n# Mine.\n"
    )
    commit(company, "made")
    shutil.copytree(company, tmp_path / "bare")
    # Work elsewhere in the repository is in nobody's way.
    (company / "README.md").write_text("Ours, and not finished.\n", encoding="utf-8")

    done = project.update(check=False)
    assert done.returncode == 3, done.stderr
    changed = git(company, "status", "--porcelain", "--untracked-files=all").splitlines()
    assert "UU services/iris/src/iris/server/core/outcomes.py" in changed
    assert " M README.md" in changed
    assert {line[3:].split("/")[0] for line in changed} == {"README.md", "services"}
    assert project.read("src/iris/server/transports/healthiness.py").endswith("\n# Mine.\n")
    assert not (project.path / "src/iris/server/transports/health.py").exists()

    bare = Work(tmp_path / "bare/services/iris", first.home)
    bare.copier()
    assert bare.state() == project.state()


def test_a_project_made_between_two_releases(releases: Path, home: Path, tmp_path: Path) -> None:
    template = tmp_path / "models"
    shutil.copytree(releases, template)
    git(template, "checkout", "--quiet", "-b", "work", "v1.0.0")
    (template / "template/NOTES.md").write_text("Between.\n", encoding="utf-8")
    commit(template, "between")
    work = make_project(template, tmp_path / "iris", "work", home)
    assert "_commit: v1.0.0-1-g" in work.read(".copier-answers.yml")
    assert newest(work) == (State.TODO, "v2.0.0")
    work.update("--to", "v2.0.0")
    assert not (work.path / "NOTES.md").exists()
    assert (work.path / "tests/test_server.py").exists()


def test_a_template_whose_only_release_is_older_than_the_project(releases: Path, home: Path, tmp_path: Path) -> None:
    template = tmp_path / "models"
    shutil.copytree(releases, template)
    (template / "template/NOTES.md").write_text("Newer.\n", encoding="utf-8")
    commit(template, "newer")
    work = make_project(template, tmp_path / "iris", "HEAD", home)
    assert "_commit: v2.0.0-1-g" in work.read(".copier-answers.yml")
    assert work.update().stdout.startswith("already at v2.0.0-1-g")
    assert newest(work) == (State.OK, "v2.0.0")
    (template / "template/NOTES.md").write_text("Newer still.\n", encoding="utf-8")
    commit(template, "newer still")
    work.update("--to", "HEAD")
    assert work.read("NOTES.md") == "Newer still.\n"
    assert "_commit: v2.0.0-2-g" in work.read(".copier-answers.yml")


def test_a_template_without_any_tag(releases: Path, home: Path, tmp_path: Path) -> None:
    template = tmp_path / "models"
    git(tmp_path, "clone", "--quiet", "--no-tags", str(releases), "models")
    git(template, "checkout", "--quiet", "HEAD~2")
    work = make_project(template, tmp_path / "iris", "HEAD", home)
    assert work.update().stdout.startswith("already at ")
    git(template, "checkout", "--quiet", "main")
    head = git(template, "rev-parse", "HEAD")
    state, text = newest(work)
    assert state is State.TODO
    work.update()
    recorded = str(answers.load(work.path)["_commit"])
    assert head.startswith(recorded)
    assert head.startswith(text)
    assert (work.path / "tests/test_server.py").exists()


def test_a_pre_release_is_taken_by_name_only(work: Work, fork: Fork) -> None:
    template = fork(work)
    (template / "template/NOTES.md").write_text("Soon.\n", encoding="utf-8")
    release(template, "v3.0.0rc1")
    assert newest(work) == (State.TODO, "v2.0.0")
    work.update("--to", "v3.0.0rc1")
    assert work.read("NOTES.md") == "Soon.\n"
