"""`protoserve update`: brings a project to another version of its template, or leaves it as it was."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.blocked_paths import Links, refuse_blocked
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.files import Snapshot
from protoserve.platform.git import Repository, repository_with_commits
from protoserve.platform.printing import UnwritableError, listed, write
from protoserve.project.before_update import FIXED, check_fixed
from protoserve.project.hidden_edits import refuse_hidden_edits
from protoserve.project.unresolved import refuse_rejected_edits
from protoserve.project.update import signals, summary, template_versions
from protoserve.project.update.apply import write_update
from protoserve.project.update.lock import locked
from protoserve.project.update.outcome import Outcome, changed_answers, changed_files, manifest
from protoserve.project.update.scratch import (
    Stage,
    committed_files,
    concerned_files,
    patch,
    record_version,
    scratch_repository,
    unmerged_files,
)
from protoserve.project.update.scratch import changed_files as changed_paths
from protoserve.project.update.template_versions import Comparison, Recorded, Standing
from protoserve.project.user_folders import copier_cache, temporary_folder_outside

CONFLICTS = 3
LATEST = "latest"
SMOKE = ["make", "check", "smoke"]
_NOTE = "protoserve: "  # how lines begin that a migration prints for the author


class UpdateError(ProtoserveError):
    """The project was not updated."""


def update(options: argparse.Namespace) -> int:
    """Exit code 0, or 3 if files have conflicts.

    Raises ProtoserveError, OSError or KeyboardInterrupt with the project as it was.
    """
    signals.raise_as_interrupts()
    project = options.project.resolve()
    before = answers.load(project)
    recorded = template_versions.recorded(options.project, before)
    data = _answers_to_set(options.set, before)
    repository = repository_with_commits(project)
    refuse_rejected_edits(repository)
    _refuse_uncommitted(repository)
    compared = template_versions.compare(recorded, template_versions.available(project, recorded.source))
    version = _target_version(options.to, project, recorded, compared, data)
    if version is None:
        is_later = compared.standing is Standing.LATER
        relation = f"after the newest release, {compared.newest}," if is_later else "the newest version"
        text = f"already at {compared.project}, {relation} of {recorded.printable_source}"
        return _report_nothing_to_do(options, before, recorded, text)
    lock = nullcontext() if options.dry_run else locked(repository)
    with temporary_folder_outside(repository.root), copier_cache(), lock, scratch_repository(repository) as folder:
        printed, notes = _merge(folder, project, version, data, recorded, compared)
        after = answers.load(folder)
        if version == compared.release.name not in ("HEAD", after.get("_commit")):
            notes.append(f"{after.get('_commit')} and {version} are the same commit of the template")
        _refuse_unknown(data, after, version)
        names, unmerged = changed_paths(folder), unmerged_files(folder)
        if not names:
            text = f"already at {recorded.commit}{' with these answers' if data else ''}: nothing to do"
            return _report_nothing_to_do(options, before, recorded, text)
        refuse_hidden_edits(repository, concerned_files(folder, names))
        # The merge has seen what is committed, but not what git ignores.
        refuse_blocked(project, _written(folder, names), Links.NONE, "the template has", ", then update again")
        outcome = _outcome(repository, folder, before, after, data, names, set(unmerged), printed, notes)
        if options.dry_run:
            _report_dry_run(outcome, _printable_patch(folder, recorded), options.format)
        else:
            _apply(repository, folder, names, unmerged, smoke=options.smoke)
            _report(outcome, options.format)
    return CONFLICTS if unmerged else 0


def _report(outcome: Outcome, form: str) -> None:
    """Prints the summary. The update is done by now, and stays so even if nobody can read about it."""
    try:
        write(summary.render(outcome, form, sys.stdout))
    except UnwritableError as error:
        print(
            f"protoserve: the project is updated, but its summary cannot be written: {error.strerror}; `git diff` "
            "shows what changed",
            file=sys.stderr,
        )


def _report_dry_run(outcome: Outcome, changes: bytes, form: str) -> None:
    if form == "json":
        write(summary.as_json(outcome, changes.decode(errors="replace")))
    else:
        write(changes)
        print(summary.render(outcome, form, sys.stderr), file=sys.stderr)


def _printable_patch(folder: Path, recorded: Recorded) -> bytes:
    """The diff, in which the line beside the version does not show the credentials of the template's URL."""
    changes, source = patch(folder), recorded.source.encode()
    printable = changes.replace(source, recorded.printable_source.encode())
    if printable != changes:
        print(
            f"note: the diff of {answers.FILE} leaves out the credentials of the template's URL, so `git apply` "
            "refuses that file",
            file=sys.stderr,
        )
    return printable


def _report_nothing_to_do(options: argparse.Namespace, before: dict[str, Any], recorded: Recorded, text: str) -> int:
    if options.format == "json":
        name, commit = str(before.get("project_name", options.project.resolve().name)), recorded.commit
        write(
            summary.as_json(Outcome(name, recorded.printable_source, commit, commit), "" if options.dry_run else None)
        )
    else:
        print(text, file=sys.stderr if options.dry_run else sys.stdout)
    return 0


def _answers_to_set(pairs: list[tuple[str, str]], before: dict[str, Any]) -> dict[str, Any]:
    """The answers of --set; Copier converts the text to the question's type."""
    data: dict[str, Any] = {}
    for name, value in pairs:
        check_fixed(name, value, before)
        data[name] = answers.names(value) if isinstance(before.get(name), list) else value
    return data


def _refuse_uncommitted(repository: Repository) -> None:
    names = repository.uncommitted()
    if names:
        raise UpdateError(
            f"{repository.project} has changes that are not committed ({listed(names)}): commit or stash them, so "
            "that git can show what the update changed"
        )


def _target_version(
    to: str | None, project: Path, recorded: Recorded, compared: Comparison, data: dict[str, Any]
) -> str | None:
    """The version to update to; None if the project has the newest one and no answer changes. Raises UpdateError."""
    if compared.standing is Standing.UNKNOWN:
        remedy = template_versions.remedy_for_missing(project, recorded.commit)
        raise UpdateError(f"the template {recorded.source} has no {recorded.commit}, the project's version: {remedy}")
    if to is not None and to != LATEST:
        return to
    if to is None and data:
        return compared.former or recorded.commit
    if compared.standing is Standing.OUTDATED:
        return compared.release.name
    return (compared.former or recorded.commit) if data else None


def _merge(
    folder: Path, project: Path, version: str, data: dict[str, Any], recorded: Recorded, compared: Comparison
) -> tuple[str, list[str]]:
    """What the merge prints, and notes about the versions; raises UpdateError.

    It starts from the commit that the project was made from, even if the recorded tag names another one by now.
    """
    # Importing Copier takes most of a second, so everything that can be refused without it comes first.
    from protoserve.project.update.merge import MergeError, merge

    former, notes = compared.former, []
    try:
        if former:
            record_version(folder, former)
            try:
                printed = merge(folder, project, version, data)
                return printed, [f"{compared.project}: the merge starts from the commit that the project was made from"]
            except MergeError as error:
                # Copier fetches both versions before it changes anything.
                if former not in str(error) or not compared.named:
                    raise
            record_version(folder, recorded.commit)
            version = recorded.commit if version == former else version
            notes = [
                f"{compared.project}; the template no longer has commit {former[:7]}, so the merge starts from what "
                f"{recorded.commit} is now, and what differs counts as your edits: `protoserve status` lists the files"
            ]
        return merge(folder, project, version, data), notes
    except MergeError as error:
        sys.stderr.write(error.printed)
        raise UpdateError(f"{str(error).rstrip('.')}; the project is as it was") from None


def _refuse_unknown(data: dict[str, Any], after: dict[str, Any], version: str) -> None:
    unknown = sorted(data.keys() - after.keys())
    if unknown:
        known = ", ".join(name for name in after if not name.startswith("_") and name not in (*FIXED, "created"))
        raise UpdateError(
            f"{version} does not ask {', '.join(unknown)}; it asks {known} (--to {LATEST} for the newest version's)"
        )


def _outcome(
    repository: Repository,
    folder: Path,
    before: dict[str, Any],
    after: dict[str, Any],
    data: dict[str, Any],
    names: list[str],
    conflicts: set[str],
    printed: str,
    notes: list[str],
) -> Outcome:
    version = str(after.get("_commit"))
    return Outcome(
        str(before.get("project_name", repository.project.name)),
        without_credentials(str(after.get("_src_path"))),
        str(before.get("_commit")),
        version,
        tuple(changed_answers(before, after, data, version)),
        tuple(changed_files(folder, names, committed_files(folder), manifest(repository.project), conflicts)),
        (*notes, *(text.removeprefix(_NOTE) for text in printed.splitlines() if text.startswith(_NOTE))),
    )


def _apply(
    repository: Repository, folder: Path, names: list[str], unmerged: dict[str, list[Stage]], *, smoke: bool
) -> None:
    """Writes the update into the project; if anything goes wrong, the project is as it was."""
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
        _refuse_uncommitted(repository)
        refuse_hidden_edits(repository, concerned_files(folder, names))
        stops = signals.DeferredSignals()
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


def _written(folder: Path, names: list[str]) -> list[str]:
    """Those of the changed paths that the update writes, not removes."""
    return [name for name in names if os.path.lexists(folder / name)]


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
