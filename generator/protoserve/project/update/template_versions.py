"""Where a project's template is, and which versions it has."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from protoserve.platform import answers
from protoserve.platform.git import GitError, git

_SHORT_FORMS = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}
# What `git describe` prints for a commit after a tag: v1.2.0-2-g2043abc.
_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<distance>\d+)-g(?P<hash>[0-9a-f]{4,64})$")


@dataclass(frozen=True, slots=True)
class Recorded:
    """The template of a project as its answers record it: the source as it was typed, and a tag or commit."""

    source: str
    commit: str


@dataclass(frozen=True, slots=True)
class Release:
    """The newest version of a template: a tag, or HEAD if no tag is a version; with its hash."""

    name: str
    hash: str


def recorded(project: Path, project_answers: dict[str, Any]) -> Recorded:
    """The template that the answers of a project name. Raises AnswersError if they do not name a version."""
    source, commit = project_answers.get("_src_path"), project_answers.get("_commit")
    if not isinstance(source, str) or not source:
        raise answers.AnswersError(
            f"{project / answers.FILE} has no _src_path, where the template is: restore it from git"
        )
    if commit is None:
        raise answers.AnswersError(
            f"{project / answers.FILE} records no version of the template (_commit): {source} was not a git "
            "repository when the project was made, so there is nothing to merge with"
        )
    return Recorded(source, str(commit))


def newest(project: Path, source: str) -> Release:
    """The newest release of a template by Copier's rule: the highest by PEP 440 that is not a pre-release.

    A relative path counts from the project. Raises GitError.
    """
    quiet = {} if sys.stdin is not None and sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    try:
        output = git(project, "ls-remote", "--", _url(project, source), "HEAD", "refs/tags/*", env=quiet).decode()
    except GitError as error:
        raise GitError(f"the template {source} cannot list its versions: {error}") from None
    refs = {name: value for value, _, name in (line.partition("\t") for line in output.splitlines())}
    best: tuple[Version, str] | None = None
    for name in refs:
        tag = name.removeprefix("refs/tags/")
        version = _version(tag)
        if tag != name and version is not None and not version.is_prerelease and (best is None or version > best[0]):
            best = (version, tag)
    if best is None:
        return Release("HEAD", refs.get("HEAD", ""))
    # An annotated tag has a hash of its own; that of its commit is the peeled one.
    reference = f"refs/tags/{best[1]}"
    return Release(best[1], refs.get(f"{reference}^{{}}", refs[reference]))


def is_at(commit: str, release: Release) -> bool:
    """Whether a recorded commit is that release or comes after it."""
    described = _DESCRIBED.match(commit)
    if commit == release.name or (described is not None and described["tag"] == release.name):
        return True
    abbreviated = described["hash"] if described is not None else commit
    return re.fullmatch(r"[0-9a-f]{4,64}", abbreviated) is not None and release.hash.startswith(abbreviated)


def is_after(commit: str, release: Release) -> bool:
    """Whether a recorded commit comes after the tag of that release."""
    described = _DESCRIBED.match(commit)
    return described is not None and described["tag"] == release.name


def _version(tag: str) -> Version | None:
    try:
        return Version(tag)
    except InvalidVersion:
        return None


def _url(project: Path, source: str) -> str:
    """What git clones for a recorded source, by the rules of Copier and of scripts/generate.py."""
    prefix = source[:3]
    if prefix in _SHORT_FORMS:
        return _SHORT_FORMS[prefix] + source[3:].lstrip("/").removesuffix(".git") + ".git"
    folder = project / Path(os.path.expanduser(source))
    return str(folder.resolve()) if folder.exists() else source.removeprefix("git+")
