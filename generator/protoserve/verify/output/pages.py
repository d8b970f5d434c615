"""Where the page of a check is: in the checkout that this protoserve runs from, or in the repository it came from."""

from __future__ import annotations

import functools
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from protoserve.project import template_source


def page(check: str) -> str:
    """For people: a path that exists, a URL, or at least the page's name."""
    path = f"docs/checks/{check}.md"
    source, ref = _source()
    if source.startswith("https://"):
        return f"{source}/blob/{ref}/{path}"
    if source and (found := Path(source, path)).is_file():
        return str(found.relative_to(Path.cwd()) if found.is_relative_to(Path.cwd()) else found)
    return f"{path} in the repository of protoserve"


@functools.cache
def _source() -> tuple[str, str]:
    """A folder, or the URL of a repository as a browser takes it, and its revision; empty where nothing is known."""
    try:
        template = template_source.template()
    except template_source.OriginError:
        return "", ""
    if not template.source.startswith("git+https://"):
        return template.source, ""
    split = urlsplit(template.source.removeprefix("git+"))
    bare = split._replace(netloc=split.netloc.rpartition("@")[2], path=split.path.rstrip("/").removesuffix(".git"))
    return urlunsplit(bare), template.ref or "HEAD"
