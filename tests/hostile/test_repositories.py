"""Commands in a repository whose own settings, hooks and attributes would run programs: looking runs none of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from commands import run_copy
from hostile.situations import bounded
from protoserve.platform.git import GitError, filters_of_the_repository, find_repository, git, run
from releases import Work, environment
from releases import git as plain_git

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs scripts with #!")

# Settings whose value is a command; a `!` begins one for the shell.
PROGRAMS = """
core.fsmonitor core.sshCommand core.pager core.editor core.askPass core.gitProxy core.alternateRefsCommand
sequence.editor diff.external diff.evil.textconv diff.evil.command merge.evil.driver gpg.program gpg.ssh.program
gpg.x509.program gpg.ssh.defaultKeyCommand uploadpack.packObjectsHook remote.origin.uploadpack
remote.origin.receivepack filter.evil.clean filter.evil.smudge filter.evil.process filter.a=b.clean filter.it's.clean
pager.status pager.diff pager.log interactive.diffFilter trailer.evil.command difftool.evil.cmd mergetool.evil.cmd
""".split()
SHELL_COMMANDS = """
credential.helper credential.https://localhost.helper submodule.evil.update alias.status alias.ls-files alias.rev-parse
""".split()
HOOKS = """
post-index-change post-checkout post-commit post-merge post-rewrite pre-commit prepare-commit-msg commit-msg
reference-transaction fsmonitor-watchman pre-auto-gc pre-push
""".split()


class Canary:
    """A program that notes each of its calls, and a repository that tries to have it called."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._calls = folder / "calls"
        self.program = folder / "program"
        self._script(self.program)
        self._folder = folder

    def _script(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'#!/bin/sh\necho "{path.name} $@" >> "{self._calls}"\ncat\n', encoding="utf-8")
        path.chmod(0o755)

    def calls(self) -> list[str]:
        return self._calls.read_text(encoding="utf-8").splitlines() if self._calls.exists() else []

    def put_into(self, project: Path) -> None:
        """Sets everything that runs a program, and lets git look at the content of every file again."""
        included = self._folder / "included"
        included.write_text(f'[filter "included"]\n\tclean = {self.program}\n\tsmudge = {self.program}\n')
        attributes = (
            "*.py filter=evil diff=evil merge=evil\n*.yaml filter=a=b\n*.json filter=it's\n*.md filter=included\n"
        )
        (project / ".git/info/attributes").write_text(attributes, encoding="utf-8")
        settings = {
            **dict.fromkeys(PROGRAMS, str(self.program)),
            **dict.fromkeys(SHELL_COMMANDS, f"!{self.program}"),
            "core.hooksPath": str(self._folder / "hooks"),
            "filter.evil.required": "true",
            "include.path": str(included),
            "protocol.allow": "always",
            "protocol.ext.allow": "always",
            "remote.origin.url": f"ext::{self.program} %S",
            "remote.origin.vcs": "evil",
            f"url.ext::{self.program} .insteadOf": "https://",
            "log.showSignature": "true",
        }
        for name, value in settings.items():
            plain_git(project, "config", name, value)
        for name in HOOKS:
            self._script(self._folder / "hooks" / name)
            self._script(project / ".git/hooks" / name)
        for path in project.rglob("*"):
            if path.is_file() and ".git" not in path.parts:
                os.utime(path)


@pytest.fixture
def canary(tmp_path: Path) -> Canary:
    return Canary(tmp_path / "canary")


LOOKING = [
    ["status"],
    ["diff"],
    ["renumber"],
    ["version", "v2"],
    ["generate", "--check"],
    ["verify", "."],
    pytest.param(["update", "--dry-run"], marks=pytest.mark.slow),
    pytest.param(["update", "--dry-run", "--set", "port=9100"], marks=pytest.mark.slow),
]


@pytest.mark.parametrize("command", LOOKING)
def test_looking_runs_nothing_of_the_repository(command: list[str], work: Work, canary: Canary) -> None:
    canary.put_into(work.path)
    before = canary.calls()
    done = run_copy(
        "protoserve", *command, cwd=work.path, env=environment(work.home), check=False, copies_generator=True
    )
    assert canary.calls() == before, done
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_adopting_runs_nothing_of_the_repository(by_hand: Path, template: Path, canary: Canary, work: Work) -> None:
    canary.put_into(by_hand)
    before = canary.calls()
    command = ["adopt", str(by_hand), "--template", str(template), "--ref", "v1.0.0", "--defaults"]
    done = run_copy("protoserve", *command, cwd=by_hand, env=environment(work.home), check=False, copies_generator=True)
    assert canary.calls() == before, done


def test_status_runs_no_script_of_the_project(work: Work, canary: Canary) -> None:
    script = work.path / "scripts/generate.py"
    script.write_text(f"import subprocess\nsubprocess.run([{str(canary.program)!r}])\n", encoding="utf-8")
    done = work.status(check=False)
    assert canary.calls() == []
    assert "generated" in done.stdout


def test_filters_run_for_what_writes(work: Work, canary: Canary) -> None:
    """As when git checks out: they are the author's, as those of git-crypt are."""
    plain_git(work.path, "config", "filter.evil.clean", str(canary.program))
    (work.path / ".git/info/attributes").write_text("README.md filter=evil\n", encoding="utf-8")
    os.utime(work.path / "README.md")
    git(work.path, "status", "--porcelain")
    assert canary.calls() == []
    with filters_of_the_repository():
        git(work.path, "status", "--porcelain")
    assert canary.calls() != []


def test_a_setting_of_the_user_stands_in_for_that_of_the_repository(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    of_the_user = tmp_path / "gitconfig"
    of_the_user.write_text("[core]\n\tsshCommand = ssh -4\n[credential]\n\thelper = store\n\thelper = cache\n")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(of_the_user))
    for name, value in (("core.sshCommand", "evil"), ("credential.helper", "!evil"), ("core.gitProxy", "evil")):
        plain_git(work.path, "config", name, value)
    parts = {name: _seen(work.path, name) for name in ("core.sshCommand", "credential.helper", "core.gitProxy")}
    assert parts["core.sshCommand"][-1] == "ssh -4"
    assert parts["credential.helper"][-3:] == ["", "store", "cache"]
    assert parts["core.gitProxy"][-1] == "none"


def _seen(folder: Path, name: str) -> list[str]:
    """What a command of protoserve takes the setting for: an alias of the user asks git from within one."""
    shown = run(folder, "-c", f"alias.seen=config --get-all {name}", "seen").stdout
    return shown.decode().split("\n")[:-1]


def test_a_repository_among_the_committed_files_is_not_taken_for_one(tmp_path: Path, canary: Canary) -> None:
    """Every clone would bring its settings along."""
    inner = tmp_path / "outer" / "inner"
    plain_git(tmp_path, "init", "--quiet", "outer")
    plain_git(tmp_path, "init", "--quiet", "--bare", str(inner))
    plain_git(inner, "config", "core.bare", "false")
    plain_git(inner, "config", "core.worktree", str(inner))
    plain_git(inner, "config", "core.fsmonitor", str(canary.program))
    with pytest.raises(GitError):
        git(inner, "status", "--porcelain")
    assert canary.calls() == []


@pytest.mark.parametrize(
    "name", [".gitignore", "src/.gitattributes", ".git/info/exclude", ".git/HEAD", ".git/config", ".git/index"]
)
def test_git_waits_for_no_pipe(name: str, work: Work) -> None:
    path = work.path / name
    path.unlink(missing_ok=True)
    os.mkfifo(path)
    with bounded(20), pytest.raises(GitError, match="is not a regular file, and git would read it: remove it"):
        find_repository(work.path)


def test_a_command_that_does_not_end_is_ended_with_what_it_started(work: Work, tmp_path: Path) -> None:
    started = tmp_path / "started"
    plain_git(work.path, "config", "alias.wait", f"!sh -c 'echo $$ > {started}; sleep 60'")
    with pytest.raises(GitError, match="`git wait` did not finish within 1 seconds"):
        run(work.path, "wait", seconds=1)
    number = int(started.read_text(encoding="ascii"))
    assert not _is_running(number)


def _is_running(number: int) -> bool:
    done = subprocess.run(["ps", "-o", "stat=", "-p", str(number)], capture_output=True, text=True, check=False)
    return done.stdout.strip()[:1] not in ("", "Z")


@pytest.fixture(autouse=True)
def _no_leftovers(tmp_path: Path) -> Iterator[None]:
    yield
    shutil.rmtree(tmp_path / "canary", ignore_errors=True)
