"""Settings of git that an author may have: what we see and do is the same, or a bare `copier update` is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands import protoserve
from git_settings import SETTINGS, VARIABLES, as_file, hostile_files
from protoserve.project.git_settings import harmful_settings
from releases import NEW, OLD, Work, environment, git


@pytest.fixture
def work(work: Work) -> Work:
    """With an edit that such settings would change, and a name that they would spoil."""
    work.edit("README.md", "```sh\nmake setup", "```sh  \nmake setup")
    work.write(".dockerignore", work.read(".dockerignore") + "# mine  \n\n\n")
    work.write("docs/näme.txt", "mine  \n")
    work.edit("requirements/dev.txt", "pytest>=9\n", "pytest>=9,<11\n")  # conflicts
    work.write(OLD, work.read(OLD) + "# mine\n")
    work.commit("mine")
    return work


def settings(folder: Path, text: str) -> dict[str, str]:
    path = folder / "gitconfig"
    path.write_text(text, encoding="utf-8")
    return {"GIT_CONFIG_GLOBAL": str(path)}


def variables(folder: Path) -> dict[str, str]:
    return {name: value.format(folder=folder) for name, value in VARIABLES.items()}


def test_an_update_goes_without_them(work: Work, tmp_path: Path) -> None:
    mine, own = work.read("README.md"), work.read(".dockerignore")
    (tmp_path / "ignored").write_text("*.md\n*.txt\n", encoding="utf-8")
    (tmp_path / "attributes").write_text("*.md diff=mine\n*.txt binary\n", encoding="utf-8")
    patterns = f"excludesFile = {tmp_path / 'ignored'}\nattributesFile = {tmp_path / 'attributes'}\n"
    hostile = hostile_files(tmp_path / "hostile")
    text = as_file(SETTINGS, hostile) + f'[core]\n{patterns}[diff "mine"]\nbinary = true\n'
    done = work.update("--to=v2.0.0", check=False, **settings(tmp_path, text), **variables(hostile))
    assert not (hostile / "ran").exists()
    assert done.returncode == 3, done.stderr
    assert git(work.path, "diff", "--name-only", "--diff-filter=U") == "requirements/dev.txt\n"
    assert "<<<<<<< before updating\npytest>=9,<11\n=======\n" in work.read("requirements/dev.txt")
    assert not list(work.path.rglob("*.rej"))
    assert work.read(NEW).endswith("# mine\n")
    assert "import grpc  # renamed in 2.0\n" in work.read(NEW)
    assert work.read("README.md") == mine.replace("## Start\n", "Ask nobody about it.\n\n## Start\n")
    assert work.read(".dockerignore") == own


@pytest.mark.slow
def test_bare_copier_is_stopped_before_it_begins_until_all_are_mended(work: Work, tmp_path: Path) -> None:
    mine, own, before = work.read("README.md"), work.read(".dockerignore"), work.state()
    for text, said, remedy in (
        (
            "[apply]\nwhitespace = strip\n",
            "git's apply.whitespace is strip, and spaces and empty lines of your edits would be lost",
            ("apply.whitespace", "nowarn"),
        ),
        (
            "[core]\nquotepath = off\n",
            "git's core.quotepath is false, and Copier cannot read names such as docs/näme.txt",
            ("--global", "core.quotepath", "true"),
        ),
        (
            "[status]\nshowUntrackedFiles = no\n",
            "git's status.showUntrackedFiles is no, and edits that conflict with the template's would be left out",
            ("status.showUntrackedFiles", "normal"),
        ),
    ):
        variables = settings(tmp_path, text)
        done = work.copier("--vcs-ref=v2.0.0", check=False, **variables)
        assert done.returncode != 0
        message = f"protoserve: {said}: use `protoserve update`, or set `git config {' '.join(remedy)}`\n"
        assert message in done.stderr
        assert work.state() == before
        work.run("git", "config", *remedy, **variables)
        before = work.state()  # which has the project's settings

    # The global settings are all wrong, but for the one that was mended there; the project's own remedies count.
    text = "[apply]\nwhitespace = strip\n[core]\nquotepath = true\n[status]\nshowUntrackedFiles = no\n"
    work.copier("--vcs-ref=v2.0.0", **settings(tmp_path, text))
    assert work.read("README.md") == mine.replace("## Start\n", "Ask nobody about it.\n\n## Start\n")
    assert work.read(".dockerignore") == own


def test_harmful_settings_are_named_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "README.md").write_text("text\n" * 100, encoding="utf-8")
    git(project, "init", "--quiet")
    git(project, "add", "--all")
    for name, value, harm in (
        ("apply.whitespace", "error", "edits with spaces at the end of a line would be left out"),
        ("apply.whitespace", "warn", None),
        ("core.bigFileThreshold", "100", "edits of larger files, such as README.md, would be left out"),
        ("core.bigFileThreshold", "1k", None),
        ("color.ui", "always", None),
        ("merge.conflictStyle", "diff3", None),
    ):
        variables = settings(tmp_path, as_file({name: value}, tmp_path))
        monkeypatch.setenv("GIT_CONFIG_GLOBAL", variables["GIT_CONFIG_GLOBAL"])
        lines = [*harmful_settings(project)]
        assert len(lines) == (harm is not None), name
        assert not harm or lines[0].startswith(f"git's {name} is {value}, and {harm}: use `protoserve update`, or set ")


@pytest.mark.slow
def test_commands_answer_the_same_under_all_of_them(work: Work, releases: Path, tmp_path: Path) -> None:
    hostile = hostile_files(tmp_path / "hostile")
    under_all = {**settings(tmp_path, as_file(SETTINGS, hostile)), **variables(hostile)}
    for command in (("status", "--format=json"), ("generate", "--check"), ("update", "--to=v1.1.0", "--dry-run")):
        plain, same = (
            protoserve(*command, cwd=work.path, check=False, env={**environment(home), **given})
            for home, given in ((tmp_path / "home", {}), (tmp_path / "other home", under_all))
        )
        assert (same.returncode, same.stdout) == (plain.returncode, plain.stdout), same.stderr
    made = ("new", "made", "--defaults", f"--template={releases}", "--ref=v1.0.0")
    for name, given in (("plain", {}), ("same", under_all)):
        (tmp_path / name).mkdir()
        protoserve(*made, cwd=tmp_path / name, env={**environment(tmp_path / "home"), **given})
    assert files(tmp_path / "same") == files(tmp_path / "plain")
    assert not (hostile / "ran").exists()


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
