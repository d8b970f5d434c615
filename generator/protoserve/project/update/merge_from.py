"""The commit from which the merge starts, if a clone of the template does not have it under the recorded name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from protoserve.project.update.request import Request, Target, UpdateError
from protoserve.project.update.scratch import record_version

# Updates a scratch repository, that of a project's folder, to a revision of the template with these answers in place of
# the recorded ones; returns what was printed. Raises MergeError.
Merge = Callable[[Path, Path, str, dict[str, Any]], str]


def merge_from_recorded(
    folder: Path, request: Request, target: Target, merge: Merge | None = None
) -> tuple[str, list[str]]:
    """Merges in the scratch repository; what the merge prints, and notes about the versions. Raises UpdateError.

    It starts from the commit that the project was made from, even if the recorded tag names another one by now.
    """
    # Importing Copier takes most of a second, so everything that can be refused without it comes first.
    from protoserve.project.update.merge import MergeError
    from protoserve.project.update.merge import merge as merge_by_copier

    merge = merge or merge_by_copier
    former = target.compared.former
    try:
        if not former:
            if target.compared.is_branch:
                record_version(folder, target.compared.named)  # a clone has branches under another name
            return merge(folder, request.project, target.version, request.data), []
        record_version(folder, former)
        try:
            printed = merge(folder, request.project, target.version, request.data)
        except MergeError as error:
            # Copier fetches both versions before it changes anything.
            if former not in str(error) or not target.compared.named:
                raise
            return _merge_from_moved_tag(folder, request, target, merge)
        return printed, [f"{target.compared.project}: the merge starts from the commit that the project was made from"]
    except MergeError as error:
        sys.stderr.write(error.printed)
        raise UpdateError(f"{str(error).rstrip('.')}; the project is as it was") from None


def _merge_from_moved_tag(folder: Path, request: Request, target: Target, merge: Merge) -> tuple[str, list[str]]:
    """Merges from what the recorded tag is now, since the template no longer has the commit that it was."""
    compared, tag = target.compared, request.recorded.commit
    record_version(folder, tag)
    version = tag if target.version == compared.former else target.version
    printed = merge(folder, request.project, version, request.data)
    return printed, [
        f"{compared.project}; the template no longer has commit {compared.former[:7]}, so the merge starts from what "
        f"{tag} is now, and what differs counts as your edits: `protoserve status` lists the files"
    ]
