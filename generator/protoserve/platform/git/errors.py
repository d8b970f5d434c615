"""The cause of a failed git command, picked from what it printed."""

from __future__ import annotations

import re

from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError

NOT_INSTALLED = "git is not installed"

# Lines beside the cause: advice, progress, what a command did before it failed, ssh's warnings, traces (GIT_TRACE=1).
_ASIDE = re.compile(
    r"""
    (?i:warning|hint|remote):
    | \*\*\ |Warning:
    | (?:Cloning\ into|Submodule\ path|Switched\ to|HEAD\ is\ now\ at|Previous\ HEAD|Preparing\ worktree|Initialized)\b
    | [A-Z][A-Za-z ]+:\s+\d+%
    | \d\d:\d\d:\d\d\.\d+\ 
    | \{"event":
    """,
    re.VERBOSE,
)
# What a checkout prints of a commit without a branch.
_NOTE = re.compile(r"^Note: .*?(?:^Turn off this advice[^\n]*$|\Z)", re.MULTILINE | re.DOTALL)
_LABEL = re.compile(r"(?:fatal|error|ERROR): ")
# Git's own line after the cause, which ssh or a server has printed.
_CONSEQUENCE = "Could not read from remote repository"
_TRUST = re.compile(r"git config --global --add safe\.directory .+")


class GitError(ProtoserveError):
    """A git command failed; the message is one line with git's reason, without the credentials of URLs."""

    def __init__(self, message: str) -> None:
        super().__init__(without_credentials(message))


def reason(stderr: str) -> str:
    """The line of git's error output that names the cause, without credentials.

    For a repository of another owner it includes git's remedy.
    """
    lines = [line.strip() for line in _NOTE.sub("", stderr).splitlines()]
    lines = [line for line in lines if line and not _ASIDE.match(line)]
    if not lines:
        return "git failed"
    cause = without_credentials(_LABEL.sub("", _cause(lines), count=1))
    remedy = next(filter(None, map(_TRUST.fullmatch, lines)), None)
    return f"{cause}: if you trust it, run `{remedy[0]}`" if remedy else cause


def _cause(lines: list[str]) -> str:
    """The first line with a label, or the one before it, if that says more; without a label the first line."""
    first = next((number for number, line in enumerate(lines) if _LABEL.match(line)), 0)
    return lines[first - 1] if first and _CONSEQUENCE in lines[first] else lines[first]
