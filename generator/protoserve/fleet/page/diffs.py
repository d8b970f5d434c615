"""The diffs of a report: one text for each project, split into its files and cut to what a page can hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from protoserve.fleet.fair_share import fair_share
from protoserve.platform.credentials import without_credentials
from protoserve.platform.plain_text import one_line, visible

# https://www.gnu.org/software/diffutils/manual/html_node/Detailed-Unified.html
_HUNK = re.compile(r"@@ -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@")
_LONGEST_LINE = 1000  # characters


@dataclass(frozen=True, slots=True)
class Diff:
    """A file of a project against a fresh render of the template.

    `text` has the lines without those that name the file; `cut` more are not shown. `added` and `removed` count lines.
    """

    path: str
    text: str
    added: int
    removed: int
    cut: int


def bytes_in_page(text: str) -> int:
    """What a text takes in the page, whose JSON has escapes for some characters (see html.py)."""
    return len(text.encode("utf-8", "replace")) + 5 * sum(map(text.count, "<>&")) + sum(map(text.count, '"\\\t\n'))


def read_diffs(text: str, most: int) -> list[Diff]:
    """The files of a unified diff, cut so that together they take `most` bytes of the page; safe to show."""
    files = [(path, [*map(_line, lines)]) for path, lines in _files(text.split("\n"))]
    longest = fair_share((sum(map(bytes_in_page, lines)) for _, lines in files), most)
    return [_diff(path, lines, longest) for path, lines in files]


def _files(lines: Iterable[str]) -> Iterator[tuple[str, list[str]]]:
    """Each file's path and lines. What looks like the beginning of a file, but is within a hunk, is a line of it."""
    path, own = "", list[str]()
    old = new = 0  # how many lines of each side the hunk still has
    for line in lines:
        if (old > 0 or new > 0) and line.startswith((" ", "-", "+", "\\")):
            old -= line[0] in " -"
            new -= line[0] in " +"
            own.append(line)
            continue
        old = new = 0  # also where the hunk was cut
        if line.startswith("--- a/"):
            if own:
                yield path, own
            path, own = line.removeprefix("--- a/"), []
        elif line and not line.startswith("+++ "):
            if hunk := _HUNK.match(line):
                old, new = (int(count or 1) for count in hunk.groups())
            own.append(line)
    if own:
        yield path, own


def _diff(path: str, lines: Sequence[str], longest: int) -> Diff:
    shown, size = 0, 0
    while shown < len(lines) and (size := size + bytes_in_page(lines[shown])) <= longest:
        shown += 1
    return Diff(
        path=one_line(path),
        text="\n".join(lines[:shown]),
        added=sum(line.startswith("+") for line in lines),
        removed=sum(line.startswith("-") for line in lines),
        cut=len(lines) - shown,
    )


def _line(line: str) -> str:
    """The line with its tabs; whatever else is invisible is shown as an escape."""
    line = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]} …"
    if "://" in line:
        line = without_credentials(line)
    return line if line.isprintable() else "\t".join(map(visible, line.split("\t")))
