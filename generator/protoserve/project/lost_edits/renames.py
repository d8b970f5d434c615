"""An author's edits in files that the template renamed or removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from protoserve.project.lost_edits.committed import ANSWERS, CarryError, content, merged, there, unmerge

TABLE = Path("generator") / "renames.txt"


def came(project: Path, renames: Sequence[tuple[str, str]], had: Mapping[str, str]) -> set[str]:
    """The files that came with the update to where something was moved to."""
    return {name for name in _targets(project, renames) if name not in had}


def carried(
    project: Path,
    base: Path,
    renames: Sequence[tuple[str, str]],
    had: Mapping[str, str],
    new: set[str],
) -> Iterator[str]:
    """Carries the edits over, and says so of each file.

    `base` has the template's files as they were, `had` what the project has committed, `new` what `came`.
    """
    for name in sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()):
        if name == ANSWERS or there(project, name):
            continue
        names = list(follow(name, renames))
        target = next((later for later in reversed(names) if later in new and not (base / later).exists()), None)
        mode = had.get(name)
        if mode is None:
            # The author removed it, and so it stays.
            if target is not None:
                (project / target).unlink()
        elif content(project, name) != (base / name).read_bytes():
            taken = next((later for later in reversed(names) if later in had), None)
            yield _carried(project, base / name, name, target or taken, mode, free=target is not None)


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
        elif there(project, new):
            yield new


def _carried(project: Path, base: Path, name: str, target: str | None, mode: str, *, free: bool) -> str:
    """Brings the author's version of `name` to `target` if that is free, else back to where it was, and says so."""
    if target is None:
        _put_back(project, base, name, mode)
        return f"{name}: you edited it, the template has it no longer: keep it (git add) or remove it (git rm)"
    if not free:
        _put_back(project, base, name, mode)
        return (
            f"{name}: it is {target} in the template now, where you had a file: bring your edits over, then git rm it"
        )
    edited, before, theirs = content(project, name), base.read_bytes(), (project / target).read_bytes()
    made = merged(project, edited, before, theirs)
    if made is None:
        _put_back(project, base, name, mode)
        return f"{name}: it is {target} now, and cannot be merged: bring your edits over, then git rm it"
    text, clashes = made
    if clashes:
        unmerge(project, target, mode, [before, edited, theirs])
    (project / target).write_bytes(text)
    conflicts = f", with {clashes} conflict(s)" if clashes else ""
    return f"{name} is {target} now: your edits were carried over{conflicts}"


def _put_back(project: Path, base: Path, name: str, mode: str) -> None:
    """The author's file where it was, as the conflict that git calls `deleted by them`."""
    path = project / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content(project, name))
    path.chmod(int(mode[-3:], 8))
    unmerge(project, name, mode, [base.read_bytes(), content(project, name)])
