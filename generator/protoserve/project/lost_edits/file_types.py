"""What Copier loses where author and template differ in whether a file is executable, or a symbolic link.

It applies the author's edits as a patch. Of a file that conflicts it keeps the author's mode, in the index of a project
with `core.fileMode=false` the template's. Of a file that became a link, or a link that became a file, it keeps one side
and does not report the other.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from protoserve.platform.git import git
from protoserve.project.file_modes import EXECUTABLE, LINK, current_modes, set_modes
from protoserve.project.lost_edits.merge_files import (
    Version,
    committed_version,
    files_below,
    mark_unmerged,
    remove_rejects,
    version_on_disk,
    write_version,
)


def may_differ(project: Path, template: Path, commits: tuple[str, str], modes: Mapping[str, str]) -> bool:
    """Whether an update between these commits of the template may concern a mode or a link.

    `modes` are those of HEAD.
    """
    if LINK in modes.values() or any(mode != modes[name] for name, mode in current_modes(project, modes).items()):
        return True
    fields = git(template, "diff", "--raw", "--no-renames", "-z", *commits).decode(errors="replace").split("\0")
    changed = [field[1:].split()[:2] for field in fields if field.startswith(":")]
    return any(LINK in pair or (pair[0] != pair[1] and EXECUTABLE in pair) for pair in changed)


def restore(project: Path, old: Path, new: Path, modes: Mapping[str, str]) -> Iterator[str]:
    """Merges modes and kinds of files; yields a line for each file that is a link for one side and that both changed.

    `old` and `new` are folders with the template's files before and after the update, `modes` are those of HEAD.
    """
    wanted = {}
    for name in files_below(new):
        base, theirs = version_on_disk(old / name), version_on_disk(new / name)
        if theirs is None:
            continue
        if name not in modes:
            if base is None and theirs.mode == EXECUTABLE and (project / name).is_file():
                wanted[name] = EXECUTABLE
        elif LINK in (modes[name], theirs.mode, base and base.mode):
            remove_rejects(project, name, modes)
            yield from _restore_kind(project, name, base, committed_version(project, name, modes[name]), theirs)
        else:
            wanted[name] = theirs.mode if base is not None and base.mode == modes[name] else modes[name]
    now = current_modes(project, wanted)
    set_modes(project, {name: mode for name, mode in wanted.items() if now.get(name) not in (None, LINK, mode)})


def _restore_kind(project: Path, name: str, base: Version | None, mine: Version, theirs: Version) -> Iterator[str]:
    """Keeps the author's side if it changed; yields a line if the template's did, too."""
    if mine == base:
        return
    if version_on_disk(project / name) != mine:
        write_version(project, name, mine)
    if theirs in (base, mine):
        return
    mark_unmerged(project, name, {1: base, 2: mine, 3: theirs})
    shown = f"git show :3:./{name}" if base is None else f"git diff :1:./{name} :3:./{name}"
    yield (
        f"{name}: {_difference(base, mine, theirs)}: it is as you had it; take over what you need of the changes that "
        f"`{shown}` shows, then git add it"
    )


def _difference(base: Version | None, mine: Version, theirs: Version) -> str:
    leads_to = os.fsdecode(theirs.content)
    if theirs.mode != LINK:
        return "you replaced it by a symbolic link, and the template changed the file"
    if mine.mode == LINK:
        return f"you changed where this symbolic link leads, and in the template it now leads to {leads_to}"
    if base is not None and base.mode == LINK:
        return f"you replaced a symbolic link by a file, and in the template it now leads to {leads_to}"
    return f"you changed it, and in the template it is now a symbolic link to {leads_to}"
