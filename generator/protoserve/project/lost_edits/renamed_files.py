"""An author's edits of files that the template renamed or removed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.files import write_all
from protoserve.platform.reading import files_below as paths_below
from protoserve.project.file_modes import LINK, set_modes
from protoserve.project.lost_edits.merge_files import (
    ANSWERS,
    Version,
    committed_version,
    exists,
    files_below,
    mark_unmerged,
    merge,
    remove_rejects,
    version_on_disk,
    with_line_ends,
    write_version,
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
    targets: Collection[str],
    left_links: Collection[str],
) -> Iterator[str]:
    """Brings the edits to the new names, or keeps the old file where that is impossible; yields a line for each.

    `base` has the template's files before the update, `targets` is the result of `new_targets`, and
    `left_links` are links that the template no longer has, which Copier does not remove.
    """
    for name in files_below(base):
        if name == ANSWERS or (_is_there(project, name, modes) and name not in left_links):
            continue
        names = list(later_names(name, renames))
        target = next((later for later in reversed(names) if later in targets and not (base / later).exists()), None)
        mode, before = modes.get(name), version_on_disk(base / name)
        if mode is None or before is None:
            # The author removed the file, so it stays removed under its new name.
            if target is not None:
                (project / target).unlink()
            continue
        mine = committed_version(project, name, mode)
        if LINK not in (before.mode, mine.mode):
            before = Version(before.mode, with_line_ends(project, name, before.content, mine.content))
        if mine == before:
            if name in left_links:
                (project / name).unlink(missing_ok=True)
            continue
        remove_rejects(project, name, modes)
        if target is not None:
            yield _move_edits(project, name, target, before, mine)
        else:
            _keep_old_file(project, name, before, mine)
            occupied = next((later for later in reversed(names) if later in modes), None)
            yield _kept_note(name, occupied)


def _is_there(project: Path, name: str, modes: Mapping[str, str]) -> bool:
    """Whether the file is there after the update; a folder that the author put in its place is another thing."""
    return exists(project, name) and (name in modes or not (project / name).is_dir())


def _targets(project: Path, renames: Sequence[tuple[str, str]]) -> Iterator[str]:
    """The files of the work tree where a rename leads to."""
    for _, new in renames:
        if new.endswith("/"):
            yield from (path.relative_to(project).as_posix() for path in paths_below(project / new) if path.is_file())
        elif exists(project, new):
            yield new


def _move_edits(project: Path, name: str, target: str, before: Version, mine: Version) -> str:
    """Merges the author's edits of `name` into `target`; the line that says so."""
    theirs = version_on_disk(project / target)
    if theirs is None or LINK in (before.mode, mine.mode, theirs.mode):
        merged = None
    else:
        content = with_line_ends(project, name, theirs.content, mine.content)
        merged = merge(project, mine.content, before.content, content)
    if merged is None or theirs is None:
        _keep_old_file(project, name, before, mine)
        return f"{name}: it is now {target}, and git cannot merge it: copy your edits there, then git rm it"
    content, conflicts = merged
    if conflicts:
        mark_unmerged(project, target, {1: before, 2: mine, 3: theirs})
    write_all(project, {target: content})
    if mine.mode != before.mode:
        set_modes(project, {target: mine.mode})
    with_conflicts = f", with {conflicts} conflict(s)" if conflicts else ""
    return f"{name} is now {target}: your edits are in it{with_conflicts}"


def _kept_note(name: str, occupied: str | None) -> str:
    if occupied is None:
        return f"{name}: you edited it, and the template no longer has it: keep it (git add) or remove it (git rm)"
    return f"{name}: it is now {occupied}, where you have a file of your own: copy your edits there, then git rm it"


def _keep_old_file(project: Path, name: str, before: Version, mine: Version) -> None:
    """Writes the author's file back, as the conflict that git calls `deleted by them`."""
    write_version(project, name, mine)
    mark_unmerged(project, name, {1: before, 2: mine})
