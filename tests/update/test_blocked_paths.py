"""A folder where the template has a file, a file or link where it has a folder, and the like: refused before anything
is merged or written, with the path and what to do."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from copier.errors import ForbiddenPathError

from protoserve.platform import answers
from protoserve.platform.blocked_paths import BlockedPathError, Links, blocked_paths
from protoserve.platform.errors import ProtoserveError
from protoserve.project.before_update import check_update
from protoserve.project.template_paths import template_paths
from protoserve.project.update.merge import MergeError, merge
from releases import NEW, Work, git
from support import create

OUTCOMES, CORE, CONTRACT = "src/iris/server/core/outcomes.py", "src/iris/server/core", "src/iris/contract"
HAS_FILE, HAS_FOLDER = "and the template has a file there", "and the template has a folder there"


def remove(work: Work, name: str) -> Path:
    path = work.path / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    return path


def folder(work: Work, name: str) -> None:
    work.write(f"{remove(work, name).relative_to(work.path).as_posix()}/mine.txt", "mine")


def moved_behind_link(work: Work, name: str, target: Path) -> None:
    (work.path / name).rename(target)
    (work.path / name).symlink_to(os.path.relpath(target, (work.path / name).parent))


def nested_repository(work: Work) -> None:
    git(remove(work, "Makefile").parent, "init", "--quiet", "Makefile")
    (work.path / ".git/info/exclude").write_text("Makefile\n", encoding="utf-8")


KINDS: dict[str, tuple[Callable[[Work], object], str]] = {
    "a folder for a file": (lambda work: folder(work, OUTCOMES), f"{OUTCOMES} is a folder, {HAS_FILE}: move it away"),
    "a folder for a new file": (lambda work: (work.path / NEW).mkdir(), f"{NEW} is a folder, {HAS_FILE}: move it away"),
    "a file for a folder": (
        lambda work: remove(work, CORE).write_text("mine", encoding="utf-8"),
        f"{CORE} is a file, {HAS_FOLDER}: move it away",
    ),
    "a link inside": (
        lambda work: moved_behind_link(work, CORE, work.path / "core"),
        f"{CORE} is a link to ../../../core, {HAS_FOLDER}: put a folder in its place",
    ),
    "a link to nothing": (
        lambda work: remove(work, CORE).symlink_to("nothing"),
        f"{CORE} is a link to nothing, {HAS_FOLDER}: put a folder in its place",
    ),
    "a repository": (nested_repository, f"Makefile is a git repository of its own, {HAS_FILE}: move it away"),
    "a named pipe": (lambda work: os.mkfifo(work.path / NEW), f"{NEW} is a named pipe, {HAS_FILE}: move it away"),
    "a folder for a generated file": (
        lambda work: folder(work, f"{CONTRACT}/v1.py"),
        f"{CONTRACT}/v1.py is a folder, and the generator writes a file there: move it away",
    ),
    "a link out of the project": (
        lambda work: moved_behind_link(work, CONTRACT, work.path.parent / "contract"),
        f"{CONTRACT} is a link to ../../../contract, and the generator writes a folder there: put a folder in its "
        "place",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_step_before_an_update_refuses_each_kind(work: Work, releases: Path, kind: str) -> None:
    block, said = KINDS[kind]
    block(work)
    git(work.path, "add", "--all")
    git(work.path, "commit", "--quiet", "--allow-empty", "--message", "blocked")
    with pytest.raises(ProtoserveError) as refusal:
        check_update(work.path, releases, {})
    assert str(refusal.value) == f"{said}, commit, and update again"


def test_what_is_in_nobodys_way(work: Work, releases: Path) -> None:
    """Also a folder of the platforms that the project does not have, and generated files that lie elsewhere in it."""
    moved_behind_link(work, CONTRACT, work.path / "contract")
    work.write("deploy/kubernetes", "mine")
    work.commit()
    assert check_update(work.path, releases, {}) == 0
    with pytest.raises(BlockedPathError, match=f"^deploy/kubernetes is a file, {HAS_FOLDER}"):
        check_update(work.path, releases, {"platforms": ["kubernetes"]})


def test_the_paths_of_a_template_are_those_of_a_render(template: Path, tmp_path: Path) -> None:
    for platforms in ([], ["kubernetes", "vertex-ai"]):
        project = create(template, tmp_path / f"iris{len(platforms)}", alone=True, platforms=platforms).path
        rendered = (path.relative_to(project).as_posix() for path in project.rglob("*") if path.is_file())
        assert template_paths(template, answers.load(project)) == sorted(rendered)


def test_a_name_in_another_case_is_the_same_path_on_some_disks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such a disk opens README.md, and lists readme.md."""
    (tmp_path / "README.md").write_text("mine", encoding="utf-8")
    monkeypatch.setattr("os.listdir", lambda _: ["readme.md"])
    (blocked,) = blocked_paths(tmp_path, ["README.md"], Links.NONE)
    assert (blocked.path, blocked.is_) == ("readme.md", "the same path as README.md on this disk")


def test_an_update_names_all_paths_and_changes_nothing(work: Work) -> None:
    names = ["Makefile", "README.md", "Dockerfile", "train.py", OUTCOMES, "buf.yaml", "LICENSE", "pyproject.toml"]
    for name in names:
        folder(work, name)
    work.commit("folders")
    before = work.state()
    done = work.update(check=False)
    assert (done.returncode, done.stdout) == (1, "")
    *lines, more, last = done.stderr.splitlines()
    of_template = sorted(name for name in names if name != "train.py")
    assert lines == [
        f"protoserve: {name} is a folder, {HAS_FILE}: move it away, commit, and update again"
        for name in of_template[:5]
    ]
    assert more == "protoserve: and 2 more such paths"
    assert last == "protoserve: a step of the template failed; the project is as it was"
    assert work.state() == before


@pytest.mark.slow
def test_an_ignored_folder_is_in_the_way_of_a_new_file_only(work: Work) -> None:
    git(work.path, "rm", "--quiet", OUTCOMES)
    work.commit("without outcomes.py")
    work.write(f"{OUTCOMES}/mine.pyc", "mine")
    work.write(f"{NEW}/mine.pyc", "mine")
    before = work.state()
    for options in ([], ["--dry-run"]):
        done = work.update(*options, check=False)
        assert done.stderr == f"protoserve: {NEW} is a folder, {HAS_FILE}: move it away, then update again\n"
        assert (done.returncode, work.state()) == (1, before)
    bare = work.copier(check=False)  # it writes the file that the author removed, and removes it again
    assert [line for line in bare.stderr.splitlines() if line.startswith("protoserve: ")] == [
        f"protoserve: {name} is a folder, {HAS_FILE}: move it away, commit, and update again"
        for name in (OUTCOMES, NEW)
    ]
    assert (bare.returncode != 0, work.state()) == (True, before)
    shutil.rmtree(work.path / NEW)
    work.update()
    assert work.read(f"{OUTCOMES}/mine.pyc") == "mine"


def _error(kind: type[OSError], number: int) -> Callable[[Path], Exception]:
    return lambda path: kind(number, os.strerror(number), str(path))


@pytest.mark.parametrize(
    ("error", "name", "said"),
    [
        (_error(FileExistsError, errno.EEXIST), "core", f"core is a file, {HAS_FOLDER}: move it away, commit, and up"),
        (_error(IsADirectoryError, errno.EISDIR), "notes", f"notes is a folder, {HAS_FILE}: move it away, commit, and"),
        (
            lambda _: ForbiddenPathError(path=Path("out/a.py")),
            "",
            f"out is a link to .., {HAS_FOLDER}: put a",
        ),
        (_error(PermissionError, errno.EACCES), "core", "core: Permission denied"),
        (
            _error(OSError, errno.ENOSPC),
            "core",
            f"core: No space left on device; {tempfile.gettempdir()} may be full",
        ),
        (lambda _: AssertionError("of\nCopier's"), "", "Copier failed: AssertionError of Copier's"),
    ],
)
def test_errors_of_copier_name_the_path_in_the_project(
    tmp_path: Path, error: Callable[[Path], Exception], name: str, said: str
) -> None:
    """For a version of a template whose step before the update does not look at paths yet."""
    scratch = tmp_path / "scratch"
    (scratch / "notes").mkdir(parents=True)
    (scratch / "core").write_text("mine", encoding="utf-8")
    (scratch / "out").symlink_to("..")

    def fail(*_: object, **__: object) -> None:
        raise error(scratch / name)

    with pytest.raises(MergeError) as failure:
        merge(scratch, tmp_path, "v1.0.0", {}, fail)
    assert str(failure.value).startswith(said)
    assert str(scratch) not in str(failure.value)
