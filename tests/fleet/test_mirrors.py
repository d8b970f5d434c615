"""Mirrors of repositories, and what is checked out of them: what is fetched, from whom, and what does not run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from protoserve.fleet import git_access, mirrors
from protoserve.fleet.checkout import CheckoutError, checked_out, commit_of
from protoserve.fleet.mirrors import MirrorError, mirror
from protoserve.fleet.model import Project
from releases import commit, git


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The fleet's cache, of a user with settings of their own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    for cached in (git_access.without_prompts, git_access.without_filters):
        cached.cache_clear()
    return tmp_path / "cache/protoserve/fleet"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a file, a folder, and a tag."""
    folder = tmp_path / "repository"
    (folder / "services" / "a").mkdir(parents=True)
    (folder / "services" / "a" / "file").write_text("a", encoding="utf-8")
    (folder / "root").write_text("root", encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    commit(folder, "first")
    git(folder, "tag", "--annotate", "--message=v1", "v1")
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if ".git" not in path.parts)


def test_a_mirror_follows_its_repository(cache: Path, repository: Path) -> None:
    made = mirror(str(repository))
    assert (made.default_branch, set(made.tags)) == ("main", {"v1"})
    project = Project("x", str(repository))
    with checked_out(project, made, commit_of(project, made)) as folder:
        assert names(folder) == ["root", "services", "services/a", "services/a/file"]
        assert git(folder, "describe", "--tags").strip() == "v1"
        assert git(folder, "status", "--porcelain") == ""
    (repository / "root").unlink()
    commit(repository, "second")
    git(repository, "tag", "--delete", "v1")
    made = mirror(str(repository))
    assert not made.tags
    part = Project("x", str(repository), folder="services/a")
    with checked_out(part, made, commit_of(part, made)) as folder:
        assert names(folder.parents[1]) == ["services", "services/a", "services/a/file"]
        assert git(folder, "rev-parse", "--show-prefix").strip() == "services/a/"
    other = Project("x", str(repository), folder="services/b")
    commit_of_other = commit_of(other, made)
    with pytest.raises(CheckoutError, match="no folder services/b on this branch"):
        checked_out(other, made, commit_of_other).__enter__()
    assert [path.name for path in cache.iterdir()] == ["mirrors"]


def test_a_partial_mirror_fetches_the_contents_that_it_needs(
    cache: Path, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirrors, "is_remote", lambda address: True)
    for setting in ("allowFilter", "allowAnySHA1InWant"):
        git(repository, "config", f"uploadpack.{setting}", "true")
    made = mirror(f"file://{repository}")
    missing = ("rev-list", "--objects", "--all", "--missing=print")
    assert git(made.folder, "--git-dir=.", *missing).count("\n?") == 2
    part = Project("x", str(repository), folder="services/a")
    with checked_out(part, made, commit_of(part, made)) as folder:
        assert (folder / "file").read_text(encoding="utf-8") == "a"
        assert git(folder, "show", "v1:root") == "root"  # git fetches it, as in any partial clone
    assert git(made.folder, "--git-dir=.", *missing).count("\n?") == 1  # the file of another project


def test_no_hook_and_no_filter_runs(cache: Path, repository: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    script = tmp_path / "hooks" / "post-checkout"
    script.parent.mkdir()
    script.write_text(f"#!/bin/sh\ntouch {trace}\n", encoding="utf-8")
    script.chmod(0o755)
    settings = f'[core]\nhooksPath = {script.parent}\n[filter "x"]\nsmudge = touch {trace}\nrequired = true\n'
    (repository / ".gitattributes").write_text("* filter=x\n", encoding="utf-8")
    commit(repository, "attributes")
    (tmp_path / ".gitconfig").write_text(settings, encoding="utf-8")
    project = Project("x", str(repository))
    made = mirror(str(repository))
    with checked_out(project, made, commit_of(project, made)) as folder:
        assert (folder / "root").read_text(encoding="utf-8") == "root"
    assert not trace.exists()


def test_nobody_is_asked_for_a_password(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trace = tmp_path / "asked"
    asks = tmp_path / "ask"
    asks.write_text(f"#!/bin/sh\ntouch {trace}\necho secret\n", encoding="utf-8")
    asks.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(asks))
    with server_that_wants_a_password() as address, pytest.raises(MirrorError) as caught:
        mirror(f"http://me:SECRET@{address}/fraud.git")
    assert "SECRET" not in str(caught.value)
    assert not trace.exists()
    monkeypatch.setenv("GIT_SSH_COMMAND", "ssh -i key")
    git_access.without_prompts.cache_clear()
    assert git_access.without_prompts()["GIT_SSH_COMMAND"] == "ssh -i key -o BatchMode=yes"
    monkeypatch.setenv("GIT_SSH_COMMAND", "plink -batch")
    git_access.without_prompts.cache_clear()
    assert "GIT_SSH_COMMAND" not in git_access.without_prompts()
    git_access.without_prompts.cache_clear()


@contextmanager
def server_that_wants_a_password() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as made:
        threading.Thread(target=made.serve_forever, daemon=True).start()
        try:
            yield f"127.0.0.1:{made.server_port}"
        finally:
            made.shutdown()


def test_what_an_ended_run_left_is_made_anew(cache: Path, repository: Path) -> None:
    made = mirror(str(repository))
    made.folder.rename(made.folder.with_name(f"{made.folder.name}.unfinished"))
    assert mirror(str(repository)) == made
    with pytest.raises(MirrorError, match=r"does not (exist|appear)|not a git repository"):
        mirror(str(repository / "nothing"))
    assert {path.suffix for path in (cache / "mirrors").iterdir()} == {".git", ".lock"}
