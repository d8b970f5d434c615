"""Writes the result of an update into the project."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from protoserve.platform import answers
from protoserve.platform.files import Snapshot, write_all
from protoserve.platform.git import Repository, git, git_line
from protoserve.platform.printing import listed
from protoserve.project.file_modes import LINK, current_modes, links_on_disk, on_disk, set_modes
from protoserve.project.hidden_edits import refuse_hidden_edits, show_changes
from protoserve.project.update.outcome import manifest
from protoserve.project.update.request import UpdateError
from protoserve.project.update.scratch import Stage, concerned_files
from protoserve.project.update.signals import DeferredSignals

SMOKE = ["make", "check", "smoke"]


def apply_update(
    repository: Repository, folder: Path, names: list[str], unmerged: dict[str, list[Stage]], *, smoke: bool
) -> None:
    """Writes the update into the project; if anything goes wrong, the project is as it was.

    The arguments are those of `write_update`; with `smoke`, the project's own check and smoke must pass.
    """
    if smoke and unmerged:
        print("protoserve: smoke does not run, since there are conflicts to resolve first", file=sys.stderr)
        smoke = False
    project = repository.project
    with tempfile.TemporaryDirectory(prefix="protoserve-undo-") as store:
        snapshot = Snapshot(Path(store))
        snapshot.keep([repository.git_path("index")])
        _refuse_ignored(repository, folder, names)
        snapshot.keep(project / name for name in names)
        if smoke:
            snapshot.keep_folder(project / "artifacts")  # smoke trains a model if there is none
        # Again, since the author may have worked on meanwhile.
        refuse_uncommitted(repository)
        refuse_hidden_edits(repository, concerned_files(folder, names))
        stops = DeferredSignals()
        try:
            write_update(repository, folder, names, unmerged)
            smoke_failed = smoke and not stops.received and stops.run(SMOKE, project) != 0
            if stops.received:
                raise KeyboardInterrupt
            if smoke_failed:
                raise UpdateError(f"`{' '.join(SMOKE)}` failed on the updated project; the project is as it was")
        except BaseException:
            snapshot.restore()
            if smoke and (left := repository.uncommitted()):
                print(
                    f"protoserve: `{' '.join(SMOKE)}` has left files that the update does not know: {listed(left)}",
                    file=sys.stderr,
                )
            if stops.received:  # Ctrl-C reaches git as well, which then fails
                raise KeyboardInterrupt from None
            raise


def refuse_uncommitted_answers(repository: Repository) -> None:
    """Raises UpdateError if the answers are only on disk, ignored by git: the merge starts from what is committed.

    Raises AnswersError if they are a link.
    """
    answers.refuse_link(repository.project)
    if repository.read("HEAD", repository.path_from_root(answers.FILE)) is None:
        raise UpdateError(
            f"{answers.FILE} is not committed in {repository.root}, and an update merges from what it records: "
            f"`git add --force {answers.FILE}`, then commit it"
        )


def refuse_uncommitted(repository: Repository) -> None:
    """Raises UpdateError if the project has changes that git shows and that are not committed."""
    names = repository.uncommitted()
    if names:
        raise UpdateError(
            f"{repository.project} has changes that are not committed ({listed(names)}): commit or stash them, so "
            "that git can show what the update changed"
        )


def _refuse_ignored(repository: Repository, folder: Path, names: list[str]) -> None:
    """Refuses to overwrite files that nothing would bring back: git ignores them and they are not generated."""
    tracked = set(repository.tracked())
    generated = manifest(repository.project) | manifest(folder)
    lost = [name for name in names if name not in tracked | generated and (repository.project / name).exists()]
    if lost:
        raise UpdateError(
            f"{listed(lost)}: the template now has a file there, and yours is ignored by git and would be "
            "lost: move it away"
        )


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
            entries.append(f"{stage.mode} {blob} {stage.number}\t{path}\0")
        lines += [f"0 {'0' * len(blob)}\t{path}\0", *entries]
    if lines:
        git(repository.project, "update-index", "-z", "--index-info", stdin=os.fsencode("".join(lines)))
    show_changes(repository, names)
    if not on_disk(repository.project):
        modes = current_modes(folder, names)
        set_modes(repository.project, {name: mode for name, mode in modes.items() if mode != LINK})
