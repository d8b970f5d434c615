"""Settings of git under which Copier's merge rewrites an author's lines, or ends in the middle.

Copier takes an author's edits from `git diff-tree`, file names included, and applies them with `git apply`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from protoserve.platform.git import GitError, git

# Otherwise edits lose spaces at ends of lines, names that are not ASCII cannot be read, and edits that clash stay
# in files `*.rej`, for which Copier looks among those that git does not know.
_WANTED = {"apply.whitespace": "nowarn", "core.quotepath": "true", "status.showUntrackedFiles": "normal"}
_REWRITES = ("fix", "strip")
_HIDES = ("no", "false", "off", "0")


def safe(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables by which git goes without these settings, behind what the environment sets already."""
    have = environment.get("GIT_CONFIG_COUNT", "")
    first = int(have) if have.isdecimal() else 0
    variables = {"GIT_CONFIG_COUNT": str(first + len(_WANTED))}
    for number, (name, value) in enumerate(_WANTED.items(), first):
        variables |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def unsafe(project: Path) -> Iterator[str]:
    """For each of them that would do harm in this project what it is, and what to do."""
    whitespace = _git(project, "config", "--get", "apply.whitespace").strip()
    if whitespace in _REWRITES:
        yield _told("apply.whitespace", whitespace, "spaces and empty lines of your edits would be lost", "")
    if _git(project, "config", "--get", "status.showUntrackedFiles").strip() in _HIDES:
        yield _told("status.showUntrackedFiles", "no", "edits that clash with the template's would be left out", "")
    # Copier asks for names in a repository of its own, elsewhere.
    elsewhere = Path(tempfile.gettempdir())
    if _git(elsewhere, "config", "--type=bool", "--get", "core.quotepath").strip() == "false":
        names = _git(project, "ls-files", "-z").split("\0")
        strange = next((name for name in names if not name.isascii()), None)
        if strange is not None:
            yield _told("core.quotepath", "false", f"Copier cannot read names such as {strange}", "--global ")


def _told(name: str, value: str, why: str, where: str) -> str:
    remedy = f"use `protoserve update`, or set `git config {where}{name} {_WANTED[name]}`"
    return f"git's {name} is {value}, and {why}: {remedy}"


def _git(project: Path, *arguments: str) -> str:
    """What git prints; nothing where it fails, as it does for a setting that nobody has set."""
    try:
        return git(project, *arguments).decode("utf-8", "surrogateescape")
    except GitError:
        return ""
