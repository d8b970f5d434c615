"""The template at the version that a project records, in the user's cache.

It does what `scripts/generate.py` of a project does, with the same cache, but runs nothing of the project.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import NOWHERE, GitError, git, refuse_source
from protoserve.platform.git.sources import SECONDS_TO_ANSWER, is_remote
from protoserve.project.update import template_versions

_RUN = Path("generator", "run.py")
_SECONDS = 300.0  # for the whole clone
# What Copier checks out is the template as it was committed: no setting of the user converts its lines.
_AS_COMMITTED = ("-c", "core.autocrlf=false", "-c", "core.eol=lf")
# Git's words for a revision that a repository does not have.
_MISSING = re.compile(r"unknown revision|did not match any|not a tree|bad object|single revision|not a valid object")


class RecordedTemplateError(ProtoserveError):
    """The recorded version cannot be fetched or rendered."""


class MissingVersionError(RecordedTemplateError):
    """The template does not have the recorded version."""


def _print_note(text: str) -> None:
    print(f"protoserve: {text}", file=sys.stderr)


def recorded_folder(
    project: Path, recorded: Mapping[str, Any], spare_cache: Path, note: Callable[[str], None] = _print_note
) -> Path:
    """The folder with the recorded version; it is fetched if the cache does not have it, into `spare_cache` if the
    cache cannot be written. `note` gets what a user may want to read meanwhile.

    Raises RecordedTemplateError, MissingVersionError if the template does not have that version.
    """
    if checkout := os.environ.get("PROTOSERVE_GENERATOR"):
        return Path(checkout).expanduser()
    source, commit = str(recorded.get("_src_path", "")), recorded.get("_commit")
    try:
        refuse_source(source, project, f"_src_path in {answers.FILE}")
    except ProtoserveError as error:
        raise RecordedTemplateError(str(error)) from None
    url = template_versions.url(project, source)
    if commit is None and Path(url).is_dir():  # the template is not in a git repository
        return Path(url)
    name = str(commit)
    if name.startswith("-"):
        raise RecordedTemplateError(f"{answers.FILE} records {name}, which is not a version: restore it from git")
    if taken := template_versions.recorded_hash(recorded, name):
        try:
            return _clone(url, taken, spare_cache, note)
        except MissingVersionError:
            note(f"the template no longer has commit {taken}, which {name} was: using what {name} is now")
    if Path(url).is_dir():  # a tag in a repository on this machine may move, so it is resolved every time
        name = _git(url, NOWHERE, *_in_repository(Path(url)), "rev-parse", f"{name}^0").decode().strip()
    return _clone(url, name, spare_cache, note)


def _in_repository(folder: Path) -> tuple[str, str]:
    """The option for a repository that the user has named: git does not look for bare ones itself."""
    return ("--git-dir", str(folder)) if (folder / "HEAD").is_file() else ("-C", str(folder))


def _clone(url: str, commit: str, spare_cache: Path, note: Callable[[str], None]) -> Path:
    """The folder of that commit in the cache. It appears there only when it is complete."""
    folder_name = hashlib.sha256(f"{url}\0{commit}".encode()).hexdigest()[:24]
    cache = _cache()
    if cache is not None and (cache / folder_name / _RUN).is_file():
        return cache / folder_name
    try:
        if cache is None:
            raise OSError
        return _fetch(url, commit, cache, folder_name, note)
    except OSError:  # there is no home folder, or it cannot be written
        return _fetch(url, commit, spare_cache, folder_name, note)


def _fetch(url: str, commit: str, cache: Path, name: str, note: Callable[[str], None]) -> Path:
    cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    note(f"fetching {commit} of {without_credentials(url)} into {cache}")
    if is_remote(url):
        _git(
            url, NOWHERE, "ls-remote", "--", url, "HEAD", seconds=SECONDS_TO_ANSWER
        )  # before the long wait for a clone
    with tempfile.TemporaryDirectory(prefix="unfinished-", dir=cache, ignore_cleanup_errors=True) as scratch:
        clone = Path(scratch) / "template"
        _git(url, NOWHERE, *_AS_COMMITTED, "clone", "--quiet", "--no-checkout", "--", url, str(clone))
        _git(url, clone, *_AS_COMMITTED, "checkout", "--quiet", "--detach", f"{commit}^0")
        if not (cache / name / _RUN).is_file():  # as long as no other process was faster
            shutil.rmtree(cache / name, ignore_errors=True)
            clone.rename(cache / name)
    return cache / name


def _cache() -> Path | None:
    """The folder of all clones of this user; None without a home folder."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "protoserve"
    except RuntimeError:
        return None


def _git(url: str, folder: Path, *arguments: str, seconds: float = _SECONDS) -> bytes:
    quiet = {} if sys.stdin is not None and sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    try:
        return git(folder, *arguments, env=quiet, seconds=seconds)
    except GitError as error:
        shown, reason = without_credentials(url), str(error)
        if _MISSING.search(reason):
            text = f"the template {shown} does not have the version in {answers.FILE}: {reason}"
            raise MissingVersionError(text) from None
        if "safe.directory" in reason:
            raise RecordedTemplateError(reason) from None
        moved = f"if it has moved, write its new place into {answers.FILE} (_src_path), and commit that"
        raise RecordedTemplateError(f"the template {shown} cannot be fetched: {reason}; {moved}") from None
