"""Settings of git with which Copier's merge loses an author's edits or stops half-way.

Copier reads the edits, file names included, from `git diff-tree` and applies them with `git apply`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from protoserve.platform.git import git_line, git_paths

# With other values, edits lose spaces at the ends of lines, Copier cannot read names that are not ASCII, and rejected
# edits stay in `*.rej` files, which Copier looks up among the untracked files.
_REQUIRED = {"apply.whitespace": "nowarn", "core.quotepath": "true", "status.showUntrackedFiles": "normal"}
_REWRITING = ("fix", "strip")
_HIDING = ("no", "false", "off", "0")


def required_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that give git the required settings, numbered after those that `environment` has already."""
    count = environment.get("GIT_CONFIG_COUNT", "")
    first = int(count) if count.isdecimal() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(_REQUIRED))}
    for number, (name, value) in enumerate(_REQUIRED.items(), first):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def harmful_settings(project: Path) -> Iterator[str]:
    """A line for each setting that would do harm in this project: what it is, why, and what to do."""
    whitespace = _setting(project, "apply.whitespace")
    if whitespace in _REWRITING:
        yield _message("apply.whitespace", whitespace, "spaces and empty lines of your edits would be lost")
    if _setting(project, "status.showUntrackedFiles") in _HIDING:
        yield _message("status.showUntrackedFiles", "no", "edits that conflict with the template's would be left out")
    # Copier lists the names in a repository of its own, in the temporary folder.
    if _setting(Path(tempfile.gettempdir()), "core.quotepath", "--type=bool") == "false":
        unreadable = next((name for name in git_paths(project, "ls-files", "-z") if not name.isascii()), None)
        if unreadable is not None:
            yield _message("core.quotepath", "false", f"Copier cannot read names such as {unreadable}", "--global ")


def _message(name: str, value: str, harm: str, scope: str = "") -> str:
    remedy = f"use `protoserve update`, or set `git config {scope}{name} {_REQUIRED[name]}`"
    return f"git's {name} is {value}, and {harm}: {remedy}"


def _setting(folder: Path, name: str, *options: str) -> str:
    """The value of a setting, "" if it is not set."""
    return git_line(folder, "config", *options, "--get", name, exit_codes=(0, 1)).strip()
