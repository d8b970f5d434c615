"""What is wrong with a schema, and where: every problem of a file at once, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protoserve.platform.errors import ProtoserveError

_EXCERPT = 68  # with dots on both sides and the indent, below 80 columns


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong. `line` and `column` count from 1; `path` is the way of keys, empty for the file as a whole."""

    line: int
    column: int
    path: str
    message: str
    remedy: str


class SchemaError(ProtoserveError):
    """A schema that cannot be used. `problems` are sorted by place.

    `source` is a text of one line (a signature) to which the columns point; what is around them is shown with a caret.
    """

    def __init__(self, file: str, problems: Iterable[Problem], *, source: str | None = None) -> None:
        self.file = file
        self.problems = tuple(sorted(set(problems)))
        self.source = source
        super().__init__("\n".join(self._lines()))

    def report(self) -> str:
        """The text as it is: each line begins with its place, as editors and CI know it."""
        return str(self)

    def _lines(self) -> Iterable[str]:
        for problem in self.problems:
            path = f"{problem.path}: " if problem.path else ""
            yield f"{self.file}:{problem.line}:{problem.column}: {path}{problem.message}; {problem.remedy}"
            if self.source is not None:
                excerpt, column = _excerpt(self.source, problem.column - 1)
                yield f"    {excerpt}"
                yield f"    {' ' * column}^"


def _excerpt(line: str, column: int) -> tuple[str, int]:
    """The part of a line around a column, counted from 0, that a terminal shows on one line; and its column there."""
    line = line.replace("\t", " ")
    start = 0 if len(line) <= _EXCERPT else max(0, min(column - _EXCERPT // 2, len(line) - _EXCERPT))
    end = start + _EXCERPT
    before, after = "..." if start else "", "..." if end < len(line) else ""
    return f"{before}{line[start:end]}{after}", column - start + len(before)
