"""Executable files and symbolic links: what author and template changed of them, also where only the index holds it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from protoserve.project.lost_edits import file_types
from protoserve.project.lost_edits.merge_files import committed_modes
from releases import NEW, OLD, Work, commit, edit, git, make_project, release

LINES = "#!/bin/sh\n" + "".join(f"echo {number}\n" for number in range(12))
THEIRS = ("ours-too.sh", "conflicts.sh")  # become executable in the next version, and so does new.sh


@pytest.fixture(scope="module")
def linked(releases: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project of a template with scripts and links, both of which change in the next version."""
    template = tmp_path_factory.mktemp("linked") / "template"
    shutil.copytree(releases, template, symlinks=True)
    edit(template / "copier.yml", "_subdirectory: template\n", "_subdirectory: template\n_preserve_symlinks: true\n")
    files = template / "template"
    for name in (*THEIRS, "mine.sh", "no-longer.sh"):
        (files / name).write_text(LINES, encoding="utf-8")
    (files / "no-longer.sh").chmod(0o755)
    (files / "notes").symlink_to("README.md")
    (files / "becomes-link").write_text("one\n", encoding="utf-8")
    release(template, "v3.0.0")
    work = make_project(template, template.parent / "iris", "v3.0.0", home)
    for name in THEIRS:
        (files / name).chmod(0o755)
    edit(files / "conflicts.sh", "echo 6\n", "echo theirs\n")
    edit(files / "README.md.jinja", "## Start\n", "Read this.\n\n## Start\n")
    (files / "new.sh").write_text(LINES, encoding="utf-8")
    (files / "new.sh").chmod(0o755)
    for name in ("notes", "becomes-link"):
        (files / name).unlink()
        (files / name).symlink_to("Makefile")
    release(template, "v3.1.0")
    return work


def work_on(work: Work) -> None:
    """The author's changes, in a repository where git does not look at modes on disk."""
    git(work.path, "config", "core.fileMode", "false")
    git(work.path, "update-index", "--chmod=+x", "mine.sh")
    git(work.path, "update-index", "--chmod=-x", "no-longer.sh")
    work.edit("ours-too.sh", "echo 1\n", "echo mine\n")
    work.edit("conflicts.sh", "echo 6\n", "echo mine\n")
    work.write("becomes-link", "mine\n")
    (work.path / "notes").unlink()
    work.write("notes", "mine\n")
    work.write("docs/own.md", "own\n")
    (work.path / "README.md").unlink()
    (work.path / "README.md").symlink_to("docs/own.md")
    work.commit("mine")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("update", "code"),
    [pytest.param(Work.update, 3, id="protoserve update"), pytest.param(Work.copier, 0, id="copier update")],
)
def test_modes_and_links_of_both_sides(
    linked: Work,
    copied: Callable[..., Work],
    update: Callable[..., subprocess.CompletedProcess[str]],
    code: int,
) -> None:
    work = copied(of=linked)
    work_on(work)
    done = update(work, check=False)
    assert done.returncode == code, done.stderr
    # Modes are staged without any content.
    staged = git(work.path, "diff", "--cached", "--raw", "--no-abbrev", "--", "*.sh").splitlines()
    fields = {line.partition("\t")[2]: line.split()[1:4] for line in staged}
    assert set(fields) == {"conflicts.sh", "ours-too.sh"}
    assert fields["ours-too.sh"][0] == "100755"
    assert fields["ours-too.sh"][1] == fields["ours-too.sh"][2]
    assert git(work.path, "status", "--porcelain", "new.sh") == " A new.sh\n"
    assert "echo mine\n" in work.read("ours-too.sh")
    git(work.path, "add", "--", *THEIRS, "new.sh")
    modes = {line.split()[3]: line[:6] for line in git(work.path, "ls-files", "--stage", "*.sh").splitlines()}
    executable = {*THEIRS, "new.sh", "mine.sh"}
    assert modes == {name: "100755" if name in executable else "100644" for name in (*executable, "no-longer.sh")}

    said = done.stdout + done.stderr
    assert "README.md: you replaced it by a symbolic link, and the template changed the file: it is as you had" in said
    assert "notes: you replaced a symbolic link by a file, and in the template it now leads to Makefile" in said
    assert "becomes-link: you changed it, and in the template it is now a symbolic link to Makefile" in said
    for name in ("README.md", "notes", "becomes-link"):
        assert git(work.path, "status", "--porcelain", name) == f"UU {name}\n"
    assert (work.path / "README.md").readlink() == Path("docs/own.md")
    assert (work.read("docs/own.md"), work.read("notes"), work.read("becomes-link")) == ("own\n", "mine\n", "mine\n")
    assert "\n+Read this.\n" in git(work.path, "diff", ":1:./README.md", ":3:./README.md")


@pytest.mark.slow
def test_undoing_restores_the_index(linked: Work, copied: Callable[..., Work]) -> None:
    work = copied(of=linked)
    git(work.path, "config", "core.fileMode", "false")
    work.write(".venv/bin/python", "#!/bin/sh\nexit 1\n")
    (work.path / ".venv/bin/python").chmod(0o755)
    index = (work.path / ".git/index").read_bytes()
    done = work.update("--smoke", check=False)
    assert "`make check smoke` failed on the updated project" in done.stderr
    assert (work.path / ".git/index").read_bytes() == index


@pytest.mark.slow
def test_modes_and_links_follow_a_rename(work: Work) -> None:
    (work.path / "tests/test_smoke.py").chmod(0o755)
    (work.path / OLD).unlink()
    (work.path / OLD).symlink_to("logs.py")
    work.commit("mine")
    done = work.update("--to=v2.0.0", check=False)
    assert done.returncode == 3, done.stderr
    assert (work.path / "tests/test_server.py").stat().st_mode & 0o100
    assert (work.path / OLD).readlink() == Path("logs.py")
    assert git(work.path, "status", "--porcelain", OLD) == f"UD {OLD}\n"
    assert f"{OLD}: it is now {NEW}, and git cannot merge it: copy your edits there" in done.stdout


def test_the_authors_side_stays_where_the_template_did_not_change_it(tmp_path: Path) -> None:
    old, new, project = (tmp_path / name for name in ("old", "new", "project"))
    for folder in (old, new, project):
        folder.mkdir()
        for name in ("file", "script"):
            (folder / name).write_text("one\n", encoding="utf-8")
        (folder / "script").chmod(0o755)
        (folder / "link").symlink_to("file")
    (project / "file").unlink()
    (project / "file").symlink_to("dangling")
    (project / "link").unlink()
    (project / "link").symlink_to("/absolute")
    (project / "script").chmod(0o644)
    git(project, "init", "--quiet")
    commit(project, "mine")
    # What a merge might make of it:
    (project / "file").unlink()
    (project / "file").write_text("one\n", encoding="utf-8")
    (project / "link").unlink()
    (project / "script").chmod(0o755)
    assert list(file_types.restore(project, old, new, committed_modes(project))) == []
    assert git(project, "status", "--porcelain") == ""
    # The template changes its link, too, and brings a file where the author has a link.
    (new / "link").unlink()
    (new / "link").symlink_to("elsewhere")
    (old / "file").unlink()
    link, file = sorted(file_types.restore(project, old, new, committed_modes(project)), reverse=True)
    assert link.startswith("link: you changed where this symbolic link leads, and in the template it now leads to els")
    assert file.startswith("file: you replaced it by a symbolic link, and the template changed the file: it is as you")
    assert "`git show :3:./file`" in file
    assert git(project, "status", "--porcelain") == "AA file\nUU link\n"
