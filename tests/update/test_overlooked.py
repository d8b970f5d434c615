"""Edits that Copier alone drops: in files that are not UTF-8, that git ignores, or that it shows no diff of."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from releases import NEW, OLD, Work, edit, git, release

NAIVE = "naïve".encode("latin-1")
WAYS = [
    pytest.param(Work.update, 3, id="protoserve update"),
    pytest.param(Work.copier, 0, id="copier update", marks=pytest.mark.slow),
]


def replace(path: Path, old: bytes, new: bytes) -> bytes:
    content = path.read_bytes()
    assert content.count(old) == 1
    path.write_bytes(content.replace(old, new))
    return path.read_bytes()


@pytest.mark.parametrize(("update", "code"), WAYS)
def test_edits_keep_every_byte(work: Work, update: Callable[..., subprocess.CompletedProcess[str]], code: int) -> None:
    readme, ignored = work.path / "README.md", work.path / ".dockerignore"
    makefile, attributes = work.path / "Makefile", work.path / "requirements/dev.txt"
    merges = replace(readme, b"```sh\nmake setup", b"```sh " + NAIVE + b"\nmake setup")
    stays = replace(ignored, b"**/.*\n", b"**/.*\n" + NAIVE + b"\n")
    replace(attributes, b"pytest>=9\n", b"pytest>=9,<11  # " + NAIVE + b"\n")
    wide = makefile.read_text(encoding="utf-8").encode("utf-16")
    makefile.write_bytes(wide)
    work.write("docs/legacy.txt", "mine")
    own = b"na\xefve \0"
    (work.path / "docs/legacy.txt").write_bytes(own)
    work.commit("in Latin-1 and UTF-16")

    done = update(work, "--vcs-ref=v2.0.0" if update is Work.copier else "--to=v2.0.0", check=False)
    assert done.returncode == code, done.stderr
    # What merges is merged, what the template did not change stays, and what conflicts is reported.
    assert readme.read_bytes() == merges.replace(b"## Start\n", b"Ask nobody about it.\n\n## Start\n")
    assert ignored.read_bytes() == stays
    assert (work.path / "docs/legacy.txt").read_bytes() == own
    merged = attributes.read_bytes()
    assert b"<<<<<<< before updating\npytest>=9,<11  # " + NAIVE + b"\n" in merged
    assert b"\npytest>=9.0.1\n>>>>>>> after updating\n" in merged
    assert makefile.read_bytes() == wide
    assert "Makefile: both you and the template changed it, and git cannot merge it" in done.stdout + done.stderr
    unmerged = git(work.path, "ls-files", "--unmerged", "--", ".")
    assert sorted({line.split("\t")[1] for line in unmerged.splitlines()}) == ["Makefile", "requirements/dev.txt"]
    shown = git(work.path, "diff", ":1:./Makefile", ":3:./Makefile")
    assert "+\t$(BIN)/python -m pytest -rN tests/test_server.py\n" in shown


@pytest.mark.slow
def test_a_file_that_both_have_added(work: Work, fork: Callable[[Work], Path]) -> None:
    template = fork(work)
    (template / "template/NOTICE").write_text("From the platform team.\n", encoding="utf-8")
    edit(template / "template/README.md.jinja", "## Start\n", "See NOTICE.\n\n## Start\n")
    release(template, "v3.0.0")
    (work.path / "NOTICE").write_bytes(NAIVE + b"\n")
    work.commit("mine")
    done = work.update(check=False)
    assert done.returncode == 3, done.stderr
    notice = (work.path / "NOTICE").read_bytes()
    assert b"<<<<<<< before updating\n" + NAIVE + b"\n" in notice
    assert b"From the platform team.\n>>>>>>> after updating\n" in notice


@pytest.mark.slow
@pytest.mark.parametrize(
    ("setting", "update", "code"),
    # tests/update/test_git_settings.py has the patterns with `protoserve update`.
    [("patterns", Work.copier, 0), ("line ends", Work.update, 3), ("line ends", Work.copier, 0)],
    ids=["patterns, copier", "line ends, protoserve", "line ends, copier"],
)
def test_an_authors_patterns_and_line_ends_hide_no_edit(
    work: Work,
    tmp_path: Path,
    setting: str,
    update: Callable[..., subprocess.CompletedProcess[str]],
    code: int,
) -> None:
    """Those of the user, which git keeps outside of the project, and Copier meets in repositories of its own."""
    (tmp_path / "ignored").write_text("*.md\n*.txt\n", encoding="utf-8")
    (tmp_path / "attributes").write_text("*.md -diff\n*.txt binary\n", encoding="utf-8")
    patterns = f"excludesFile = {tmp_path / 'ignored'}\nattributesFile = {tmp_path / 'attributes'}\n"
    own = patterns if setting == "patterns" else "autocrlf = true\n"
    (tmp_path / "gitconfig").write_text(f"[core]\n{own}", encoding="utf-8")
    work.edit("README.md", "```sh\nmake setup", "```sh\n# mine\nmake setup")
    work.edit("requirements/dev.txt", "pytest>=9\n", "pytest>=9,<11\n")
    work.write(OLD, work.read(OLD) + "# mine\n")
    mine = work.read("README.md")
    work.commit("mine")

    version = "--vcs-ref=v2.0.0" if update is Work.copier else "--to=v2.0.0"
    done = update(work, version, check=False, GIT_CONFIG_GLOBAL=str(tmp_path / "gitconfig"))
    assert done.returncode == code, done.stderr
    assert work.read("README.md") == mine.replace("## Start\n", "Ask nobody about it.\n\n## Start\n")
    assert "<<<<<<< before updating\npytest>=9,<11\n=======\n" in work.read("requirements/dev.txt")
    assert git(work.path, "diff", "--name-only", "--diff-filter=U") == "requirements/dev.txt\n"
    renamed = work.read(NEW)
    assert renamed.endswith("# mine\n")
    assert "import grpc  # renamed in 2.0\n" in renamed
