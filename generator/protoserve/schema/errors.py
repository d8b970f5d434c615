"""What is wrong with a schema, and where: every problem of a file at once, each with what to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.plain_text import one_line, visible
from protoserve.platform.text_width import excerpt

# More are not read by anybody, and each may cost a search for what was meant.
MAX_PROBLEMS = 200
_INDENT = "    "


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong. `line` and `column` count from 1; `path` is the way of keys, empty for the file as a whole.

    `file` is the file's name where it is another one than that of the error.
    """

    line: int
    column: int
    path: str
    message: str
    remedy: str
    file: str = ""


class SchemaError(ProtoserveError):
    """A schema that cannot be used. `problems` are the first MAX_PROBLEMS, sorted by place.

    `source` is a text of one line (a signature) to which the columns point; what is around them is shown with a caret.
    """

    def __init__(self, file: str, problems: Iterable[Problem], *, source: str | None = None) -> None:
        self.file = file
        in_order = sorted(set(problems), key=lambda item: (item.file not in ("", file), item.file, item))
        self.problems = tuple(in_order[:MAX_PROBLEMS])
        self.source = source
        super().__init__("\n".join(self.lines()))

    def report(self) -> str:
        """The text as it is: each line begins with its place, as editors and CI know it."""
        return str(self)

    def lines(self, columns: int = 80) -> Iterable[str]:
        """The text in lines; of a long signature only what fits into so many columns of a terminal is shown."""
        for problem in self.problems:
            path = f"{problem.path}: " if problem.path else ""
            place = f"{problem.file or self.file}:{problem.line}:{problem.column}"
            yield one_line(f"{place}: {path}{problem.message}; {problem.remedy}")
            if self.source is not None:
                line, column = excerpt(self.source, problem.column - 1, columns - len(_INDENT))
                yield f"{_INDENT}{visible(line)}"
                yield f"{_INDENT}{' ' * column}^"
