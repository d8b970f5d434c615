"""An author's edits of files that the template renamed or removed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.project.lost_edits.merge_files import (
    ANSWERS,
    committed_content,
    exists,
    mark_unmerged,
    merge,
    remove_rejects,
)

TABLE = Path("generator") / "renames.txt"


def parse_table(text: str, package: str) -> list[tuple[str, str]]:
    """The renames as pairs of an old and a new path, oldest first. Raises ProtoserveError."""
    renames = []
    for line in text.splitlines():
        entry = line.split("#", 1)[0].strip()
        old, arrow, new = (part.strip() for part in entry.replace("{package}", package).partition("->"))
        if entry and (not arrow or old.endswith("/") != new.endswith("/")):
            raise ProtoserveError(
                f"{TABLE.as_posix()}: a line must be OLD -> NEW, two files or two folders, not: {line}"
            )
        if entry:
            renames.append((old, new))
    return renames


def later_names(name: str, renames: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The names that a file had later, in their order."""
    for old, new in renames:
        if name == old:
            name = new
            yield name
        elif old.endswith("/") and name.startswith(old):
            name = new + name[len(old) :]
            yield name


def new_targets(project: Path, renames: Sequence[tuple[str, str]], modes: Mapping[str, str]) -> set[str]:
    """The files that the update added where a rename leads to; `modes` are those of HEAD."""
    return {name for name in _targets(project, renames) if name not in modes}


def restore(
    project: Path,
    base: Path,
    renames: Sequence[tuple[str, str]],
    modes: Mapping[str, str],
    targets: set[str],
) -> Iterator[str]:
    """Brings the edits to the new names, or keeps the old file where that is impossible; yields a line for each.

    `base` has the template's files before the update, `targets` is the result of `new_targets`.
    """
    for name in sorted(path.relative_to(base).as_posix() for path in base.rglob("*") if path.is_file()):
        if name == ANSWERS or exists(project, name):
            continue
        names = list(later_names(name, renames))
        target = next((later for later in reversed(names) if later in targets and not (base / later).exists()), None)
        mode = modes.get(name)
        if mode is None:
            # The author removed the file, so it stays removed under its new name.
            if target is not None:
                (project / target).unlink()
        elif committed_content(project, name) != (base / name).read_bytes():
            remove_rejects(project, name, modes)
            if target is not None:
                yield _move_edits(project, base / name, name, target, mode)
            else:
                _keep_old_file(project, base / name, name, mode)
                occupied = next((later for later in reversed(names) if later in modes), None)
                yield _kept_note(name, occupied)


def _targets(project: Path, renames: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The files of the work tree where a rename leads to."""
    for _, new in renames:
        if new.endswith("/"):
            yield from (path.relative_to(project).as_posix() for path in (project / new).rglob("*") if path.is_file())
        elif exists(project, new):
            yield new


def _move_edits(project: Path, base: Path, name: str, target: str, mode: str) -> str:
    """Merges the author's edits of `name` into `target`; the line that says so."""
    mine, before, theirs = committed_content(project, name), base.read_bytes(), (project / target).read_bytes()
    merged = merge(project, mine, before, theirs)
    if merged is None:
        _keep_old_file(project, base, name, mode)
        return f"{name}: it is now {target}, and git cannot merge it: copy your edits there, then git rm it"
    content, conflicts = merged
    if conflicts:
        mark_unmerged(project, target, mode, [before, mine, theirs])
    (project / target).write_bytes(content)
    with_conflicts = f", with {conflicts} conflict(s)" if conflicts else ""
    return f"{name} is now {target}: your edits are in it{with_conflicts}"


def _kept_note(name: str, occupied: str | None) -> str:
    if occupied is None:
        return f"{name}: you edited it, and the template no longer has it: keep it (git add) or remove it (git rm)"
    return f"{name}: it is now {occupied}, where you have a file of your own: copy your edits there, then git rm it"


def _keep_old_file(project: Path, base: Path, name: str, mode: str) -> None:
    """Writes the author's file back, as the conflict that git calls `deleted by them`."""
    path, content = project / name, committed_content(project, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    path.chmod(int(mode[-3:], 8))
    mark_unmerged(project, name, mode, [base.read_bytes(), content])
