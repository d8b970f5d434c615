"""An author's edits that Copier overlooks: it drops bytes that are no UTF-8, and all edits of files that git takes for
binary, shows no diff of, or ignores."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from protoserve.project.lost_edits.committed import content, git, merged, there, unmerge

_REGULAR = "100"  # how the modes of files begin that are no links


def overlooked(project: Path, had: Mapping[str, str]) -> list[str]:
    """The files that the update has changed of those whose edits Copier may not have seen."""
    changed = _names(git(project, "diff", "--name-only", "--relative", "-z", "HEAD"))
    files = [name for name in changed if had.get(name, "").startswith(_REGULAR) and there(project, name)]
    if not files:
        return []
    given = b"".join(os.fsencode(name) + b"\0" for name in files)
    # Not the project's own patterns alone: Copier looks at those of the user, in repositories of its own.
    ignored = set(_names(git(project, "check-ignore", "--no-index", "-z", "--stdin", given=given, fails=1)))
    told = _names(git(project, "check-attr", "-z", "--stdin", "diff", given=given))
    without_diff = {name for name, value in zip(told[::3], told[2::3], strict=True) if value == "unset"}
    unseen = ignored | without_diff
    return [name for name in files if name in unseen or not _is_text(content(project, name))]


def merged_again(project: Path, base: Path, new: Path, names: Iterable[str], had: Mapping[str, str]) -> Iterator[str]:
    """Merges these files by their bytes, and says where that cannot be done.

    `base` and `new` have the template's files as they were and as they are now.
    """
    for name in names:
        if not (new / name).is_file():
            continue  # no file of the template's
        mine, theirs = content(project, name), (new / name).read_bytes()
        before = (base / name).read_bytes() if (base / name).is_file() else b""
        if mine == before:
            continue
        made = (mine, 0) if theirs == before else merged(project, mine, before, theirs)
        text, clashes = made or (mine, 1)
        (project / name).write_bytes(text)
        git(project, "reset", "--quiet", "--", name)  # Copier may have found a conflict where there is none
        if clashes:
            unmerge(project, name, had[name], [before, mine, theirs])
        if made is None:
            yield (
                f"{name}: the template changed it, and yours is no text that git can merge: it is as it was; bring "
                f"over what `git diff :1:./{name} :3:./{name}` shows, then git add it"
            )


def _names(listed: bytes) -> list[str]:
    return [os.fsdecode(name) for name in listed.split(b"\0")[:-1]]


def _is_text(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return b"\0" not in data
