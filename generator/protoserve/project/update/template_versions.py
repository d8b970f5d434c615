"""Where a project's template is, which versions it has, and how the project's own compares to them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version

from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import NOWHERE, GitError, git, refuse_source
from protoserve.platform.git.sources import SECONDS_TO_ANSWER, SHORT_FORMS, address
from protoserve.platform.printing import printable
from protoserve.platform.reading import read_text

# What `git describe` prints for a commit after a tag: v1.2.0-2-g2043abc.
_DESCRIBED = re.compile(r"(?P<tag>.+)-(?P<distance>\d+)-g(?P<hash>[0-9a-f]{4,64})$")
_HASH = re.compile(r"[0-9a-f]{4,64}")
_SHOWN = 7  # digits of a hash in texts
# Git's words for an access that was refused. Servers report a private repository as missing, too.
_REFUSED = re.compile(
    r"authentication failed|could not read (username|password)|terminal prompts disabled|permission denied"
    r"|access denied|host key verification failed|returned error: 40[13]|repository .* not found",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Recorded:
    """The template of a project as its answers record it: the source as it was typed, and a tag or commit.

    `hash` is that of the tag's commit when the project took it; "" if older templates did not record it.
    """

    source: str
    commit: str
    hash: str

    @property
    def printable_source(self) -> str:
        """The source without the credentials of a URL."""
        return without_credentials(self.source)


@dataclass(frozen=True, slots=True)
class Release:
    """The newest version of a template: a tag, or HEAD if no tag is a version; with its hash."""

    name: str
    hash: str


@dataclass(frozen=True, slots=True)
class Versions:
    """The hashes of a template's HEAD, of the commits of its tags, and of its branches."""

    head: str
    tags: Mapping[str, str]
    branches: Mapping[str, str]

    @property
    def newest(self) -> Release:
        """The newest release by Copier's rule: the highest version by PEP 440 that is not a pre-release."""
        best: tuple[Version, str] | None = None
        for tag in self.tags:
            version = _version(tag)
            if version is not None and not version.is_prerelease and (best is None or version > best[0]):
                best = (version, tag)
        return Release("HEAD", self.head) if best is None else Release(best[1], self.tags[best[1]])

    def commit_of(self, name: str) -> str:
        """The hash of the commit that a tag or else a branch names now; "" if there is neither."""
        return self.tags.get(name) or self.branches.get(name, "")


class Standing(Enum):
    """How a project's version compares to the newest release; UNKNOWN if the template does not have it."""

    NEWEST = "newest"
    LATER = "later"
    OUTDATED = "outdated"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Comparison:
    """A project's version beside the newest release of its template; `project` and `newest` name them for people.

    `former` is the hash of the commit that the project was made from, if the recorded tag does not name it any more,
    and `named` that of the commit which the tag names now, "" if the template no longer has it. `is_branch` says that
    the recorded version is not a tag, but a branch.
    """

    standing: Standing
    project: str
    newest: str
    release: Release
    former: str
    named: str
    is_branch: bool


class UnreachableTemplateError(ProtoserveError):
    """The versions of the template cannot be listed: the reason, and what to do."""

    def __init__(self, reason: str, remedy: str) -> None:
        super().__init__(f"{reason}: {remedy}" if remedy else reason)
        self.reason = reason
        self.remedy = remedy


def recorded(project: Path, project_answers: Mapping[str, Any]) -> Recorded:
    """The template that the answers of a project name. Raises AnswersError if they do not name a version, SourceError
    for a source that git is not asked for."""
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
    refuse_source(source, project, f"_src_path in {project / answers.FILE}")
    if str(commit).startswith("-") or not str(commit).isprintable():
        raise answers.AnswersError(
            f"{project / answers.FILE} records {printable(str(commit))}, which is not a version: restore it from git"
        )
    return Recorded(source, str(commit), recorded_hash(project_answers, str(commit)))


def available(project: Path, source: str) -> Versions:
    """The versions of a template. A relative path counts from the project. Raises UnreachableTemplateError."""
    quiet = {} if sys.stdin is not None and sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return listed(url(project, source), quiet)
    except GitError as error:
        raise unreachable(project, source, str(error)) from None


def listed(address: str, variables: Mapping[str, str]) -> Versions:
    """The versions that git lists at an address, asked with these variables. Raises GitError."""
    command = ("ls-remote", "--", address, "HEAD", "refs/heads/*", "refs/tags/*")
    output = os.fsdecode(git(NOWHERE, *command, env=variables, seconds=SECONDS_TO_ANSWER))
    refs = {name: value for value, _, name in (line.partition("\t") for line in output.splitlines())}
    # An annotated tag has a hash of its own; that of its commit is the peeled one.
    return Versions(refs.get("HEAD", ""), _peeled(refs, "refs/tags/"), _peeled(refs, "refs/heads/"))


def unreachable(project: Path, source: str, cause: str) -> UnreachableTemplateError:
    """The error of a project whose template cannot be listed, for git's reason."""
    reason = f"the template {without_credentials(source)} cannot be read: {cause}"
    return UnreachableTemplateError(reason, _remedy(project, cause))


def compare(project: Recorded, versions: Versions) -> Comparison:
    """The project's version beside the newest release, by their commits: two tags may name the same one."""
    release, commit = versions.newest, project.commit
    described = None if commit in versions.tags else _DESCRIBED.match(commit)
    named = versions.commit_of(commit)
    taken = project.hash or named or _abbreviated(commit, described)
    former = project.hash if named != project.hash else ""
    newest = release.name if release.name != "HEAD" else release.hash[: len(commit)]
    text = commit + _change(commit, former, named)
    if not taken:
        standing = Standing.UNKNOWN
    elif release.hash.startswith(taken):
        standing = Standing.NEWEST
        if release.name not in (commit, "HEAD") and not _HASH.fullmatch(commit):
            text += f" (the same commit as {newest})"
    else:
        standing = Standing.LATER if _is_later(commit, described, versions, release) else Standing.OUTDATED
    is_branch = commit in versions.branches and commit not in versions.tags
    return Comparison(standing, text, newest, release, former, named, is_branch)


def remedy_for_missing(project: Path, commit: str) -> str:
    """What to do if the template does not have the version that a project records."""
    try:
        git(project, "diff", "--quiet", "HEAD", "--", answers.FILE)
    except GitError:  # changed since the last commit
        return f"git restore {answers.FILE}"
    return f"restore the tag {commit} in the template, or set _commit in {answers.FILE} to the tag the project is from"


def recorded_hash(project_answers: Mapping[str, Any], commit: str) -> str:
    """The recorded hash, if it is that of this version: somebody may have changed _commit by hand."""
    hashes = project_answers.get("_commit_hash")
    value = hashes.get(commit) if isinstance(hashes, dict) else None
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        return ""
    return "" if _DESCRIBED.match(commit) or value.startswith(commit) else value  # they are no tags


def _peeled(refs: Mapping[str, str], prefix: str) -> dict[str, str]:
    names = [name for name in refs if name.startswith(prefix) and not name.endswith("^{}")]
    return {name.removeprefix(prefix): refs.get(f"{name}^{{}}", refs[name]) for name in names}


def _abbreviated(commit: str, described: re.Match[str] | None) -> str:
    """The digits of a hash that a recorded version has; "" if it is the name of a tag."""
    if described is not None:
        return described["hash"]
    return commit if _HASH.fullmatch(commit) else ""


def _change(commit: str, former: str, named: str) -> str:
    """What happened to the recorded tag, in parentheses."""
    if not former:
        return ""
    if not named:
        return f" (commit {former[:_SHOWN]}; the template no longer has the tag {commit})"
    return f" (commit {former[:_SHOWN]}; the template has moved the tag to {named[:_SHOWN]})"


def _is_later(commit: str, described: re.Match[str] | None, versions: Versions, release: Release) -> bool:
    """Whether a recorded version comes after the newest release: a later commit, or a pre-release of the next one."""
    tag = commit if described is None else described["tag"]
    if described is not None and versions.tags.get(tag) == release.hash:
        return True
    if _HASH.fullmatch(tag) and tag not in versions.tags:
        return False  # even if its digits read like a version
    version, newest = _version(tag), _version(release.name)
    return version is not None and newest is not None and version > newest


def _remedy(project: Path, reason: str) -> str:
    """What to do about a template that cannot be read, for git's reason."""
    if "safe.directory" in reason:
        return ""
    access = "if you have no access, set up a credential helper or an SSH key (nobody is asked for a password here); "
    return (
        f"{access if _REFUSED.search(reason) else ''}if the template has moved, write its new place into "
        f"{_line_of_source(project)}, as `_src_path: URL`, and commit that: "
        f'`git commit -m "The template has moved" {answers.FILE}`'
    )


def _line_of_source(project: Path) -> str:
    lines = read_text(project / answers.FILE, project, errors="replace").splitlines()
    number = next((number for number, line in enumerate(lines, 1) if line.startswith("_src_path:")), None)
    return f"line {number} of {answers.FILE}" if number else answers.FILE


def _version(tag: str) -> Version | None:
    try:
        return Version(tag)
    except InvalidVersion:
        return None


def url(project: Path, source: str) -> str:
    """What git clones for a recorded source, by the rules of Copier and of scripts/generate.py."""
    folder = (project / Path(os.path.expanduser(source))).absolute()
    if source[:3] not in SHORT_FORMS and folder.exists():
        return str(folder.resolve())
    return address(source)
