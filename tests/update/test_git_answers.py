"""What protoserve reads from git does not depend on the settings and the environment of its user, and runs nothing."""

from __future__ import annotations

import tarfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from git_settings import OTHER_VALUES, SETTINGS, VARIABLES, as_file, hostile_files
from protoserve.platform.credentials import without_credentials
from protoserve.platform.git import GitError, find_repository, git, git_line, git_paths, reason, run, status
from protoserve.project.lost_edits.merge_files import merge
from releases import git as git_of_the_user

SAFE = {"GIT_CONFIG_COUNT": "1", "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder of a repository with tags, changes of each kind, and a repository in it."""
    root = tmp_path / "monorepo"
    folder = root / "model"
    folder.mkdir(parents=True)
    lines = [f"def f{number}():\n    return {number}\n\n" for number in range(9)]
    (folder / "model.py").write_text("".join(lines), encoding="utf-8")
    (folder / "näme.txt").write_text("one  \ntwo\n", encoding="utf-8")
    (folder / "moved.txt").write_text("a text that moves\n" * 5, encoding="utf-8")
    (folder / ".gitignore").write_text("*.log\n", encoding="utf-8")
    (folder / ".gitattributes").write_text("*.txt eol=lf\n", encoding="utf-8")
    git_of_the_user(root, "init", "--quiet", "--initial-branch=main")
    git_of_the_user(root, "init", "--quiet", str(folder / "other"))
    git_of_the_user(folder / "other", "commit", "--quiet", "--allow-empty", "--message=empty")
    git_of_the_user(root, "-c", "advice.addEmbeddedRepo=false", "add", "--all")
    git_of_the_user(root, "commit", "--quiet", "--message=first")
    for tag in ("v1.9.0", "v1.10.0", "v2.0.0-rc1"):
        git_of_the_user(root, "tag", tag)
    (folder / "model.py").write_text("".join([*lines[:4], "changed\n", *lines[4:-1]]), encoding="utf-8")
    (folder / "moved.txt").rename(folder / "renamed.txt")
    git_of_the_user(root, "add", "model/moved.txt", "model/renamed.txt")
    (folder / "new.txt").write_text("new\n", encoding="utf-8")
    (folder / "x.log").write_text("ignored\n", encoding="utf-8")
    (folder / "other" / "untracked").write_text("new\n", encoding="utf-8")
    return folder


def answers(project: Path) -> dict[str, Any]:
    """What git answers to each kind of command that protoserve runs."""
    repository = find_repository(project)
    assert repository is not None
    archive = git(project, "archive", "--format=tar", "HEAD")
    with tarfile.open(fileobj=BytesIO(archive)) as tar:
        archived = [(member.name, member.mode) for member in tar]
    ours, base, theirs = b"1\na\n2\n", b"1\nb\n2\n", b"1\nc\n2\n"
    return {
        "place": (repository.prefix, repository.root, repository.shallow, repository.object_format, repository.tree),
        "history": (repository.commit("v1.9.0"), repository.ancestors("HEAD", 5), repository.files("HEAD", "model")),
        "content": repository.read("HEAD", "model/model.py"),
        "lists": (repository.listed(), repository.tracked(), repository.uncommitted()),
        "status": [*status(project)],
        "ignored": [*status(project, "--ignored=traditional", "--untracked-files=all")],
        "diff": git(project, "diff", "HEAD"),
        "staged": git(project, "diff", "--cached", "--stat", "--patch", "HEAD"),
        "names": git_paths(project, "diff", "--name-only", "--relative", "-z", "HEAD"),
        "search": git_paths(project, "grep", "-nz", "--untracked", "-e", "^def f[12](.*$", exit_codes=(0, 1)),
        "described": git_line(project, "describe", "--tags", "--long"),
        "short": git_line(project, "rev-parse", "--short", "HEAD"),
        "releases": git(project, "ls-remote", "--", str(repository.root), "HEAD", "refs/tags/*"),
        "archive": archived,
        "rules": git_line(project, "check-ignore", "--no-index", "--verbose", "x.log"),
        "attributes": git_line(project, "check-attr", "eol", "--", "new.txt"),
        "merge": merge(project, ours, base, theirs),
    }


def use(monkeypatch: pytest.MonkeyPatch, folder: Path, settings: Iterable[tuple[str, str]]) -> None:
    path = folder / "gitconfig"
    path.write_text(as_file(settings, folder), encoding="utf-8")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(path))


def test_all_settings_and_variables_at_once(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = answers(project)
    hostile = hostile_files(tmp_path / "hostile")
    use(monkeypatch, hostile, SETTINGS.items())
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value.format(folder=hostile))
    assert answers(project) == before
    assert not (hostile / "ran").exists()
    with pytest.raises(GitError, match=r"^not a valid object name: nothing$"):
        git(project, "archive", "nothing")


@pytest.mark.slow
def test_each_setting_alone(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = answers(project)
    hostile = hostile_files(tmp_path / "hostile")
    for setting in (*SETTINGS.items(), *OTHER_VALUES):
        use(monkeypatch, hostile, [setting])
        assert answers(project) == before, setting
        assert not (hostile / "ran").exists(), setting
    use(monkeypatch, hostile, [])
    for name, value in VARIABLES.items():
        with monkeypatch.context() as only:
            only.setenv(name, value.format(folder=hostile))
            assert answers(project) == before, name


def test_settings_in_the_repository_run_nothing(project: Path, tmp_path: Path) -> None:
    before = answers(project)
    hostile = hostile_files(tmp_path / "hostile")
    program = f"{hostile}/hooks/post-checkout"
    for name, value in (
        ("core.fsmonitor", program),
        ("core.hooksPath", f"{hostile}/hooks"),
        ("diff.external", program),
        ("diff.mine.command", program),
        ("diff.mine.textconv", program),
    ):
        git_of_the_user(project, "config", name, value)
    (project.parent / ".git" / "info" / "attributes").write_text("*.py diff=mine\n", encoding="utf-8")
    assert answers(project) == before
    assert not (hostile / "ran").exists()


def test_which_folders_git_trusts_and_url_rewrites_stay_the_authors(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, tmp_path, [(f"url.{project.parent}.insteadOf", "https://example.com/team")])
    assert b"refs/tags/v1.10.0\n" in git(project, "ls-remote", "--", "https://example.com/team")
    for name, value in SAFE.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'my.own=value'")
    assert git_line(project, "config", "--get", "safe.directory") == "*"
    assert git_line(project, "config", "--get", "my.own") == "value"
    monkeypatch.setenv("GIT_TRACE", str(tmp_path / "trace"))  # into a file it disturbs nothing
    run(project, "status")
    assert "status" in (tmp_path / "trace").read_text(encoding="utf-8")


NOTE = "Note: switching to 'abc'.\n\nYou are in 'detached HEAD' state.\n\nTurn off this advice by setting config\n\n"
DUBIOUS = (
    "fatal: detected dubious ownership in repository at '/srv/a b'\nTo add an exception for this directory, call:\n\n"
    "\tgit config --global --add safe.directory '/srv/a b'\n"
)


@pytest.mark.parametrize(
    ("stderr", "cause"),
    [
        (f"{NOTE}HEAD is now at abc text\n", "git failed"),
        (f"{NOTE}HEAD is now at abc text\nthe hook refuses\n", "the hook refuses"),
        ("hint: do this\nwarning: old\nfatal: boom\n", "boom"),
        ("16:40:04.12 git.c:455 trace: built-in: git x\nfatal: boom\n", "boom"),
        ("Cloning into 'x'...\nReceiving objects:  10% (1/10)\rremote: Total 3\nfatal: early EOF\n", "early EOF"),
        (
            "** WARNING: connection is not using ...\ngit@h: Permission denied (publickey).\n"
            "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\n",
            "git@h: Permission denied (publickey).",
        ),
        (
            DUBIOUS,
            "detected dubious ownership in repository at '/srv/a b': if you trust it, run `git config --global --add "
            "safe.directory '/srv/a b'`",
        ),
        (
            "fatal: unable to access 'https://user:TOKEN@host/x.git/': refused\n",
            "unable to access 'https://host/x.git/': refused",
        ),
    ],
)
def test_the_reason_of_an_error_is_its_cause(stderr: str, cause: str) -> None:
    assert reason(stderr) == cause


def test_credentials_are_left_out_of_urls() -> None:
    for text, clean in (
        ("https://user:TOKEN@host/x", "https://host/x"),
        ("git+HTTPS://TOKEN@host:8443/x.git", "git+HTTPS://host:8443/x.git"),
        ("'https://user:p@ss@[::1]/x' and http://t@h", "'https://[::1]/x' and http://h"),
        ("ssh://git@host/x", "ssh://git@host/x"),
        ("ssh://git:PASSWORD@host/x", "ssh://git@host/x"),
        ("git@host:team/x.git", "git@host:team/x.git"),
        ("https://host/x@v1", "https://host/x@v1"),
    ):
        assert without_credentials(text) == clean
    assert str(GitError("no https://user:TOKEN@host/x")) == "no https://host/x"
