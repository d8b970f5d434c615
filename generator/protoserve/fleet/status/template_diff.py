"""The diff from the files of a template to those of a project, within bounds."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from protoserve.fleet.fair_share import fair_share
from protoserve.platform.reading import read_if_exists

_MOST_TOGETHER = 60_000  # characters of the diffs of all files
_MOST_OF_A_FILE = 200_000  # bytes of a file whose diff is shown
_MOST_LINES = 3_000


def template_diff(project: Path, rendered: Path, names: Sequence[str]) -> str:
    """A unified diff of these files of a fresh render, which the project has edited or deleted.

    Diffs of small files are whole; large ones share what is left of the bound, and say in parentheses what is missing.
    """
    diffs = [_of_file(project, rendered, name) for name in names]
    longest = fair_share(map(len, diffs), _MOST_TOGETHER)
    return "".join(diff if len(diff) <= longest else _cut(diff, longest) for diff in diffs)


def _cut(diff: str, longest: int) -> str:
    """The lines of a diff that are not longer together, and how many more it has."""
    end = diff.rfind("\n", 0, longest) + 1
    return f"{diff[:end]}({diff.count(chr(10), end)} more lines)\n" if end else ""


def _of_file(project: Path, rendered: Path, name: str) -> str:
    old = (rendered / name).read_bytes()
    new, reason = _content(project, project / name)
    after = "/dev/null" if new is None and not reason else f"b/{name}"
    was, is_now = _lines(old), _lines(new or b"")
    if b"\0" in old + (new or b""):
        reason = "the file is not text"
    elif max(len(was), len(is_now)) > _MOST_LINES:
        reason = f"the file has more than {_MOST_LINES} lines"
    if reason:
        return f"--- a/{name}\n+++ {after}\n(not shown: {reason})\n"
    return "".join(map(_ended, difflib.unified_diff(was, is_now, f"a/{name}", after)))


def _content(project: Path, path: Path) -> tuple[bytes | None, str]:
    """The content of a project's file, None if there is none; and why it is not shown, "" if it can be."""
    try:
        content = read_if_exists(path, project, _MOST_OF_A_FILE)
    except OSError:
        return None, "it is too large, or cannot be read"
    return content, "it is a link that leads to no file of the project" if content is None and path.is_symlink() else ""


def _lines(content: bytes) -> list[str]:
    """The lines with their ends; of the characters that end a line, only a line feed does so in a diff."""
    return list(StringIO(content.replace(b"\r\n", b"\n").decode(errors="replace")))


def _ended(line: str) -> str:
    return line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"
