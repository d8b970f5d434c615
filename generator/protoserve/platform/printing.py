"""Names in a message, and standard output, which may be a pipe without a reader or a file on a full disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Literal, TextIO

from protoserve.platform.plain_text import visible

LISTED = 5  # paths in one message
_SHOWN = 300  # characters of one name


class UnwritableError(OSError):
    """Standard output cannot be written; what is printed later is discarded."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.errno, error.strerror, "standard output")
        silence()


def write(text: str | bytes) -> None:
    """Prints the text as UTF-8, whatever the locale, with a line end if it has none.

    A reader that stopped reading (`| head`) is not an error. Raises UnwritableError.
    """
    if sys.stdout is None:
        return
    data = text.encode("utf-8", "backslashreplace") if isinstance(text, str) else text
    try:
        sys.stdout.flush()
        sys.stdout.buffer.write(data if data.endswith(b"\n") else data + b"\n")
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        silence()
    except OSError as error:
        raise UnwritableError(error) from None


def printable(text: str) -> str:
    """Text of others, such as a file's name, on one line: what cannot be seen is escaped, what is too long is cut.

    So it can neither forge a line nor move a terminal's cursor.
    """
    shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN // 2]}...{text[-_SHOWN // 2 :]}"
    return visible(shown).replace("\n", "\\n")


def listed(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return ", ".join(map(printable, names[:LISTED])) + more


def is_terminal(out: TextIO | None) -> bool:
    """Whether a stream is a terminal; Python has None for one that is closed (`>&-`)."""
    return out is not None and out.isatty()


def colour_system(out: TextIO | None) -> Literal["auto"] | None:
    """What rich may use on a stream: None, which is plain text, for a pipe or a file, NO_COLOR, or a dumb terminal."""
    return "auto" if is_terminal(out) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" else None


def silence() -> None:
    """Discards standard output from now on; otherwise Python would report an error when it exits."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
