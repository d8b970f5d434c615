"""How a fleet asks git for repositories: with the user's own access, and without asking the user anything."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from functools import cache

from protoserve.platform.git import NOWHERE, GitError, git, git_line

_NO_PROMPTS = {
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_ASKPASS": "",  # set and empty, it keeps git from asking with a window, too
    "GCM_INTERACTIVE": "never",
}


@cache
def without_prompts() -> Mapping[str, str]:
    """Variables with which git and ssh fail where they would ask for a password."""
    command = os.environ.get("GIT_SSH_COMMAND") or _setting("core.sshCommand")
    if not command and os.environ.get("GIT_SSH"):
        return _NO_PROMPTS  # the user's own program, of which only the user knows the options
    words = shlex.split(command or "ssh")
    if os.path.basename(words[0]).removesuffix(".exe") != "ssh":
        return _NO_PROMPTS
    return {**_NO_PROMPTS, "GIT_SSH_COMMAND": f"{command or 'ssh'} -o BatchMode=yes"}


@cache
def without_filters() -> tuple[str, ...]:
    """Options of git with which no filter runs, of those that the user has set up, such as that of LFS."""
    listed = git(NOWHERE, "config", "--list", "--name-only", "-z").decode(errors="surrogateescape").split("\0")
    drivers = {name.rpartition(".")[0] for name in listed if name.startswith("filter.")}
    settings = [f"{driver}.{key}=" for driver in sorted(drivers) for key in ("clean", "smudge", "process")]
    settings += [f"{driver}.required=false" for driver in sorted(drivers)]
    return tuple(part for setting in settings for part in ("-c", setting))


def _setting(name: str) -> str:
    try:
        return git_line(NOWHERE, "config", "--get", name, exit_codes=(0, 1))
    except GitError:
        return ""
