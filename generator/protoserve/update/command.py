"""`protoserve update`: from its arguments to an updated project, or to one that is as it was."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from protoserve import answers
from protoserve.update import apply, output, template
from protoserve.update.outcome import Outcome, compared, files, manifest
from protoserve.update.repository import Repository, RepositoryError, find, forget_hook, git, uncommitted
from protoserve.update.scratch import changed, diff, scratch, unmerged

CONFLICTS = 3
LATEST = "latest"
# The answers that only creation reads, and what to do instead.
FIXED = {
    "package": "to have another, create a new project and move model.py and schema.yaml over",
    "framework": "to have another, create a new project and move model.py and schema.yaml over",
    "schema": "edit schema.yaml, then `make generate`",
}
STOPS = ("SIGINT", "SIGTERM", "SIGHUP")
_SHOWN = 5  # paths in one line


class UpdateError(Exception):
    """Why the project was not updated, in one line."""


def main(given: argparse.Namespace) -> int:
    """Exit code 0; 3 with conflicts in the files; 1 with the reason on standard error and the project as it was."""
    # A stop from outside ends an update as Ctrl-C does.
    for name in STOPS[1:]:
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.default_int_handler)
    forget_hook()
    try:
        return update(given)
    except (UpdateError, RepositoryError, answers.AnswersError) as error:
        print(f"protoserve: {error}", file=sys.stderr)
    except OSError as error:
        print(f"protoserve: {error.filename}: {error.strerror}; the project is as it was", file=sys.stderr)
    except KeyboardInterrupt:
        print("protoserve: interrupted; the project is as it was", file=sys.stderr)
    return 1


def update(given: argparse.Namespace) -> int:
    """Raises UpdateError, RepositoryError, AnswersError, OSError and KeyboardInterrupt with the project as it was."""
    project = given.project.resolve()
    before = answers.load(project)
    recorded = template.recorded(given.project, before)
    data = _data(given.set, before)
    repository = find(project)
    _refuse_uncommitted(repository)
    ref = _ref(given.to, project, recorded, data)
    if ref is None:
        print(f"already at {recorded.commit}, the newest version of {recorded.source}")
        return 0
    with scratch(repository) as folder:
        told = _merge(folder, project, ref, data)
        after = answers.load(folder)
        _refuse_unknown(data, after, ref)
        names, conflicts = changed(folder), unmerged(folder)
        outcome = _outcome(repository, folder, before, after, data, names, set(conflicts), told)
        if given.dry_run:
            text = diff(folder)
            if given.format == "json":
                output.show(outcome, "json", diff=text)
            else:
                sys.stdout.write(text)
                output.show(outcome, given.format, to_stderr=True)
        else:
            _apply(repository, folder, names, conflicts, smoke=given.smoke)
            output.show(outcome, given.format)
    return CONFLICTS if conflicts else 0


def _data(pairs: list[str], before: dict[str, Any]) -> dict[str, Any]:
    """The answers of --set; Copier makes of the text what the question's type wants."""
    data: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.isidentifier():
            raise UpdateError(f"--set {pair}: it is KEY=VALUE, such as port=9000")
        if name in FIXED and value != str(before.get(name)):
            raise UpdateError(f"{name} cannot change after creation: it stays {before.get(name)} ({FIXED[name]})")
        data[name] = answers.names(value) if isinstance(before.get(name), list) else value
    return data


def _refuse_uncommitted(repository: Repository) -> None:
    names = uncommitted(repository)
    if names:
        shown = ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
        raise UpdateError(
            f"{repository.project} has changes that are not committed ({shown}): commit or stash them, so that git can "
            "show what the update changed"
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
    from protoserve.update.merge import MergeError, merge

    try:
        return merge(folder, project, ref, data)
    except MergeError as error:
        sys.stderr.write(error.told)
        raise UpdateError(f"{error}; the project is as it was") from None


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
    with tempfile.TemporaryDirectory(prefix="protoserve-kept-") as store:
        snapshot = apply.Snapshot(repository, Path(store))
        _refuse_ignored(repository, folder, names)
        snapshot.keep(names)
        _refuse_uncommitted(repository)  # of somebody who went on working meanwhile
        try:
            apply.write(repository, folder, names, conflicts)
            if smoke:
                _smoke(repository, snapshot, bool(conflicts))
        except BaseException:
            for name in STOPS:
                if hasattr(signal, name):
                    signal.signal(getattr(signal, name), signal.SIG_IGN)  # a second one must not stop the undoing
            snapshot.restore()
            raise


def _refuse_ignored(repository: Repository, folder: Path, names: list[str]) -> None:
    """Files that git does not keep and that are not generated: nothing would bring them back."""
    tracked = set(git(repository.project, "ls-files", "-z").decode(errors="surrogateescape").split("\0"))
    generated = manifest(repository.project) | manifest(folder)
    lost = [name for name in names if name not in tracked | generated and (repository.project / name).exists()]
    if lost:
        raise UpdateError(
            f"{', '.join(lost[:_SHOWN])}: the template now has a file there, and yours is ignored by git and would be "
            "lost: move it away"
        )


def _smoke(repository: Repository, snapshot: apply.Snapshot, conflicts: bool) -> None:
    """The project's own check and smoke. Raises UpdateError where one fails."""
    if conflicts:
        print("protoserve: not smoked, since there are conflicts to resolve first", file=sys.stderr)
        return
    snapshot.keep_folder("artifacts")  # which smoke makes where there are none
    command = ["make", "check", "smoke"]
    # In a group of its own, so that nothing that make has started goes on writing while the update is undone.
    make = subprocess.Popen(command, cwd=repository.project, stdout=sys.stderr.fileno(), start_new_session=True)
    try:
        code = make.wait()
    except BaseException:
        os.killpg(make.pid, signal.SIGKILL)
        make.wait()
        raise
    if code != 0:
        raise UpdateError(f"`{' '.join(command)}` failed on the updated project; the project is as it was")
