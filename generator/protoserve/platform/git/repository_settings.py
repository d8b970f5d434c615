"""The settings of a repository alone, in its `.git/config`, that would run commands of whoever made it.

A repository that was unpacked or shared, not cloned, brings its settings along. Looking at it executes nothing: each
such setting gets the value that the user has set for all repositories, else git's default.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple

_OF_THE_REPOSITORY = ("local", "worktree")
_HELPER = re.compile(r"credential\.(.*\.)?helper", re.DOTALL)
_FILTERS = re.compile(r"filter\..*\.(clean|smudge|process|required)", re.DOTALL)
# Settings that name a command, or allow a transport that runs one, and git's default.
_DEFAULTS = (
    (re.compile(r"core\.sshcommand"), "ssh"),
    (re.compile(r"core\.gitproxy"), "none"),
    (re.compile(r"core\.alternaterefscommand"), "true"),  # it prints no references
    (re.compile(r"core\.(askpass|editor|pager)"), ""),
    (_HELPER, ""),
    (re.compile(r"remote\..*\.uploadpack", re.DOTALL), "git-upload-pack"),
    (re.compile(r"remote\..*\.receivepack", re.DOTALL), "git-receive-pack"),
    (re.compile(r"remote\..*\.vcs", re.DOTALL), ""),
    (re.compile(r"submodule\..*\.update", re.DOTALL), "checkout"),
    (re.compile(r"gpg\.(.*\.)?program", re.DOTALL), "gpg"),
    (re.compile(r"protocol\.(file\.)?allow"), "user"),
    (re.compile(r"protocol\.(https?|git|ssh)\.allow"), "always"),
    (re.compile(r"protocol\..*\.allow", re.DOTALL), "never"),
    (re.compile(r"filter\..*\.required", re.DOTALL), "false"),
    (_FILTERS, ""),
)
_filters_run: ContextVar[bool] = ContextVar("filters_run", default=False)


class Setting(NamedTuple):
    """A setting with the scope that `git config --show-scope` prints: local, global and so on."""

    scope: str
    key: str
    value: str


def filters_run() -> bool:
    """Whether the filters of the repository's own settings run."""
    return _filters_run.get()


def of_the_repository(setting: Setting) -> bool:
    """Whether the repository alone has this setting."""
    return setting.scope in _OF_THE_REPOSITORY


@contextmanager
def filters_of_the_repository() -> Iterator[None]:
    """Within the block, the filters that the repository's own settings name do run, as they do when git checks out."""
    before = _filters_run.set(True)
    try:
        yield
    finally:
        _filters_run.reset(before)


def replaced(settings: Sequence[Setting]) -> list[tuple[str, str]]:
    """What takes the place of the repository's own settings that run commands, as keys and values in their order."""
    own = dict.fromkeys(each.key for each in settings if of_the_repository(each))
    of_the_user = [(each.key, each.value) for each in settings if not of_the_repository(each)]
    defaults = {key: default for key in own if (default := _default(key)) is not None}
    result = [*{**defaults, **{key: value for key, value in of_the_user if key in defaults}}.items()]
    if any(map(_HELPER.fullmatch, defaults)):  # they add up, and an empty one drops those before it
        result = [(key, "" if _HELPER.fullmatch(key) else value) for key, value in result]
        result += [(key, value) for key, value in of_the_user if _HELPER.fullmatch(key)]
    return result


def parse(output: str) -> list[Setting]:
    """The settings in what `git config --list --show-scope -z` prints."""
    fields = output.split("\0")
    entries = zip(fields[::2], (entry.partition("\n") for entry in fields[1::2]), strict=False)
    return [Setting(scope, key, value) for scope, (key, _, value) in entries]


def _default(key: str) -> str | None:
    """Git's default of a setting that runs commands; None for other settings."""
    if _filters_run.get() and _FILTERS.fullmatch(key):
        return None
    return next((default for pattern, default in _DEFAULTS if pattern.fullmatch(key)), None)
