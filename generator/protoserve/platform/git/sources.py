"""Which sources of a template git is asked to fetch.

Git runs a program for a source such as `ext::COMMAND`, waits for a descriptor for `fd::17`, and takes what begins with
a dash for an option of itself or of ssh. So a source must have one of the forms that Copier documents
(https://copier.readthedocs.io/en/stable/generating/): a folder, a URL of https, ssh or file, `user@host:path`, any of
these after `git+`, or a short form. Not http and git, where somebody on the way could put a program into the template.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.printing import printable

SHORT_FORMS = {"gh:": "https://github.com/", "gl:": "https://gitlab.com/"}
SECONDS_TO_ANSWER = 60.0  # for a server to list its versions; somebody may have to type a password
_MAX_CHARACTERS = 4096
_FORMS = "a folder, a URL of https, ssh or file, git@HOST:PATH, or a short form such as gh:OWNER/NAME"
_SHORT = re.compile(r"(?:gh|gl):/*[\w.~-]+(?:/[\w.~-]+)+/*")
# A user or host that begins with a dash would be an option of ssh.
_USER = r"(?:[^\s@/-][^\s/]*@)?"
_HTTPS = re.compile(rf"https://{_USER}[^\s@/-][^\s@/]*/\S*", re.IGNORECASE)
_SSH = re.compile(rf"ssh://{_USER}(?:\[[0-9a-f:.]+\]|\w[\w.-]*)(?::\d+)?/(?!-).*", re.IGNORECASE)
_SCP = re.compile(r"\w[\w.-]*@(?:\[[0-9a-f:.]+\]|\w[\w.-]*):(?![-:]).+", re.IGNORECASE)
_FILE = re.compile(r"file://(?:localhost)?(/.*)", re.IGNORECASE)
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")


class SourceError(ProtoserveError):
    """A text cannot be the source of a template."""


def refuse_source(source: str, folder: Path, where: str) -> None:
    """Raises SourceError unless the source has an accepted form; a path counts from `folder`.

    `where` says in the error where the text stands, such as "_src_path in .copier-answers.yml". Nothing is run.
    """
    reason = _refusal(source, folder)
    if reason is not None:
        shown = printable(without_credentials(source))
        raise SourceError(f"{where} must be {_FORMS}, not {shown!r}{reason}")


def is_remote(url: str) -> bool:
    """Whether git asks a server for this source, one that `refuse_source` accepts and that is not a short form."""
    address = url.removeprefix("git+")
    return any(form.fullmatch(address) for form in (_HTTPS, _SSH, _SCP))


def is_url(source: str) -> bool:
    """Whether a source that `refuse_source` accepts is a URL, git@HOST:PATH or a short form, and not a path."""
    return is_remote(source) or bool(_SHORT.fullmatch(source) or _FILE.fullmatch(source.removeprefix("git+")))


def address(source: str) -> str:
    """What git is asked for such a URL; a path stays as it is."""
    if source[:3] in SHORT_FORMS:
        return SHORT_FORMS[source[:3]] + source[3:].lstrip("/").removesuffix(".git") + ".git"
    return source.removeprefix("git+")


def _refusal(source: str, folder: Path) -> str | None:
    """Why a source is refused, as the end of a sentence; None if it is not."""
    if not source or len(source) > _MAX_CHARACTERS or not source.isprintable():
        return ""
    address = source.removeprefix("git+")
    if _SHORT.fullmatch(source) or any(form.fullmatch(address) for form in (_HTTPS, _SSH, _SCP)):
        return None
    if file := _FILE.fullmatch(address):
        return _refusal_of_path(Path(file[1]))
    is_path = not address.startswith("-") and (":" not in address.split("/")[0] or _is_drive(address))
    return _refusal_of_path(folder / os.path.expanduser(address)) if is_path else ""


def _is_drive(source: str) -> bool:
    return os.name == "nt" and _DRIVE.match(source) is not None


def _refusal_of_path(path: Path) -> str | None:
    """Git would wait for a named pipe, and read a device without end; what does not exist it reports."""
    try:
        is_other = path.exists() and not path.is_dir() and not path.is_file()
    except (OSError, ValueError):
        return ": the path cannot exist"
    return ": it is a pipe or a device" if is_other else None
