"""An update, computed in the scratch repository: what it changes, and where the author has to decide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials
from protoserve.project.update.line_ends import restore_line_ends
from protoserve.project.update.merge_from import Merge, merge_from_recorded
from protoserve.project.update.outcome import Outcome, changed_answers, changed_files, manifest
from protoserve.project.update.request import Request, Target, refuse_unknown
from protoserve.project.update.scratch import Stage, committed_files, unmerged_files
from protoserve.project.update.scratch import changed_files as changed_paths

_NOTE = "protoserve: "  # how lines begin that a migration prints for the author


@dataclass(frozen=True, slots=True)
class Update:
    """The result in the scratch repository: the paths that differ from what is committed, and the stages of those with
    a conflict. An update without `names` changes nothing."""

    outcome: Outcome
    names: list[str]
    unmerged: dict[str, list[Stage]]


def compute_update(folder: Path, request: Request, target: Target, merge: Merge | None = None) -> Update:
    """Updates the scratch repository `folder`. `merge` takes the place of Copier's own update.

    It depends on nothing but what is committed, the request and the template. Raises ProtoserveError.
    """
    generated = manifest(folder)
    printed, notes = merge_from_recorded(folder, request, target, merge)
    after = answers.load(folder)
    refuse_unknown(request, after, target.version)
    restore_line_ends(folder, changed_paths(folder))
    names, unmerged = changed_paths(folder), unmerged_files(folder)
    if note := target.note(str(after.get("_commit"))):
        notes.append(note)
    notes += [text.removeprefix(_NOTE) for text in printed.splitlines() if text.startswith(_NOTE)]
    version = str(after.get("_commit"))
    outcome = Outcome(
        request.project_name,
        without_credentials(str(after.get("_src_path"))),
        str(request.before.get("_commit")),
        version,
        tuple(changed_answers(request.before, after, request.data, version)),
        tuple(changed_files(folder, names, committed_files(folder), generated, set(unmerged))),
        tuple(notes),
    )
    return Update(outcome, names, unmerged)
