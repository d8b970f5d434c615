"""Where this protoserve was installed from: the template that `protoserve new` takes."""

from __future__ import annotations

import importlib.metadata
import json
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import GitError, git_line


class OriginError(ProtoserveError):
    """Nothing says where the template is; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template for Copier: `source` is a path or URL, `ref` a git revision or None for the newest tag."""

    source: str
    ref: str | None


def given(source: str, ref: str | None) -> Template:
    """The template that somebody names: a folder, a URL, or one of Copier's short forms; raises OriginError."""
    if not re.match(r"[a-z+]{2,}:|[\w.-]+@", source) and not Path(source).expanduser().is_dir():
        raise OriginError(f"{source} is no folder, no URL, and no short form such as gh:owner/name")
    return Template(source, ref)


def template() -> Template:
    """The template that belongs to this protoserve; raises OriginError.

    It is the checkout that this file lies in, else what pip recorded when it installed protoserve
    (https://packaging.python.org/en/latest/specifications/direct-url/).
    """
    checkout = Path(__file__).resolve().parents[3]
    if (checkout / "copier.yml").is_file():
        return Template(str(checkout), "HEAD")
    try:
        recorded = importlib.metadata.distribution("protoserve").read_text("direct_url.json")
    except importlib.metadata.PackageNotFoundError:
        recorded = None
    if recorded is None:
        raise OriginError("nothing records where this protoserve came from: say where its template is, --template URL")
    said = json.loads(recorded)
    url = str(said["url"])
    if "vcs_info" in said:
        return Template(f"git+{url}", said["vcs_info"].get("commit_id"))
    if urlsplit(url).scheme != "file":
        raise OriginError(f"protoserve was installed from {url}, which is no git repository: use --template URL")
    folder = Path(url2pathname(unquote(urlsplit(url).path)))
    if not (folder / "copier.yml").is_file():
        raise OriginError(f"the template was in {folder}, which has no copier.yml any more: use --template URL")
    return Template(str(folder), "HEAD")


def commit() -> str | None:
    """The commit of the template that belongs to this protoserve, None where nothing says it."""
    try:
        found = template()
        return git_line(Path(found.source), "rev-parse", "HEAD") if found.ref == "HEAD" else found.ref
    except (OriginError, GitError):
        return None
