"""The root of all errors that protoserve raises for its users."""

from __future__ import annotations


class ProtoserveError(Exception):
    """An error whose text is for the user: what is wrong, where it is, and what to do about it.

    The command line prints the text and exits with `exit_code`; it never shows a traceback for one.
    """

    exit_code = 1
