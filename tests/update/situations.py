"""Situations in which projects are updated, and how each command must end in them, as plain data."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from releases import Work, commit, git, release
from small_template import CODE, NEW_FILE, README, edit_template

COMMANDS = ("new", "generate", "diff", "status", "update", "copier")
OWN_FILE, MINE = "notes.txt", "A line of mine."
ROOT = os.geteuid() == 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a command ends: its exit code, and words that must be in its output.

    A refusal leaves the project as it was. Served is everything else: also with conflicts, which are exit code 3 of
    `protoserve update`, or with a status that something needs to be done.
    """

    exit_code: int
    words: tuple[str, ...] = ()
    refusal: bool = False
    unchanged: bool = False  # served, with nothing to do


SERVED = Outcome(0)
NOT_RUN = Outcome(-1)


def served(*words: str, code: int = 0) -> Outcome:
    return Outcome(code, words)


def nothing_to_do(*words: str) -> Outcome:
    return Outcome(0, words, unchanged=True)


def refused(*words: str, code: int = 1) -> Outcome:
    return Outcome(code, words, refusal=True)


@dataclass
class Place:
    """A project in a situation, and what its commands run with; `folder` is there for whatever the row needs.

    `variables` are added to the environment, or taken away where they are None.
    """

    work: Work
    template: Path
    folder: Path
    variables: dict[str, str | None] = field(default_factory=dict)
    temporary: Path | None = None
    update_options: tuple[str, ...] = ()
    copier_options: tuple[str, ...] = ()
    fresh: str = "fresh"  # the project that `new` creates, beside the other one
    without: set[str] = field(default_factory=set)  # files in which the template's or the author's text is not checked
    newline: bytes = b"\n"
    left_out: tuple[str, ...] = ("(",)  # what begins so is not compared between the two ways to update

    @property
    def project(self) -> Path:
        return self.work.path

    def git(self, *arguments: str) -> str:
        return git(self.project, "-c", "safe.directory=*", *arguments)  # whoever owns it

    def moved_to(self, project: Path) -> None:
        self.work = Work(project, self.work.home)

    def settings(self, text: str) -> None:
        """The user's own settings of git."""
        path = self.folder / "gitconfig"
        path.write_text(text, encoding="utf-8")
        self.variables["GIT_CONFIG_GLOBAL"] = str(path)

    def recorded(self, name: str, value: str) -> None:
        """Changes an answer that Copier records."""
        lines = self.work.read(".copier-answers.yml").splitlines(keepends=True)
        changed = [f"{name}: {value}\n" if line.startswith(f"{name}: ") else line for line in lines]
        self.work.write(".copier-answers.yml", "".join(changed))
        self.work.commit()

    def fork(self) -> Path:
        """A template of this project's own."""
        template = self.folder / "fork"
        shutil.copytree(self.template, template, symlinks=True)
        self.recorded("_src_path", str(template))
        self.template = template
        return template


@dataclass(frozen=True)
class Situation:
    """A row: what it is, in words for the documentation, and how each command ends; by default it is served."""

    name: str
    make: Callable[[Place], None]
    cells: Mapping[str, Outcome]
    states: Mapping[str, str]  # of `status`, where they are not those of an ordinary project
    remedy: str
    fast: tuple[str, ...]  # the commands that run with the fast tests, too
    around: Callable[[Path], object] | None  # a context around the folder of the row

    def outcome(self, command: str) -> Outcome:
        return self.cells.get(command, SERVED)


SITUATIONS: list[Situation] = []
_Make = Callable[[Place], None]


def situation(
    name: str,
    *,
    states: Mapping[str, str] | None = None,
    remedy: str = "",
    fast: tuple[str, ...] = (),
    around: Callable[[Path], object] | None = None,
    **cells: Outcome,
) -> Callable[[_Make], _Make]:
    """Adds a row, made by the decorated function."""

    def add(make: _Make) -> _Make:
        SITUATIONS.append(Situation(name, make, cells, states or {}, remedy, fast, around))
        return make

    return add


@situation("an ordinary project")
def plain(place: Place) -> None:
    pass


# Edits that git does not show


def _hide(place: Place, option: str) -> None:
    place.git("update-index", option, README)
    place.work.edit(README, "Nothing yet.", "Nothing that git shows.")


HIDDEN = refused(README, "skip-worktree")


@situation(
    "a file with `skip-worktree`, edited",
    remedy="run the `git update-index` of the message, then commit or stash the edit",
    fast=("update",),
    new=NOT_RUN,
    update=HIDDEN,
    copier=HIDDEN,
)
def skip_worktree(place: Place) -> None:
    _hide(place, "--skip-worktree")


ASSUMED = refused(README, "assume-unchanged")


@situation(
    "a file with `assume-unchanged`, edited",
    remedy="run the `git update-index` of the message, then commit or stash the edit",
    new=NOT_RUN,
    update=ASSUMED,
    copier=ASSUMED,
)
def assume_unchanged(place: Place) -> None:
    _hide(place, "--assume-unchanged")


@situation("`core.fileMode=false`")
def without_file_modes(place: Place) -> None:
    place.git("config", "core.fileMode", "false")
    place.settings("[core]\nfileMode = false\n")


# Links, and folders in the way


@situation(
    "a template file that became a link",
    remedy="the file is listed as a conflict, since the link stays as it is",
    new=NOT_RUN,
    update=served("symbolic link", code=3),
)
def file_is_a_link(place: Place) -> None:
    (place.project / "docs").mkdir()
    (place.project / README).rename(place.project / "docs" / README)
    (place.project / README).symlink_to(f"docs/{README}")
    place.work.commit()
    place.without.add(README)


def _folder_is_a_link(place: Place, target: Path) -> None:
    folder = (place.project / CODE).parent
    target.parent.mkdir(exist_ok=True)
    folder.rename(target)
    folder.symlink_to(os.path.relpath(target, folder.parent))
    place.work.commit()


LINKED = refused("src/iris/server", "link")


@situation(
    "a folder of the template that is a link to one in the project",
    states={"files": "todo"},
    remedy="put a folder in place of the link",
    new=NOT_RUN,
    update=LINKED,
    copier=LINKED,
)
def folder_is_a_link_inside(place: Place) -> None:
    _folder_is_a_link(place, place.project / "lib" / "server")


@situation(
    "a folder of the template that is a link to one outside",
    states={"files": "todo"},
    remedy="put a folder in place of the link",
    new=NOT_RUN,
    update=LINKED,
    copier=LINKED,
)
def folder_is_a_link_outside(place: Place) -> None:
    _folder_is_a_link(place, place.folder / "outside")


IN_THE_WAY = refused(NEW_FILE)


@situation(
    "a folder where the template brings a file",
    remedy="move it away",
    fast=("update",),
    new=NOT_RUN,
    update=IN_THE_WAY,
    copier=IN_THE_WAY,
)
def folder_for_a_file(place: Place) -> None:
    place.work.write(f"{NEW_FILE}/own.txt", "mine\n")
    place.work.commit()


@situation(
    "a file where the template brings a folder",
    remedy="move it away",
    new=NOT_RUN,
    update=refused("guide"),
    copier=refused("guide"),
)
def file_for_a_folder(place: Place) -> None:
    place.work.write("guide", "mine\n")
    place.work.commit()


@situation(
    "an ignored folder where the template brings a file",
    remedy="move it away",
    new=NOT_RUN,
    update=IN_THE_WAY,
    copier=IN_THE_WAY,
)
def ignored_folder(place: Place) -> None:
    place.work.write(".gitignore", place.work.read(".gitignore") + "/guide/\n")
    place.work.commit()
    place.work.write(f"{NEW_FILE}/own.txt", "mine\n")


@situation(
    "an ignored file where the template brings one",
    remedy="move it away",
    new=NOT_RUN,
    update=IN_THE_WAY,
    copier=IN_THE_WAY,
)
def ignored_file(place: Place) -> None:
    place.work.write(".gitignore", place.work.read(".gitignore") + "/guide/\n")
    place.work.commit()
    place.work.write(NEW_FILE, "mine\n")


# Kinds of repositories


def _origin(place: Place) -> str:
    """The URL of the project's repository, as if it lay on a server."""
    place.git("config", "uploadpack.allowFilter", "true")
    return f"file://{place.project}"


@situation(
    "a sparse checkout", remedy="`copier update` writes files of yours that are not checked out, as git has them"
)
def sparse(place: Place) -> None:
    folders = ("src", "scripts", "proto", "tests", ".protoserve", "requirements")
    place.git("status", "--porcelain")  # a copy is newer than git knows, and such files stay
    place.git("sparse-checkout", "set", *folders)
    place.left_out = ("(", "data")  # Copier writes the author's files there, as they are in git
    assert not (place.project / "data").exists()


@situation("a partial clone (`--filter=blob:none`)", new=NOT_RUN)
def partial(place: Place) -> None:
    clone = place.folder / "partial" / "iris"
    git(place.folder, "clone", "--quiet", "--filter=blob:none", _origin(place), str(clone))
    place.moved_to(clone)


@situation(
    "a partial clone with a sparse checkout", remedy="`protoserve update`", new=NOT_RUN, copier=refused("partial clone")
)
def partial_and_sparse(place: Place) -> None:
    clone = place.folder / "partial" / "iris"
    git(place.folder, "clone", "--quiet", "--filter=blob:none", "--sparse", _origin(place), str(clone))
    place.moved_to(clone)
    sparse(place)


@situation(
    "a shallow clone",
    remedy="`git fetch --unshallow --tags` for the row `contract` of `status`",
    new=NOT_RUN,
    status=refused("git fetch --unshallow --tags", code=2),
)
def shallow(place: Place) -> None:
    clone = place.folder / "shallow" / "iris"
    git(place.folder, "clone", "--quiet", "--depth=1", _origin(place), str(clone))
    place.moved_to(clone)


@situation("a linked worktree")
def worktree(place: Place) -> None:
    linked = place.folder / "linked" / "iris"
    place.git("worktree", "add", "--quiet", str(linked))
    place.moved_to(linked)


@situation("a submodule")
def submodule(place: Place) -> None:
    company = place.folder / "company"
    company.mkdir()
    git(company, "init", "--quiet")
    git(company, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", _origin(place), "iris")
    commit(company, "with a submodule")
    place.moved_to(company / "iris")


@situation("a folder of a larger repository")
def monorepo(place: Place) -> None:
    company = place.folder / "company"
    services = company / "services"
    shutil.copytree(place.project, services / "iris", symlinks=True, ignore=shutil.ignore_patterns(".git"))
    git(company, "init", "--quiet")
    commit(company, "all services")
    (company / "unfinished.txt").write_text("Elsewhere.\n", encoding="utf-8")
    place.moved_to(services / "iris")


@situation("a SHA-256 repository", remedy="`protoserve update`", copier=refused())
def sha256(place: Place) -> None:
    shutil.rmtree(place.project / ".git")
    place.git("init", "--quiet", "--object-format=sha256")
    place.work.commit()


# The user's settings and environment


def _checked_out_again(place: Place) -> None:
    """With the line ends that the settings ask for."""
    for name in place.git("ls-files").splitlines():
        (place.project / name).unlink()
    place.git("checkout", "--quiet", "--", ".")
    assert b"\r\n" in (place.project / README).read_bytes()
    place.newline = b"\r\n"


@situation("`core.autocrlf=true`")
def autocrlf(place: Place) -> None:
    place.git("config", "core.autocrlf", "true")
    place.settings("[core]\nautocrlf = true\n")
    _checked_out_again(place)


@situation("`.gitattributes` with `eol=crlf`", new=NOT_RUN)
def eol_crlf(place: Place) -> None:
    place.work.write(".gitattributes", "* text=auto eol=crlf\n")
    place.work.commit()
    _checked_out_again(place)


@situation(
    "a filter, such as that of git-crypt, in the settings of the project alone",
    new=NOT_RUN,
    generate=NOT_RUN,
    diff=NOT_RUN,
)
def filter_of_the_project(place: Place) -> None:
    for side in ("clean", "smudge"):
        place.git("config", f"filter.rot.{side}", "tr a-z n-za-m")
    place.work.write(".gitattributes", f"{README} filter=rot\n")
    place.git("add", "--renormalize", ".")  # also where git takes the file for unchanged
    place.work.commit()
    assert MINE not in place.git("cat-file", "blob", f"HEAD:{README}")


@situation(
    "hooks for all repositories, which fail",
    remedy="`protoserve update` runs none of them in its copies",
    copier=refused(),
)
def hooks(place: Place) -> None:
    folder = place.folder / "hooks"
    folder.mkdir()
    for name in ("pre-commit", "commit-msg", "prepare-commit-msg", "post-checkout", "post-commit", "post-index-change",
                 "reference-transaction", "post-merge", "pre-applypatch", "applypatch-msg"):  # fmt: skip
        (folder / name).write_text(f"#!/bin/sh\necho {name} has failed >&2\nexit 1\n", encoding="utf-8")
        (folder / name).chmod(0o755)
    place.settings(f"[core]\nhooksPath = {folder}\n")


@situation("commits signed by a program that fails")
def signing(place: Place) -> None:
    place.settings("[commit]\ngpgSign = true\n[tag]\ngpgSign = true\n[gpg]\nprogram = false\n[user]\nsigningKey = me\n")


@situation("inside a git hook", remedy="`protoserve update`", fast=("update",), copier=refused())
def hook_environment(place: Place) -> None:
    place.variables |= {"GIT_DIR": ".git", "GIT_INDEX_FILE": ".git/index", "GIT_PREFIX": "", "GIT_WORK_TREE": "."}


@situation("settings that change git's output", fast=("status",))
def output_settings(place: Place) -> None:
    place.settings(
        "[color]\nui = always\n[column]\nui = always\n[grep]\npatternType = fixed\nfullName = true\nlineNumber = true\n"
        "[submodule]\nrecurse = true\n[status]\nshort = true\nbranch = true\nrelativePaths = false\n"
        "[diff]\nnoprefix = true\nexternal = false\nrenames = copies\nwordRegex = .\n[merge]\nconflictStyle = diff3\n"
        "[core]\nabbrev = 40\npager = false\n[log]\nshowSignature = true\n[init]\ndefaultBranch = x\n"
    )


FOREIGN = refused("safe.directory")


@situation(
    "a repository of another owner",
    remedy="the `git config` with `safe.directory` of the message",
    fast=("status",),
    new=NOT_RUN,
    generate=served("safe.directory"),
    diff=refused("safe.directory", code=2),
    status=refused("safe.directory", code=2),
    update=FOREIGN,
    copier=refused(),
)
def foreign_owner(place: Place) -> None:
    if not ROOT:
        pytest.skip("only root can give a folder to another owner")
    for path in (place.project, *place.project.rglob("*")):
        os.chown(path, 65534, 65534, follow_symlinks=False)


NO_CACHE = "XDG_CACHE_HOME"


@situation(
    "a home that cannot be written",
    remedy="XDG_CACHE_HOME names another place for the cache",
    generate=refused(NO_CACHE),
)
def home_not_writable(place: Place) -> None:
    place.variables |= {"HOME": "/proc/none", "XDG_CACHE_HOME": None, "COPIER_CACHE_DIR": None}


@situation("no home")
def no_home(place: Place) -> None:
    place.variables |= {"HOME": None}


@situation("a temporary folder in the project")
def temporary_folder_inside(place: Place) -> None:
    place.temporary = place.project / "tmp"
    place.temporary.mkdir()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)], check=False)
    if mounted.returncode != 0:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(folder: Path, left: int) -> None:
    free = shutil.disk_usage(folder).free
    (folder / "large").write_bytes(b"\0" * (free - left))


NO_SPACE = refused("No space left on device")


@situation(
    "no space left for the project",
    remedy="free some; `copier update` stops half-way there: `git restore .`",
    around=small_disk,
    new=NO_SPACE,
    generate=NO_SPACE,
    update=NO_SPACE,
    copier=NOT_RUN,
)
def full_disk(place: Place) -> None:
    _fill(place.folder, 8192)


NO_ROOM = refused("TMPDIR")


@situation(
    "no space left for temporary files",
    remedy="TMPDIR names another folder",
    around=small_disk,
    new=NO_SPACE,
    status=refused("TMPDIR", code=2),
    update=NO_ROOM,
    copier=refused(),
)
def full_temporary_folder(place: Place) -> None:
    place.temporary = place.folder / "tmp"
    place.temporary.mkdir()
    project = place.folder.parent / "iris"
    shutil.move(place.project, project)
    place.moved_to(project)
    _fill(place.folder, 65536)


# Names


@situation(
    "a folder with spaces, a line break, a leading dash and letters that are not ASCII",
    remedy="`protoserve update`; only the line break is in Copier's way",
    copier=refused("line break"),
)
def odd_folder(place: Place) -> None:
    folder = place.folder / "- my\nnäme"
    place.project.rename(folder)
    place.moved_to(folder)
    place.fresh = "-fresh näme"


@situation(
    "names of files that are not UTF-8",
    remedy="`protoserve update`, or rename the file",
    fast=("update",),
    new=NOT_RUN,
    copier=refused("is not UTF-8", "rename"),
)
def odd_names(place: Place) -> None:
    for name in (b"na\xefve.txt", b'with "quotes"\nand a line break', b"docs/\xff/\xfe.txt"):
        path = os.fsencode(place.project) + b"/" + name
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(os.fsdecode(path)).write_bytes(b"mine\n")
    place.work.commit()


# Versions of the template


@situation(
    "two tags on one commit",
    fast=("update",),
    update=nothing_to_do("already at"),
    copier=SERVED,
    states={"template": "ok"},
)
def doubled_tag(place: Place) -> None:
    template = place.fork()
    git(template, "tag", "v1.0.0rc1", "v1.0.0")
    git(template, "tag", "--delete", "v2.0.0")
    place.recorded("_commit", "v1.0.0rc1")


@situation(
    "a tag that was moved",
    remedy="`protoserve update` merges from the earlier commit, Copier from the later",
    copier=NOT_RUN,
    states={"template": "todo"},
)
def moved_tag(place: Place) -> None:
    template = place.fork()
    git(template, "tag", "--force", "v1.0.0", "v2.0.0")
    edit_template(template, README, "Nothing yet.", "Little yet.")
    release(template, "v3.0.0")


GONE = "_src_path"


@situation(
    "a template that has moved",
    remedy="change `_src_path` as the message says",
    fast=("status",),
    new=NOT_RUN,
    generate=refused(GONE),
    status=refused(GONE, code=2),
    update=refused(GONE),
    copier=refused(code=1),
)
def moved_template(place: Place) -> None:
    place.recorded("_src_path", str(place.folder / "gone"))


@situation(
    "an answers file with a version that the template lacks",
    remedy="restore the tag in the template, or set `_commit` to the tag that the project is from",
    new=NOT_RUN,
    generate=refused("v9.9.9"),
    status=refused("v9.9.9", "restore the tag v9.9.9 in the template", code=2),
    update=refused("v9.9.9"),
    copier=refused(),
)
def unknown_version(place: Place) -> None:
    place.recorded("_commit", "v9.9.9")


NO_PROJECT = "is not a protoserve project"


@situation(
    "an answers file that was deleted",
    remedy="restore it from git",
    new=NOT_RUN,
    generate=refused(NO_PROJECT),
    diff=refused(NO_PROJECT, code=2),
    status=refused(NO_PROJECT, code=2),
    update=refused(NO_PROJECT),
    copier=refused(),
)
def no_answers(place: Place) -> None:
    place.git("rm", "--quiet", ".copier-answers.yml")
    place.work.commit()


@situation(
    "an older version",
    remedy="revert the commits of the update",
    new=NOT_RUN,
    states={"template": "ok"},
    update=refused("Downgrades are not supported"),
    copier=refused(),
)
def downgrade(place: Place) -> None:
    place.recorded("_commit", "v2.0.0")
    place.update_options, place.copier_options = ("--to=v1.0.0",), ("--vcs-ref=v1.0.0",)


_WORDS = {(False, 3): "conflict", (True, 1): "refused", (True, 2): "refused"}


def table() -> str:
    """The table in docs/update-situations.md."""
    headings = ("situation", *(f"`{name}`" for name in COMMANDS[:-1]), "`copier update`", "what to do, or to know")
    rows = [headings, ("---",) * len(headings)]
    for row in SITUATIONS:
        cells = (_word(command, row.outcome(command)) for command in COMMANDS)
        rows.append((row.name, *cells, row.remedy))
    return "".join(f"| {' | '.join(cells)} |\n".replace("|  |", "| |") for cells in rows)


def _word(command: str, outcome: Outcome) -> str:
    if outcome is NOT_RUN:
        return "-"
    if outcome.unchanged:
        return "nothing to do"
    if command == "status" and outcome.refusal:
        return "unknown"
    return _WORDS.get((outcome.refusal, outcome.exit_code), "served")
