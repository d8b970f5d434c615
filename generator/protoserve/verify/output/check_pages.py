"""Where the page of a check is: in the checkout that protoserve runs from, or in the repository that it came from."""

from __future__ import annotations

import functools
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from protoserve.project import template_source


def page(check: str) -> str:
    """A path that exists, a URL, or at least the page's name."""
    path = f"docs/checks/{check}.md"
    source, ref = _source()
    if source.startswith("https://"):
        return f"{source}/blob/{ref}/{path}"
    if source and (file := Path(source, path)).is_file():
        return str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file)
    return f"{path} in the repository of protoserve"


@functools.cache
def _source() -> tuple[str, str]:
    """A folder, or the URL of a repository for a browser and its revision; empty if neither is known."""
    try:
        template = template_source.template()
    except template_source.OriginError:
        return "", ""
    if not template.source.startswith("git+https://"):
        return template.source, ""
    split = urlsplit(template.source.removeprefix("git+"))
    bare = split._replace(netloc=split.netloc.rpartition("@")[2], path=split.path.rstrip("/").removesuffix(".git"))
    return urlunsplit(bare), template.ref or "HEAD"
