"""Writes the result of an update into the project."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from protoserve.platform.files import write_all
from protoserve.platform.git import Repository, git, git_line
from protoserve.project.file_modes import LINK, current_modes, links_on_disk, on_disk, set_modes
from protoserve.project.hidden_edits import show_changes
from protoserve.project.update.scratch import Stage


def write_update(
    repository: Repository, folder: Path, names: Collection[str], unmerged: Mapping[str, Sequence[Stage]]
) -> None:
    """Makes the files `names` of the project equal to those of the scratch repository `folder`.

    The conflicts of the scratch repository, `unmerged`, become those of the project's. Raises OSError or GitError,
    possibly half-way: the caller has a Snapshot.
    """
    links = links_on_disk(repository.project)
    contents: dict[str, bytes | Path] = {}
    removed = []
    for name in names:
        source = folder / name
        if source.is_symlink() and not links:
            contents[name] = os.fsencode(os.readlink(source))
        elif source.is_symlink() or source.is_file():
            contents[name] = source
        else:
            removed.append(name)
    write_all(repository.project, contents, removed)
    lines = []
    for name, stages in unmerged.items():
        path = repository.path_from_root(name)
        entries = []
        for stage in stages:
            content = git(folder, "cat-file", "blob", stage.blob)
            blob = git_line(repository.project, "hash-object", "-w", "--stdin", stdin=content)
            entries.append(f"{stage.mode} {blob} {stage.number}\t{path}\n")
        lines += [f"0 {'0' * len(blob)}\t{path}\n", *entries]
    if lines:
        git(repository.project, "update-index", "--index-info", stdin=os.fsencode("".join(lines)))
    show_changes(repository, names)
    if not on_disk(repository.project):
        modes = current_modes(folder, names)
        set_modes(repository.project, {name: mode for name, mode in modes.items() if mode != LINK})
