"""`protoserve update`: from its arguments to an updated project, or to one that is as it was."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.git import GitError, Repository, committed, forget_hook, git
from protoserve.platform.printing import UnwritableError, write
from protoserve.project.update import apply, output, stops, template
from protoserve.project.update.outcome import Outcome, compared, files, manifest
from protoserve.project.update.scratch import changed, diff, scratch, unmerged

CONFLICTS = 3
LATEST = "latest"
# The answers that only creation reads, and what to do instead.
FIXED = {
    "package": "to have another, create a new project and move model.py and schema.yaml over",
    "framework": "to have another, create a new project and move model.py and schema.yaml over",
    "schema": "edit schema.yaml, then `make generate`",
}
SMOKE = ["make", "check", "smoke"]
_SHOWN = 5  # paths in one line


class UpdateError(Exception):
    """Why the project was not updated, in one line."""


def main(given: argparse.Namespace) -> int:
    """Exit code 0; 3 with conflicts in the files; 1 with the reason on standard error and the project as it was."""
    stops.as_interrupts()
    forget_hook()
    try:
        return update(given)
    except (UpdateError, GitError, answers.AnswersError) as error:
        print(f"protoserve: {error}", file=sys.stderr)
    except OSError as error:
        print(f"protoserve: {error.filename}: {error.strerror}; the project is as it was", file=sys.stderr)
    except KeyboardInterrupt:
        print("protoserve: interrupted; the project is as it was", file=sys.stderr)
    return 1


def update(given: argparse.Namespace) -> int:
    """Raises UpdateError, GitError, AnswersError, OSError and KeyboardInterrupt with the project as it was."""
    project = given.project.resolve()
    before = answers.load(project)
    recorded = template.recorded(given.project, before)
    data = _data(given.set, before)
    repository = committed(project)
    _refuse_uncommitted(repository)
    ref = _ref(given.to, project, recorded, data)
    if ref is None:
        return _nothing(
            given, before, recorded, f"already at {recorded.commit}, the newest version of {recorded.source}"
        )
    with scratch(repository) as folder:
        told = _merge(folder, project, ref, data)
        after = answers.load(folder)
        _refuse_unknown(data, after, ref)
        names, conflicts = changed(folder), unmerged(folder)
        if not names:
            asked = " with these answers" if data else ""
            return _nothing(given, before, recorded, f"already at {recorded.commit}{asked}: nothing to do")
        outcome = _outcome(repository, folder, before, after, data, names, set(conflicts), told)
        if given.dry_run:
            text = diff(folder)
            if given.format == "json":
                write(output.as_json(outcome, text.decode(errors="replace")))
            else:
                write(text)
                print(output.told(outcome, given.format, sys.stderr), file=sys.stderr)
        else:
            _apply(repository, folder, names, conflicts, smoke=given.smoke)
            _tell(outcome, given.format)
    return CONFLICTS if conflicts else 0


def _tell(outcome: Outcome, form: str) -> None:
    """Prints the summary of an update that is done, and that stays so where nobody can read of it."""
    try:
        write(output.told(outcome, form, sys.stdout))
    except UnwritableError as error:
        print(
            f"protoserve: the project is updated, but its summary cannot be written: {error.strerror}; `git diff` "
            "shows what changed",
            file=sys.stderr,
        )


def _nothing(given: argparse.Namespace, before: dict[str, Any], recorded: template.Recorded, said: str) -> int:
    if given.format == "json":
        name, commit = str(before.get("project_name", given.project.resolve().name)), recorded.commit
        write(output.as_json(Outcome(name, recorded.source, commit, commit), "" if given.dry_run else None))
    else:
        print(said, file=sys.stderr if given.dry_run else sys.stdout)
    return 0


def _data(pairs: list[tuple[str, str]], before: dict[str, Any]) -> dict[str, Any]:
    """The answers of --set; Copier makes of the text what the question's type wants."""
    data: dict[str, Any] = {}
    for name, value in pairs:
        if name in FIXED and value != str(before.get(name)):
            raise UpdateError(f"{name} cannot change after creation: it stays {before.get(name)} ({FIXED[name]})")
        data[name] = answers.names(value) if isinstance(before.get(name), list) else value
    return data


def _refuse_uncommitted(repository: Repository) -> None:
    names = repository.uncommitted()
    if names:
        raise UpdateError(
            f"{repository.project} has changes that are not committed ({_some(names)}): commit or stash them, so that "
            "git can show what the update changed"
        )


def _ref(to: str | None, project: Path, recorded: template.Recorded, data: dict[str, Any]) -> str | None:
    """The version to update to; None where the project has it already."""
    if to is None and data:
        return recorded.commit
    if to is not None and to != LATEST:
        return to
    release = template.newest(project, recorded.source)
    if template.is_at(recorded.commit, release):
        return recorded.commit if data else None
    return release.name


def _merge(folder: Path, project: Path, ref: str, data: dict[str, Any]) -> str:
    # Copier takes most of a second to import: not before everything that can be refused at once was.
    from protoserve.project.update.merge import MergeError, merge

    try:
        return merge(folder, project, ref, data)
    except MergeError as error:
        sys.stderr.write(error.told)
        raise UpdateError(f"{str(error).rstrip('.')}; the project is as it was") from None


def _refuse_unknown(data: dict[str, Any], after: dict[str, Any], ref: str) -> None:
    unknown = sorted(data.keys() - after.keys())
    if unknown:
        known = ", ".join(name for name in after if not name.startswith("_") and name not in (*FIXED, "created"))
        raise UpdateError(
            f"{', '.join(unknown)} is no question of {ref}; it asks {known} (--to {LATEST} for the newest version's)"
        )


def _outcome(
    repository: Repository,
    folder: Path,
    before: dict[str, Any],
    after: dict[str, Any],
    data: dict[str, Any],
    names: list[str],
    conflicts: set[str],
    told: str,
) -> Outcome:
    had = set(git(folder, "ls-tree", "-r", "--name-only", "-z", "HEAD").decode(errors="surrogateescape").split("\0"))
    ref = str(after.get("_commit"))
    return Outcome(
        str(before.get("project_name", repository.project.name)),
        str(after.get("_src_path")),
        str(before.get("_commit")),
        ref,
        tuple(compared(before, after, data, ref)),
        tuple(files(folder, names, had, manifest(repository.project), conflicts)),
        tuple(line.removeprefix("protoserve: ") for line in told.splitlines() if line.startswith("protoserve: ")),
    )


def _apply(
    repository: Repository,
    folder: Path,
    names: list[str],
    conflicts: dict[str, list[tuple[str, str, str]]],
    *,
    smoke: bool,
) -> None:
    """Writes the update into the project; whatever goes wrong, the project is as it was."""
    if smoke and conflicts:
        print("protoserve: not smoked, since there are conflicts to resolve first", file=sys.stderr)
        smoke = False
    with tempfile.TemporaryDirectory(prefix="protoserve-kept-") as store:
        snapshot = apply.Snapshot(repository, Path(store))
        _refuse_ignored(repository, folder, names)
        snapshot.keep(names)
        if smoke:
            snapshot.keep_folder("artifacts")  # which smoke makes where there are none
        _refuse_uncommitted(repository)  # of somebody who went on working meanwhile
        held = stops.Held()
        try:
            apply.write(repository, folder, names, conflicts)
            failed = smoke and not held.came and held.run(SMOKE, repository.project) != 0
            if held.came:
                raise KeyboardInterrupt
            if failed:
                raise UpdateError(f"`{' '.join(SMOKE)}` failed on the updated project; the project is as it was")
        except BaseException:
            snapshot.restore()
            if smoke and (left := repository.uncommitted()):
                print(
                    f"protoserve: `{' '.join(SMOKE)}` has left {_some(left)}, no files of the update", file=sys.stderr
                )
            if held.came:  # git is stopped by Ctrl-C as well, and fails
                raise KeyboardInterrupt from None
            raise


def _refuse_ignored(repository: Repository, folder: Path, names: list[str]) -> None:
    """Files that git does not keep and that are not generated: nothing would bring them back."""
    tracked = set(repository.tracked())
    generated = manifest(repository.project) | manifest(folder)
    lost = [name for name in names if name not in tracked | generated and (repository.project / name).exists()]
    if lost:
        raise UpdateError(
            f"{_some(lost)}: the template now has a file there, and yours is ignored by git and would be "
            "lost: move it away"
        )


def _some(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
