"""An exception as text for the log, bounded in every direction, whatever the exception's own code does.

An exception can come with a text of 50 MB, with ten thousand others as its causes, and with methods that raise. All of
this runs where the exception was caught, in the model's thread for the model's: its own code may also take long.
"""

import traceback
from collections.abc import Callable, Iterator
from reprlib import Repr
from types import FrameType, TracebackType
from typing import TypeVar

from .texts import cut, escaped, escaped_lines, without_middle

MAX_CHAINED = 5  # exceptions that led to one another
MAX_MEMBERS = 3  # exceptions of a group
MAX_ARGUMENTS = 10
MAX_DEPTH = 2  # groups in groups
MAX_NOTES = 5
FIRST_FRAMES, LAST_FRAMES = 5, 15
LINE_BYTES = 512  # of a line of code, and of a note
TEXT_BYTES = 2048  # of what an exception says
TRACEBACK_SIZE = 8192
LONGEST_ESCAPE = 10  # bytes, `\\U000e0001`
CAUSE = "\nThe above exception was the direct cause of the following exception:\n\n"
CONTEXT = "\nDuring handling of the above exception, another exception occurred:\n\n"

T = TypeVar("T")

_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = TEXT_BYTES
_short.maxlist = _short.maxtuple = _short.maxdict = _short.maxset = _short.maxfrozenset = 100


def safely(call: Callable[[], T], default: T) -> T:
    """What `call` returns; `default` if it raises, as the code of an exception may, even SystemExit."""
    try:
        return call()
    except BaseException:
        return default


def described(error: BaseException) -> str:
    """An exception on one line, as Python's `repr` has it."""
    name = type(error).__name__
    if type(error).__repr__ is BaseException.__repr__:  # of a text of 50 MB, that would be 50 MB more
        text = safely(lambda: f"{name}({', '.join(map(_short.repr, error.args[:MAX_ARGUMENTS]))})", name)
    else:
        text = safely(lambda: _exact(repr(error)), name)
    return escaped(text, TEXT_BYTES)


def text_of(error: BaseException) -> str:
    """What an exception says; empty where its own code fails at saying it."""
    return cut(safely(lambda: _exact(str(error)), ""), TEXT_BYTES)


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception and of those that led to it, the latest last, as Python prints it."""
    text = safely(lambda: "".join(_chained(error)), f"{type(error).__name__}, whose traceback cannot be shown")
    return without_middle(escaped_lines(text.rstrip("\n"), LONGEST_ESCAPE * len(text)), TRACEBACK_SIZE)


def _exact(text: str) -> str:
    """The beginning of a text that may be of a class of its own, as a plain one."""
    return str.__getitem__(text, slice(TEXT_BYTES + 1))


def _chained(error: BaseException) -> list[str]:
    blocks: list[str] = []
    current: BaseException | None = error
    relation = ""
    while current is not None:
        if len(blocks) == MAX_CHAINED:
            blocks.append(f"(more exceptions led to this){relation}")
            break
        blocks.append("".join(_block(current)) + relation)
        current, relation = _leading_to(current)
    return blocks[::-1]


def _leading_to(error: BaseException) -> tuple[BaseException | None, str]:
    """The exception that led to this one, and how."""
    if error.__cause__ is not None:
        return error.__cause__, CAUSE
    return None if error.__suppress_context__ else error.__context__, CONTEXT


def _block(error: BaseException, depth: int = 0) -> Iterator[str]:
    """One exception: where it was raised, what it says, and its notes; of a group, its first members before that."""
    if isinstance(error, BaseExceptionGroup):
        for member in error.exceptions[: MAX_MEMBERS if depth < MAX_DEPTH else 0]:
            yield from _block(member, depth + 1)
        yield f"\nThe above is of {len(error.exceptions):,} exceptions in the following group:\n\n"
    if error.__traceback__ is not None:
        yield "Traceback (most recent call last):\n"
        yield from _frames(error.__traceback__)
    if isinstance(error, SyntaxError):
        yield from safely(lambda: _place_of_syntax_error(error), list[str]())
    kind = type(error)
    module = "" if kind.__module__ in ("builtins", "__main__") else f"{kind.__module__}."
    name, text = cut(f"{module}{kind.__qualname__}", LINE_BYTES), text_of(error)
    yield f"{name}: {text}\n" if text else f"{name}\n"
    for note in safely(lambda: list(error.__notes__)[:MAX_NOTES], list[str]()):
        yield cut(safely(lambda note=note: _exact(str(note)), ""), LINE_BYTES) + "\n"  # type: ignore[misc]


def _place_of_syntax_error(error: SyntaxError) -> list[str]:
    code = cut((error.text or "").strip(), LINE_BYTES)
    return [f'  File "{cut(str(error.filename), LINE_BYTES)}", line {error.lineno}\n', f"    {code}\n"]


def _frames(trace: TracebackType) -> Iterator[str]:
    """The outermost and the innermost calls."""
    places = list(_places(trace))
    left_out = len(places) - FIRST_FRAMES - LAST_FRAMES
    if left_out <= 0:
        yield from _lines(places)
        return
    yield from _lines(places[:FIRST_FRAMES])
    yield f"  [{left_out:,} more calls]\n"
    yield from _lines(places[-LAST_FRAMES:])


def _places(trace: TracebackType | None) -> Iterator[tuple[FrameType, int]]:
    while trace is not None:
        yield trace.tb_frame, trace.tb_lineno
        trace = trace.tb_next


def _lines(places: list[tuple[FrameType, int]]) -> list[str]:
    return [cut(line.rstrip("\n"), LINE_BYTES) + "\n" for line in traceback.StackSummary.extract(iter(places)).format()]
