"""The environment in which Copier runs git: with protoserve's settings, and without the hooks of the user."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import plumbum

from protoserve.platform.git import git_line
from protoserve.platform.git.settings import READING, added_variables, removed_variables

# With other values edits lose spaces at the ends of lines, or are left out.
_APPLYING = {"apply.whitespace": "nowarn", "apply.ignoreWhitespace": "no"}


@contextmanager
def copier_environment(settings: Mapping[str, str] = READING) -> Iterator[None]:
    """Within the block, programs that Copier starts get these settings of git, and no variables of a git hook."""
    before = dict(os.environ)
    removed, added = removed_variables(before), added_variables(settings.items(), before)
    with plumbum.local.env():
        # Copier starts git in plumbum's environment; the library that reads versions does so in that of the process.
        for variables in (plumbum.local.env, os.environ):
            for name in removed:
                variables.pop(name, "")
            variables.update(added)
        try:
            yield
        finally:
            for name in added.keys() - before.keys():
                del os.environ[name]
            os.environ.update({name: before[name] for name in (*removed, *added) if name in before})


def merging(folder: Path) -> dict[str, str]:
    """The settings for an update in the scratch repository `folder`.

    Steps of the template run under them, too, and `pre-commit install` refuses any core.hooksPath, even one without
    hooks. So it is only replaced where the user has set it.
    """
    settings = {**READING, **_APPLYING}
    if not git_line(folder, "config", "--get", "core.hooksPath", exit_codes=(0, 1)):
        del settings["core.hooksPath"]
    return settings
