"""What an update did, or would do, as plain data: what the summary says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from protoserve.emit.generated_files import MANIFEST, SCHEMA
from protoserve.platform import answers


class Kind(StrEnum):
    """Who a changed file belongs to."""

    TEMPLATE = "template"
    GENERATED = "generated"


class Change(StrEnum):
    """What happened to a file."""

    ADDED = "added"
    CHANGED = "changed"
    REMOVED = "removed"


@dataclass(frozen=True, slots=True)
class File:
    """A file that is not as it was; `conflict` says that it waits for the author."""

    path: str
    kind: Kind
    change: Change
    conflict: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that is not as it was; None where there is none. `why` tells what changed it."""

    name: str
    was: Any
    now: Any
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """An update from `before` to `after`; `notes` are lines that the template's migrations had for the author."""

    project: str
    template: str
    before: str
    after: str
    answers: tuple[Answer, ...] = ()
    files: tuple[File, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The paths that wait for the author."""
        return tuple(file.path for file in self.files if file.conflict)

    @property
    def next_steps(self) -> tuple[tuple[str, str], ...]:
        """Commands, in their order, and why."""
        steps = []
        changed = {file.path for file in self.files}
        if self.conflicts:
            steps.append(("git status", "decide each of the conflicts, then `git add` the file, or `git rm` it"))
        if any(path == "pyproject.toml" or path.startswith("requirements/") for path in changed):
            steps.append(("make setup", "the development tools or the server's libraries changed"))
        if "requirements/server.txt" in changed:
            steps.append(("make lock", "the image's libraries changed"))
        if changed:
            steps.append(("make check smoke", "the project's own tests, and the real server"))
        return tuple(steps)


def files(folder: Path, names: Iterable[str], had: set[str], generated: set[str], conflicts: set[str]) -> list[File]:
    """The changed files `names` of the updated `folder`; `had` are the paths that the project had committed.

    `generated` are those that the generator made before; what it makes now is added to them.
    """
    generated = generated | manifest(folder) | {MANIFEST, SCHEMA}
    found = []
    for name in names:
        if name == answers.FILE:
            continue
        kind = Kind.GENERATED if name in generated else Kind.TEMPLATE
        now = Change.CHANGED if name in had else Change.ADDED
        change = now if (folder / name).is_file() else Change.REMOVED
        found.append(File(name, kind, change, name in conflicts))
    return found


def manifest(folder: Path) -> set[str]:
    """The paths of a project's generated files."""
    try:
        return set((folder / MANIFEST).read_text(encoding="utf-8").splitlines())
    except OSError:
        return set()


def compared(before: dict[str, Any], after: dict[str, Any], given: Iterable[str], ref: str) -> list[Answer]:
    """The answers that differ; `given` are those of the command line."""
    found = []
    for name in [*before, *(name for name in after if name not in before)]:
        was, now = before.get(name), after.get(name)
        if name.startswith("_") or name == "created" or (was == now and (name in before) == (name in after)):
            continue
        if name in given:
            why = "--set"
        elif name not in before:
            why = "a new question, its default"
        elif name not in after:
            why = "no longer asked"
        else:
            why = f"{ref} does not take the earlier answer"
        found.append(Answer(name, was, now, why))
    return found
