"""Standard output, of which the reader may have gone, and which may be a file on a disk that is full."""

from __future__ import annotations

import os
import sys


class UnwritableError(OSError):
    """Standard output cannot be written. What is printed after that goes nowhere."""

    def __init__(self, error: OSError) -> None:
        super().__init__(error.errno, error.strerror, "standard output")
        silence()


def write(text: str | bytes) -> None:
    """Prints it, and a line end where it has none, as UTF-8 whatever the locale.

    A reader that has gone (`| head`) is no error. Raises UnwritableError.
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


def silence() -> None:
    """From now on standard output goes nowhere: nobody takes it, and Python would say so when it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
