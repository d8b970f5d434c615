"""A file of a project, compared with what the template has."""

from __future__ import annotations

from pathlib import Path

from protoserve.platform.reading import TooLargeError, read_if_exists


def compared(project: Path, name: str, wanted: bytes) -> str:
    """Whether a file is "edited", "deleted" or "unchanged"; its line ends do not count. Raises OSError."""
    path = project / name
    try:
        content = read_if_exists(path, project)
    except TooLargeError:
        return "edited"
    if content is None:
        return "edited" if path.is_symlink() or path.exists() else "deleted"
    same = content.replace(b"\r\n", b"\n") == wanted.replace(b"\r\n", b"\n")
    return "unchanged" if same else "edited"
