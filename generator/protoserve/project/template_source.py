"""The template that `protoserve new` takes, and the questions that belong to this protoserve."""

from __future__ import annotations

import importlib.metadata
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import NOWHERE, GitError, find_repository, git, git_line, refuse_source
from protoserve.platform.git.sources import SECONDS_TO_ANSWER, is_remote
from protoserve.project.update import template_versions

_QUESTIONS = "copier.yml"
# The checkout that this file lies in, unless protoserve was installed as a package.
_CHECKOUT = Path(__file__).resolve().parents[3]


class OriginError(ProtoserveError):
    """The template cannot be located."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template for Copier: `source` is a path or URL, `ref` a git revision or None for the newest tag."""

    source: str
    ref: str | None


def chosen(source: str | None, ref: str | None) -> Template:
    """The template that the options --template and --ref name, else the one that belongs to this protoserve.

    `source` is a folder, a URL, or one of Copier's short forms. Raises OriginError, and GitError for a
    repository that git refuses to read.
    """
    if not source:
        own = template()
        return Template(own.source, ref or own.ref)
    refuse_source(source, Path(), "--template")
    if not re.match(r"[a-z+]{2,}:|[\w.-]+@", source) and not Path(os.path.expanduser(source)).is_dir():
        raise OriginError(f"{source} must be a folder, a URL, or a short form such as gh:owner/name")
    if is_remote(address := template_versions.url(Path(), source)):
        _refuse_silent(source, address)
    folder = Path(os.path.expanduser(source))
    if (folder / ".git").exists():
        find_repository(folder)  # Copier would take a repository that git does not trust for a folder without versions
    return Template(source, ref)


def _refuse_silent(source: str, address: str) -> None:
    """Raises OriginError if the server does not answer: Copier would wait for it without end."""
    quiet = {} if sys.stdin is not None and sys.stdin.isatty() else {"GIT_TERMINAL_PROMPT": "0"}
    try:
        git(NOWHERE, "ls-remote", "--", address, "HEAD", env=quiet, seconds=SECONDS_TO_ANSWER)
    except GitError as error:
        raise OriginError(f"the template {source} cannot be read: {error}") from None


def template() -> Template:
    """The template that belongs to this protoserve. Raises OriginError.

    It is the checkout that this file lies in, else what pip recorded when it installed protoserve
    (https://packaging.python.org/en/latest/specifications/direct-url/).
    """
    if (_CHECKOUT / _QUESTIONS).is_file():
        return Template(str(_CHECKOUT), "HEAD")
    try:
        recorded = importlib.metadata.distribution("protoserve").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        recorded = None
    if recorded is None:
        raise OriginError("pip did not record where this protoserve came from: name its template, --template URL")
    origin = json.loads(recorded)
    url = str(origin["url"])
    if "vcs_info" in origin:
        return Template(f"git+{url}", origin["vcs_info"].get("commit_id"))
    if urlsplit(url).scheme != "file":
        raise OriginError(f"protoserve was installed from {url}, which is not a git repository: use --template URL")
    folder = Path(url2pathname(unquote(urlsplit(url).path)))
    if not (folder / _QUESTIONS).is_file():
        raise OriginError(f"the template was in {folder}, which no longer has a {_QUESTIONS}: use --template URL")
    return Template(str(folder), "HEAD")


def commit() -> str | None:
    """The commit of the template that belongs to this protoserve, None if it is unknown."""
    try:
        own = template()
        return git_line(Path(own.source), "rev-parse", "HEAD") if own.ref == "HEAD" else own.ref
    except (OriginError, GitError):
        return None


def questions_file() -> Path:
    """The copier.yml that belongs to this protoserve: of the checkout, else the one installed with the package."""
    checkout = _CHECKOUT / _QUESTIONS
    if checkout.is_file():
        return checkout
    for file in importlib.metadata.files("protoserve") or ():
        if file.name == _QUESTIONS:
            return Path(str(file.locate()))
    raise OriginError(f"this installation of protoserve lacks {_QUESTIONS}: install it again")
