"""Restores the edits of an author that Copier's merge drops silently.

It runs after the merge, in Copier's interpreter, which may lack what the generator needs and may be Python 3.10. So it
imports only the standard library, and Copier with PyYAML when a version of the template has to be rendered.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from protoserve.platform.git import filters_of_the_repository
from protoserve.project.file_modes import LINK
from protoserve.project.hidden_edits import show_all_changes
from protoserve.project.lost_edits import file_types, overlooked_edits, renamed_files, render_version
from protoserve.project.lost_edits.merge_files import committed_modes, exists

__all__ = ["restore_lost_edits"]


@filters_of_the_repository()
def restore_lost_edits(project: Path, template: Path, package: str) -> list[str]:
    """Restores the edits in `project`, the work tree after the merge; returns lines for the author.

    `template` is a clone of the new version, whose history has the old one. Raises ProtoserveError and OSError.
    """
    show_all_changes(project)
    table = template / renamed_files.TABLE
    renames = renamed_files.parse_table(table.read_text(encoding="utf-8") if table.is_file() else "", package)
    modes = committed_modes(project)
    any_removed = any(not exists(project, name) for name in modes)
    targets = renamed_files.new_targets(project, renames, modes)
    overlooked = overlooked_edits.candidates(project, modes)
    commits = render_version.recorded_commits(project)
    any_binary = overlooked_edits.any_binary_change(template, commits)
    any_type = file_types.may_differ(project, template, commits, modes)
    if not (any_removed or targets or overlooked or any_binary or any_type):
        return []
    notes: list[str] = []
    left_links: list[str] = []
    with tempfile.TemporaryDirectory(prefix="protoserve-restore-") as temporary:
        old = render_version.committed_version(project, template, Path(temporary))
        if overlooked or any_binary or any_type:
            new = render_version.updated_version(project, template, Path(temporary))
            names = sorted({*overlooked, *overlooked_edits.binary_files(old, new, modes)})
            notes.extend(overlooked_edits.restore(project, old, new, names, modes))
            notes.extend(file_types.restore(project, old, new, modes))
            left_links = [name for name, mode in modes.items() if mode == LINK and not exists(new, name)]
        notes.extend(renamed_files.restore(project, old, renames, modes, targets, left_links))
    return notes
