"""What an update did, or would do, as plain data for its summary."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from protoserve.emit.generated_files import MANIFEST, SCHEMA, listed_files
from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials


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
    """A file that the update changed; one with a `conflict` needs the author's decision."""

    path: str
    kind: Kind
    change: Change
    conflict: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that the update changed, None for no answer, and the reason."""

    name: str
    was: Any
    now: Any
    why: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """An update from `before` to `after`; `notes` are lines that the template's migrations print for the author."""

    project: str
    template: str
    before: str
    after: str
    answers: tuple[Answer, ...] = ()
    files: tuple[File, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def conflicts(self) -> tuple[str, ...]:
        """The paths of the files with conflicts."""
        return tuple(file.path for file in self.files if file.conflict)

    @property
    def next_steps(self) -> tuple[tuple[str, str], ...]:
        """Commands to run, in their order, each with its reason."""
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


def changed_files(
    folder: Path, names: Iterable[str], committed: set[str], generated: set[str], conflicts: set[str]
) -> list[File]:
    """The files `names` of the updated `folder`; `committed` are the paths that the project had.

    `generated` are those that the generator wrote before; those that it writes now are added.
    """
    generated = generated | manifest(folder) | {MANIFEST, SCHEMA}
    files = []
    for name in names:
        if name == answers.FILE:
            continue
        kind = Kind.GENERATED if name in generated else Kind.TEMPLATE
        if not os.path.lexists(folder / name):
            change = Change.REMOVED
        else:
            change = Change.CHANGED if name in committed else Change.ADDED
        files.append(File(name, kind, change, name in conflicts))
    return files


def manifest(folder: Path) -> set[str]:
    """The paths of a project's generated files."""
    return set(listed_files(folder))


def changed_answers(
    before: dict[str, Any], after: dict[str, Any], options: Iterable[str], version: str
) -> list[Answer]:
    """The answers that differ, with the reason; `options` are the names that --set answers."""
    changed = []
    for name in [*before, *(name for name in after if name not in before)]:
        was, now = before.get(name), after.get(name)
        if name.startswith("_") or name == "created" or (was == now and (name in before) == (name in after)):
            continue
        if name in options:
            why = "--set"
        elif name not in before:
            why = "a new question, its default"
        elif name not in after:
            why = "no longer asked"
        else:
            why = f"{version} does not accept the earlier answer"
        changed.append(Answer(name, _printable(was), _printable(now), why))
    return changed


def _printable(answer: Any) -> Any:
    return without_credentials(answer) if isinstance(answer, str) else answer
