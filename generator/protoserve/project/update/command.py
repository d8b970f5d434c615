"""`protoserve update`: brings a project to another version of its template, or leaves it as it was."""

from __future__ import annotations

import argparse
import os
from contextlib import ExitStack, nullcontext
from pathlib import Path

from protoserve.platform.blocked_paths import Links, refuse_blocked
from protoserve.platform.git import Repository, filters_of_the_repository, repository_with_commits
from protoserve.project.hidden_edits import refuse_hidden_edits, without_filter
from protoserve.project.unresolved import refuse_rejected_edits
from protoserve.project.update import printing, signals, template_versions
from protoserve.project.update.apply import apply_update, refuse_uncommitted, refuse_uncommitted_answers
from protoserve.project.update.compute import compute_update
from protoserve.project.update.lock import locked
from protoserve.project.update.request import Request, Target, read_request, target_version
from protoserve.project.update.scratch import Committed, concerned_files, patch, scratch_repository
from protoserve.project.user_folders import copier_cache, temporary_folder_outside

CONFLICTS = 3


def update(options: argparse.Namespace) -> int:
    """Exit code 0, or 3 if files have conflicts.

    Raises ProtoserveError, OSError or KeyboardInterrupt with the project as it was.
    """
    signals.raise_as_interrupts()
    # The merge is of what the author sees, so filters run as when git checks out; a dry run only looks.
    with nullcontext() if options.dry_run else filters_of_the_repository():
        return _update(options)


def _update(options: argparse.Namespace) -> int:
    request = read_request(options.project, options.set)
    repository = repository_with_commits(request.project)
    refuse_uncommitted_answers(repository)
    refuse_rejected_edits(repository)
    refuse_uncommitted(repository)
    versions = template_versions.available(request.project, request.recorded.source)
    compared = template_versions.compare(request.recorded, versions)
    version = target_version(options.to, request, compared)
    if version is None:
        printing.print_newest(options, request, compared)
        return 0
    with ExitStack() as stack:
        stack.enter_context(temporary_folder_outside(repository.root))
        stack.enter_context(copier_cache())
        if not options.dry_run:
            stack.enter_context(locked(repository))
        folder = stack.enter_context(scratch_repository(Committed.head(repository)))
        return _update_in(folder, repository, request, Target(version, compared), options)


def _update_in(
    folder: Path, repository: Repository, request: Request, target: Target, options: argparse.Namespace
) -> int:
    """Merges in the scratch repository `folder`, then writes the result into the project, or shows it; exit code."""
    update = compute_update(folder, request, target)
    names = update.names
    if not names:
        with_answers = " with these answers" if request.data else ""
        printing.print_nothing_to_do(
            options, request, f"already at {request.recorded.commit}{with_answers}: nothing to do"
        )
        return 0
    concerned = concerned_files(folder, names)
    refuse_hidden_edits(repository, concerned if not options.dry_run else without_filter(repository, concerned))
    # The merge has seen what is committed, but not what git ignores.
    refuse_blocked(request.project, _written(folder, names), Links.NONE, "the template has", ", then update again")
    if options.dry_run:
        changes = printing.without_source_credentials(patch(folder), request.recorded)
        printing.print_dry_run(update.outcome, changes, options.format)
    else:
        apply_update(repository, folder, names, update.unmerged, smoke=options.smoke)
        printing.print_summary(update.outcome, options.format)
    return CONFLICTS if update.unmerged else 0


def _written(folder: Path, names: list[str]) -> list[str]:
    """Those of the changed paths that the update writes, not removes."""
    return [name for name in names if os.path.lexists(folder / name)]
