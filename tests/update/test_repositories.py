"""Repositories as people have them: SHA-256, partial clones, foreign owners, missing homes, credentials in URLs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from protoserve.platform.credentials import without_credentials
from releases import Work, git

CONFLICT = "src/iris/server/core/outcomes.py"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("https://user:TOKEN@host/x.git", "https://host/x.git"),
        ("git+https://TOKEN@host:8443/x", "git+https://host:8443/x"),
        ("HTTPS://user%40corp:TO%2FKEN@host/a@b", "HTTPS://host/a@b"),
        ("ssh://git:TOKEN@host/x and ssh://git@host/y", "ssh://git@host/x and ssh://git@host/y"),
        (
            "'https://:TOKEN@[::1]:80/x': url.https://a:TOKEN@b/.insteadOf",
            "'https://[::1]:80/x': url.https://b/.insteadOf",
        ),
        ("https://user:TO/KEN@host/x", "https://host/x"),
        ("'https://a:TOKEN@host/x.git?access_token=TOKEN/': no", "'https://host/x.git': no"),
        ("https://user:TO@KEN@host/x", "https://host/x"),
        (
            "git@host:x/y, http://[::1]:80/a@b, https://host:80/a@b",
            "git@host:x/y, http://[::1]:80/a@b, https://host:80/a@b",
        ),
    ],
)
def test_credentials_are_left_out(text: str, printed: str) -> None:
    assert without_credentials(text) == printed


@pytest.mark.slow
def test_nothing_prints_a_token(work: Work, releases: Path) -> None:
    url = "https://user:TOKEN@host.invalid/models.git"
    work.edit(".copier-answers.yml", f"_src_path: {releases}\n", f"_src_path: {url}\n")
    work.commit()
    generate = ("python", "scripts/generate.py", "--check")
    reached = {
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": f"url.file://{releases}.insteadOf",
        "GIT_CONFIG_VALUE_0": url,
        "XDG_CACHE_HOME": str(work.path.parent / "cache"),
    }
    unreachable = {"XDG_CACHE_HOME": str(work.path.parent / "empty")}
    runs = [
        work.status(check=False, **unreachable),
        work.update(check=False, **unreachable),
        work.run(*generate, check=False, **unreachable),
        work.run("protoserve", "new", "../other", "--defaults", "--template", url, check=False),
        work.status("--format", "json", check=False, **reached),
        work.update("--dry-run", **reached),
        work.update("--format", "json", "--set", f"description=See {url}", "--to", "latest", **reached),
        work.run(*generate, check=False, **reached),
    ]
    assert [done.returncode for done in runs] == [2, 1, 1, 1, 1, 0, 0, 0]
    assert [done.args for done in runs if "TOKEN" in done.stdout + done.stderr] == []
    assert f"_src_path: {url}\n" in work.read(".copier-answers.yml")
    for done in runs[1:3]:
        assert ".copier-answers.yml" in done.stderr
        assert "_src_path" in done.stderr


@pytest.mark.slow
def test_a_repository_of_sha_256(work: Work) -> None:
    shutil.rmtree(work.path / ".git")
    git(work.path, "init", "--quiet", "--object-format=sha256")
    work.edit(CONFLICT, "the server failed to answer this request", "no luck today")
    work.commit()
    assert work.update(check=False).returncode == 3
    assert git(work.path, "ls-files", "--unmerged").count(CONFLICT) == 3
    assert git(work.path, "show", f":1:{CONFLICT}").count("the server failed to answer this request") == 1
    assert "no luck today" in git(work.path, "show", f":2:{CONFLICT}")


@pytest.mark.slow
def test_a_partial_and_sparse_clone(work: Work, tmp_path: Path) -> None:
    git(work.path, "config", "uploadpack.allowFilter", "true")
    git(work.path, "config", "uploadpack.allowAnySHA1InWant", "true")
    git(tmp_path, "clone", "--quiet", "--filter=tree:0", "--sparse", f"file://{work.path}", "partial")
    clone = Work(tmp_path / "partial", work.home)
    git(clone.path, "sparse-checkout", "set", "src")
    work.update()
    clone.update()
    changed = [name for name, content in work.state().items() if clone.state().get(name, content) != content]
    assert [name for name in changed if not name.startswith("(")] == []
    assert "git sparse-checkout add scripts" in clone.status("--fail-on", "generated", check=False).stdout
    shutil.rmtree(tmp_path / "partial")
    git(tmp_path, "clone", "--quiet", "--filter=blob:none", "--sparse", f"file://{work.path}", "partial")
    git(clone.path, "remote", "set-url", "origin", str(tmp_path / "gone"))
    assert (
        "this clone is partial, and what it lacks of the project cannot be fetched" in clone.update(check=False).stderr
    )


@pytest.mark.slow
def test_folders_of_the_user_that_cannot_be_used(work: Work, releases: Path) -> None:
    work.edit(".copier-answers.yml", f"_src_path: {releases}\n", f"_src_path: git+file://{releases}\n")
    work.commit()
    (work.path / "tmp").mkdir()
    nothing = "/proc/nothing"
    variables = {"HOME": nothing, "XDG_CACHE_HOME": "", "COPIER_CACHE_DIR": "", "TMPDIR": str(work.path / "tmp")}
    variables |= {f"GIT_{role}_{what}": "T" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    status = json.loads(work.status("--format", "json", check=False, **variables).stdout)
    assert [row["state"] for row in status["rows"]] == ["todo", *["ok"] * 6]
    assert work.update(**variables).returncode == 0
    assert list((work.path / "tmp").iterdir()) == []
    generate = work.run("python", "scripts/generate.py", check=False, **variables)
    assert "/proc/nothing/.cache/protoserve cannot be written" in generate.stderr
    assert "set XDG_CACHE_HOME to a folder that can" in generate.stderr


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
def test_a_project_or_a_template_of_another_owner(work: Work, fork: Callable[[Work], Path]) -> None:
    template = fork(work)
    subprocess.run(["chown", "-R", "nobody", str(template)], check=True)
    trust = f"git config --global --add safe.directory {template}"
    row = json.loads(work.status("--format", "json", check=False).stdout)["rows"][0]
    assert (row["state"], trust in row["said"]) == ("unknown", True)
    for command in (["update"], ["generate"], ["new", "../other", "--defaults", "--template", str(template)]):
        done = work.run("protoserve", *command, check=False)
        assert (done.returncode, trust in done.stderr) == (1, True)
    subprocess.run(["chown", "-R", "nobody", str(work.path)], check=True)
    trust = f"run `git config --global --add safe.directory {work.path}`"
    for name, code in (("status", 2), ("update", 1), ("diff", 2)):
        done = work.run("protoserve", name, check=False)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (code, "", 1)
        assert trust in done.stderr
