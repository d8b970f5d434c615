"""What Copier's merge drops without a word: an author's edits in files that the template renamed or removed.

It runs after the merge, in the interpreter of Copier, which may lack what the generator needs and may be Python 3.10:
it imports the standard library, and Copier with a library of Copier's own where the old version has to be rendered.
"""

from __future__ import annotations

import os
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ANSWERS = ".copier-answers.yml"
TABLE = Path("generator") / "renames.txt"
LABELS = ("before updating", "last update", "after updating")  # as Copier writes them
_FAILED = 128  # exit codes of `git merge-file` below it are numbers of conflicts


class CarryError(Exception):
    """The edits cannot be carried over; the message says why."""


@dataclass(frozen=True)
class Committed:
    """A file as the project has it committed: its mode and its blob in git."""

    mode: str
    blob: str


def carry(project: Path, template: Path, package: str) -> list[str]:
    """Carries the edits over in `project`, the work tree after the merge; lines that tell the author what was done.

    `template` is a clone of the new version; its history has the old one. Raises CarryError.
    """
    table = template / TABLE
    renames = read_table(table.read_text(encoding="utf-8") if table.is_file() else "", package)
    committed = _committed(project)
    gone = [name for name in committed if not _there(project, name)]
    came = {name for name in _targets(project, renames) if name not in committed}
    if not gone and not came:
        return []
    with tempfile.TemporaryDirectory(prefix="protoserve-carry-") as temporary:
        base = _render_as_recorded(project, template, Path(temporary))
        told = []
        for name in sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()):
            if name == ANSWERS or _there(project, name):
                continue
            names = list(follow(name, renames))
            target = next((new for new in reversed(names) if new in came and not (base / new).exists()), None)
            mine = committed.get(name)
            if mine is None:
                # The author removed it, and so it stays.
                if target is not None:
                    (project / target).unlink()
            elif _content(project, mine) != (base / name).read_bytes():
                taken = next((new for new in reversed(names) if new in committed), None)
                told.append(_carried(project, base / name, name, target or taken, mine, free=target is not None))
        return told


def read_table(text: str, package: str) -> list[tuple[str, str]]:
    """The renames, oldest first. Raises CarryError."""
    rows = []
    for line in text.splitlines():
        entry = line.split("#", 1)[0].strip()
        old, arrow, new = (part.strip() for part in entry.replace("{package}", package).partition("->"))
        if entry and (not arrow or old.endswith("/") != new.endswith("/")):
            raise CarryError(f"{TABLE.as_posix()}: a line is OLD -> NEW, two files or two folders, not: {line}")
        if entry:
            rows.append((old, new))
    return rows


def follow(name: str, renames: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The later names of a file, in their order."""
    for old, new in renames:
        if name == old:
            name = new
            yield name
        elif old.endswith("/") and name.startswith(old):
            name = new + name[len(old) :]
            yield name


def _targets(project: Path, renames: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The files that lie where something was moved to."""
    for _, new in renames:
        if new.endswith("/"):
            yield from (path.relative_to(project).as_posix() for path in (project / new).rglob("*") if path.is_file())
        elif _there(project, new):
            yield new


def _carried(project: Path, base: Path, name: str, target: str | None, mine: Committed, *, free: bool) -> str:
    """Brings the author's version of `name` to `target` if that is free, else back to where it was, and says so."""
    if target is None:
        _put_back(project, base, name, mine)
        return f"{name}: you edited it, the template has it no longer: keep it (git add) or remove it (git rm)"
    if not free:
        _put_back(project, base, name, mine)
        return (
            f"{name}: it is {target} in the template now, where you had a file: bring your edits over, then git rm it"
        )
    with tempfile.TemporaryDirectory(prefix="protoserve-merge-") as temporary:
        edited = Path(temporary) / "edited"
        edited.write_bytes(_content(project, mine))
        theirs = project / target
        labels = [part for label in LABELS for part in ("-L", label)]
        files = [str(path) for path in (edited, base, theirs)]
        done = subprocess.run(
            ["git", "merge-file", "-p", *labels, *files], cwd=project, capture_output=True, check=False
        )
    if not 0 <= done.returncode < _FAILED:  # not text
        _put_back(project, base, name, mine)
        return f"{name}: it is {target} now, and cannot be merged: bring your edits over, then git rm it"
    if done.returncode > 0:
        _unmerge(project, target, mine.mode, [base.read_bytes(), _content(project, mine), theirs.read_bytes()])
    theirs.write_bytes(done.stdout)
    conflicts = f", with {done.returncode} conflict(s)" if done.returncode else ""
    return f"{name} is {target} now: your edits were carried over{conflicts}"


def _put_back(project: Path, base: Path, name: str, mine: Committed) -> None:
    """The author's file where it was, as the conflict that git calls `deleted by them`."""
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_content(project, mine))
    path.chmod(int(mine.mode[-3:], 8))
    _unmerge(project, name, mine.mode, [base.read_bytes(), _content(project, mine)])


def _unmerge(project: Path, name: str, mode: str, versions: Sequence[bytes]) -> None:
    """Lists a path as unmerged in git's index, with its base, the author's and the template's version."""
    path = _git(project, "rev-parse", "--show-prefix").decode().strip() + name
    blobs = [_git(project, "hash-object", "-w", "--stdin", given=content).decode().strip() for content in versions]
    lines = [f"0 {'0' * len(blobs[0])}\t{path}", *(f"{mode} {blob} {n}\t{path}" for n, blob in enumerate(blobs, 1))]
    _git(project, "update-index", "--index-info", given=os.fsencode("\n".join(lines) + "\n"))


def _render_as_recorded(project: Path, template: Path, temporary: Path) -> Path:
    """The template's files at the version and with the answers that the project has committed."""
    import copier
    import yaml

    answers = yaml.safe_load(_git(project, "cat-file", "blob", f"HEAD:./{ANSWERS}"))
    commit = str(answers["_commit"])
    source, base = temporary / "template", temporary / "base"
    archive = temporary / "template.tar"
    if commit.startswith("-"):
        raise CarryError(f"{ANSWERS} records {commit}, which is no commit")
    _git(template, "archive", "--format=tar", f"--output={archive}", commit)
    with tarfile.open(archive) as tar:
        tar.extractall(source)  # what the trusted template has committed
    given = {name: value for name, value in answers.items() if not name.startswith("_")}
    try:
        copier.run_copy(str(source), base, data=given, defaults=True, quiet=True, unsafe=True, skip_tasks=True)
    except Exception as error:  # of Copier, of Jinja, of what the template's questions do: all mean the same here
        raise CarryError(f"{commit}, which the project records, cannot be rendered: {error}") from error
    return base


def _committed(project: Path) -> dict[str, Committed]:
    """The files of the project in HEAD, by their paths from the project's folder."""
    found = {}
    for entry in _git(project, "ls-tree", "-r", "-z", "HEAD").decode(errors="surrogateescape").split("\0"):
        about, tab, name = entry.partition("\t")
        if tab and about.split()[1] == "blob":
            found[name] = Committed(about.split()[0], about.split()[2])
    return found


def _there(project: Path, name: str) -> bool:
    return os.path.lexists(project / name)


def _content(project: Path, file: Committed) -> bytes:
    return _git(project, "cat-file", "blob", file.blob)


def _git(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["git", *arguments], cwd=folder, input=given, capture_output=True, check=False)
    if done.returncode != 0:
        lines = done.stderr.decode(errors="replace").strip().splitlines() or [f"git {arguments[0]} failed"]
        raise CarryError(lines[0].removeprefix("fatal: "))
    return done.stdout
