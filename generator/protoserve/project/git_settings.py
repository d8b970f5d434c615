"""Settings of git with which Copier's merge loses an author's edits.

Copier reads the edits, file names included, from `git diff-tree` and applies them with `git apply`. `protoserve update`
replaces these settings; a bare `copier update` cannot be given others.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import git_line, git_paths

# What `git apply` does with lines that it takes for wrong in their spaces.
_WHITESPACE_HARM = {
    "fix": "spaces and empty lines of your edits would be lost",
    "strip": "spaces and empty lines of your edits would be lost",
    "error": "edits with spaces at the end of a line would be left out",
    "error-all": "edits with spaces at the end of a line would be left out",
}
_LARGEST_TEXT = 1_000_000  # bytes; no file of a template is larger
_HIDING = ("no", "false", "off", "0")
_DEFAULTS = {
    "apply.whitespace": "nowarn",
    "core.bigFileThreshold": "512m",
    "core.quotepath": "true",
    "status.showUntrackedFiles": "normal",
}


def harmful_settings(project: Path) -> Iterator[str]:
    """A line for each setting that would do harm in this project: what it is, why, and what to do."""
    whitespace = _setting(project, "apply.whitespace")
    if whitespace in _WHITESPACE_HARM:
        yield _message("apply.whitespace", whitespace, _WHITESPACE_HARM[whitespace])
    if _setting(project, "status.showUntrackedFiles") in _HIDING:
        yield _message("status.showUntrackedFiles", "no", "edits that conflict with the template's would be left out")
    # The others count in repositories that Copier makes in the temporary folder.
    temporary = Path(tempfile.gettempdir())
    if _setting(temporary, "core.quotepath", "--type=bool") == "false":
        unreadable = next((name for name in git_paths(project, "ls-files", "-z") if not name.isascii()), None)
        if unreadable is not None:
            yield _message("core.quotepath", "false", f"Copier cannot read names such as {unreadable}", "--global ")
    threshold = _setting(temporary, "core.bigFileThreshold", "--type=int")
    if threshold and int(threshold) < _LARGEST_TEXT:
        large = next(_larger(project, int(threshold)), None)
        if large is not None:
            harm = f"edits of larger files, such as {large}, would be left out"
            yield _message("core.bigFileThreshold", threshold, harm, "--global ")


def _larger(project: Path, size: int) -> Iterator[str]:
    """The tracked files of more than `size` bytes that may be the template's."""
    for name in git_paths(project, "ls-files", "-z"):
        path = project / name
        if path.is_file() and size < path.stat().st_size < _LARGEST_TEXT:
            yield name


def unreadable_names(names: Iterable[str]) -> list[str]:
    """The names of files that are not UTF-8, for which Copier fails half-way."""
    return [name for name in names if any("\udc80" <= character <= "\udcff" for character in name)]


def refuse_unreadable_names(project: Path) -> None:
    """Raises ProtoserveError if Copier cannot read the name of the project's folder or of a committed file."""
    if "\n" in str(project.resolve()):
        raise ProtoserveError(
            f"{str(project.resolve())!r} has a line break in its name, and Copier fails half-way: use `protoserve "
            "update`, or rename the folder"
        )
    names = unreadable_names(git_paths(project, "ls-files", "-z"))
    if names:
        shown = os.fsencode(names[0]).decode(errors="backslashreplace")
        raise ProtoserveError(
            f"the name of {shown} is not UTF-8, and Copier fails half-way: use `protoserve update`, or rename the file"
        )


def _message(name: str, value: str, harm: str, scope: str = "") -> str:
    remedy = f"use `protoserve update`, or set `git config {scope}{name} {_DEFAULTS[name]}`"
    return f"git's {name} is {value}, and {harm}: {remedy}"


def _setting(folder: Path, name: str, *options: str) -> str:
    """The value of a setting, "" if it is not set."""
    return git_line(folder, "config", *options, "--get", name, exit_codes=(0, 1)).strip()
