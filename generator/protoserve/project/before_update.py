"""What an update of a project needs, checked before Copier changes anything."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from protoserve.emit import generated_files
from protoserve.platform import answers
from protoserve.platform.blocked_paths import BlockedPathError, Links, blocked_paths, joined
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import Repository, find_repository, git
from protoserve.project import git_settings
from protoserve.project.answers_policy import refuse_given
from protoserve.project.hidden_edits import refuse_hidden_edits, refuse_hiding_flags, refuse_untracked
from protoserve.project.lost_edits.render_version import extract
from protoserve.project.template_paths import template_paths
from protoserve.project.unresolved import refuse_reject_names
from protoserve.schema import project_schemas


def check_fixed(name: str, answer: str, recorded: Mapping[str, Any]) -> None:
    """Raises ProtoserveError if the answer is to a question that only creation asks, and not the recorded one."""
    if name in answers.FIXED and answer != str(recorded.get(name)):
        raise ProtoserveError(
            f"{name} cannot change after creation: it stays {recorded.get(name)} ({answers.FIXED[name]})"
        )


def check_update(project: Path, template: Path, given: Mapping[str, Any]) -> int:
    """Refuses answers that cannot change or that the policy does not allow, edits that would be lost, harmful settings
    of git, schemas with errors, and what lies in the way of a file.

    `template` is the folder of the new version; `given` are answers of the command line. Raises ProtoserveError.
    """
    answers.refuse_link(project)
    recorded = answers.load(project)
    for name, answer in given.items():
        check_fixed(name, str(answer), recorded)
    refuse_given(template, recorded, given)
    repository = find_repository(project)
    if repository is not None:
        refuse_hidden_edits(repository)
        refuse_hiding_flags(repository)
        refuse_reject_names(repository)
        git_settings.refuse_unreadable_names(project)
        _refuse_missing_objects(repository)
    harmful = list(git_settings.harmful_settings(project))
    if harmful:
        raise ProtoserveError("\nprotoserve: ".join(harmful))
    package = str(recorded["package"])
    schemas = project_schemas.load(project_schemas.read(project), package)
    of_template = template_paths(template, {**recorded, **given})
    _refuse_blocked_paths(project, of_template, generated_files.paths(project, schemas, package))
    if repository is not None and repository.has_untracked():
        refuse_untracked(repository, {*of_template, *_recorded_paths(template, recorded)})
    return 0


def _refuse_missing_objects(repository: Repository) -> None:
    """Copier's own repositories borrow the objects of a partial clone, but cannot fetch those that it lacks."""
    if not repository.partial:
        return
    listed = git(repository.project, "rev-list", "--objects", "--missing=print", "--no-object-names", repository.tree)
    if any(line.startswith(b"?") for line in listed.splitlines()):
        raise ProtoserveError(
            "this partial clone lacks files of the project, and Copier fails half-way: use `protoserve update`, or "
            "check out all files first (`git sparse-checkout disable`)"
        )


def _recorded_paths(template: Path, recorded: Mapping[str, Any]) -> list[str]:
    """The files of the version that the project records: Copier removes those that the new version does not have."""
    with tempfile.TemporaryDirectory(prefix="protoserve-before-") as temporary:
        return template_paths(extract(recorded, template, Path(temporary)), recorded)


def _refuse_blocked_paths(project: Path, of_template: Iterable[str], generated: Iterable[str]) -> None:
    """Copier would stop at such a path with half of the project updated, or lose the edits behind a link."""
    blocked = [path.describe("the template has") for path in blocked_paths(project, of_template, Links.NONE)]
    blocked += [path.describe("the generator writes") for path in blocked_paths(project, generated, Links.INSIDE)]
    if blocked:
        raise BlockedPathError(joined([f"{line}, commit, and update again" for line in blocked]))
