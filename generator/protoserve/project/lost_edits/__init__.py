"""What Copier's merge drops without a word, brought back.

It runs after the merge, in the interpreter of Copier, which may lack what the generator needs and may be Python 3.10:
it imports the standard library, and Copier with a library of Copier's own where a version has to be rendered.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from protoserve.project.lost_edits import overlooked, renames, render
from protoserve.project.lost_edits.committed import CarryError, committed, there

__all__ = ["CarryError", "carry"]


def carry(project: Path, template: Path, package: str) -> list[str]:
    """Carries the edits over in `project`, the work tree after the merge; lines that tell the author what was done.

    `template` is a clone of the new version; its history has the old one. Raises CarryError.
    """
    table = template / renames.TABLE
    renamed = renames.read_table(table.read_text(encoding="utf-8") if table.is_file() else "", package)
    had = committed(project)
    gone = any(not there(project, name) for name in had)
    came = renames.came(project, renamed, had)
    unseen = overlooked.overlooked(project, had)
    if not gone and not came and not unseen:
        return []
    with tempfile.TemporaryDirectory(prefix="protoserve-carry-") as temporary:
        base = render.as_committed(project, template, Path(temporary))
        told = list(renames.carried(project, base, renamed, had, came))
        if unseen:
            new = render.as_updated(project, template, Path(temporary))
            told.extend(overlooked.merged_again(project, base, new, unseen, had))
    return told
