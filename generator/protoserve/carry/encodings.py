"""An author's edits in files that are no UTF-8: Copier drops what it cannot read, a byte or all edits of a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from protoserve.carry.project import Committed, content, git, merged, there, unmerge

_REGULAR = "100"  # how the modes of files begin that are no links


def unreadable(project: Path, had: Mapping[str, Committed]) -> list[str]:
    """The files that the update has changed of those whose committed bytes Copier cannot read."""
    changed = map(os.fsdecode, git(project, "diff", "--name-only", "--relative", "-z", "HEAD").split(b"\0"))
    files = [name for name in changed if name in had and had[name].mode.startswith(_REGULAR) and there(project, name)]
    return [name for name in files if not _is_text(content(project, had[name]))]


def merged_again(
    project: Path, base: Path, new: Path, names: Iterable[str], had: Mapping[str, Committed]
) -> Iterator[str]:
    """Merges these files by their bytes, and says where that cannot be done.

    `base` and `new` have the template's files as they were and as they are now.
    """
    for name in names:
        if not (new / name).is_file():
            continue  # no file of the template's
        mine, theirs = content(project, had[name]), (new / name).read_bytes()
        before = (base / name).read_bytes() if (base / name).is_file() else b""
        if mine == before:
            continue
        made = (mine, 0) if theirs == before else merged(project, mine, before, theirs)
        text, clashes = made or (mine, 1)
        (project / name).write_bytes(text)
        git(project, "reset", "--quiet", "--", name)  # Copier may have found a conflict where there is none
        if clashes:
            unmerge(project, name, had[name].mode, [before, mine, theirs])
        if made is None:
            yield (
                f"{name}: the template changed it, and yours is no text that git can merge: it is as it was; bring "
                f"over what `git diff :1:./{name} :3:./{name}` shows, then git add it"
            )


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data
