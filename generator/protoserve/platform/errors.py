"""The root of all errors that protoserve raises for its users, and the one place that reports them."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable

from protoserve.platform.credentials import without_credentials
from protoserve.platform.plain_text import one_line, visible


class ProtoserveError(Exception):
    """An error whose text is for the user: what is wrong, where it is, and what to do about it."""

    def report(self) -> str:
        """The text for standard error, without the credentials of URLs and with nothing that a terminal obeys."""
        return f"protoserve: {visible(without_credentials(str(self)))}"


def exit_code(command: Callable[[], int], failure: int = 1) -> int:
    """The exit code of a command, which is `failure` if it raises an error for the user; that is printed.

    Commands write all of their files or none, so an interrupt and an error of the file system leave nothing behind.
    """
    try:
        return command()
    except ProtoserveError as error:
        print(error.report(), file=sys.stderr)
    except OSError as error:
        place = f"{one_line(str(error.filename))}: " if error.filename else ""
        print(f"protoserve: {place}{os_reason(error)}; nothing was changed", file=sys.stderr)
    except KeyboardInterrupt:
        print("protoserve: interrupted; nothing was changed", file=sys.stderr)
    return failure


def os_reason(error: OSError) -> str:
    """What the system says of an error, in one line.

    It may stand for several errors of copying a folder, or, from plumbum, for a command that failed.
    """
    if isinstance(error, shutil.Error) and isinstance(error.args[0], list):
        return str(error.args[0][0][-1])
    printed = str(getattr(error, "stderr", "")).strip().splitlines()
    if printed:
        return printed[-1].removeprefix("fatal: ")
    return error.strerror or " ".join(str(error).split())
