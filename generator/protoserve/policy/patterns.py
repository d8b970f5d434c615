"""Patterns of a policy: regular expressions and globs, matched by RE2, whose time is linear in the text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

import re2

from protoserve.schema.limit_rules import PatternError as PatternError
from protoserve.schema.limit_rules import compiled

MAX_LENGTH = 1000  # of a pattern


def searched(pattern: str, text: str) -> bool:
    """Whether the pattern matches anywhere in the text. Raises PatternError."""
    return compiled(pattern).search(text) is not None


def whole(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern matches a whole text. Raises PatternError."""
    match = compiled(pattern).fullmatch
    return lambda text: match(text) is not None


def globs(patterns: Iterable[str]) -> Callable[[str], bool]:
    """Whether one of the globs matches a path below a project, written with slashes."""
    expressions = [_expression(pattern) for pattern in patterns]
    if not expressions:
        return lambda path: False
    return whole("|".join(f"(?:{expression})" for expression in expressions))


def fault_of_glob(pattern: str) -> tuple[str, str] | None:
    """What is wrong with a glob and what to do about it, None for one that can match a path of a project."""
    if not pattern or len(pattern) > MAX_LENGTH:
        return f"a glob must have 1 to {MAX_LENGTH} characters", "write one such as src/*/server/**"
    if pattern.startswith(("/", "./", "~")) or re.match("[A-Za-z]:", pattern):
        return "a glob must begin at the project's folder", "write it without / or ./ at the beginning"
    if "\\" in pattern:
        return "a glob must have slashes, not backslashes", "write /"
    parts = pattern.split("/")
    if ".." in parts or "." in parts:
        return "a glob must not have . or .. between slashes", "write the path below the project's folder"
    if any("**" in part and part != "**" for part in parts):
        return "** must stand alone between slashes", "write **/*.py, for example"
    if pattern.endswith("/"):
        return "a glob must match files, not a folder", f"write {pattern}**"
    try:
        globs([pattern])
    except PatternError:
        return f"{pattern!r} is not a glob", "close the brackets, such as [a-z]"
    return None


def _expression(pattern: str) -> str:
    """The glob as a regular expression: `*` and `?` stay between slashes, `**` stands for any folders."""
    parts = pattern.split("/")
    text = ""
    for number, part in enumerate(parts):
        is_last = number == len(parts) - 1
        if part == "**":
            text += ".+" if is_last else "(?:[^/]+/)*"
        else:
            text += _part(part) + ("" if is_last else "/")
    return f"(?s:{text})"


def _part(part: str) -> str:
    pieces = re.findall(r"\[[!^]?\]?[^\]]*\]|.", part, re.DOTALL)
    return "".join({"*": "[^/]*", "?": "[^/]"}.get(piece) or _literal(piece) for piece in pieces)


def _literal(piece: str) -> str:
    """A set of characters, as in [a-z], or one character."""
    if len(piece) == 1:
        return "[" if piece == "[" else re2.escape(piece)  # an open bracket without an end is refused
    negated = piece[1] in "!^"
    inner = piece[2:-1] if negated else piece[1:-1]
    safe = inner.replace("[", r"\[").replace("]", r"\]").replace("^", r"\^").replace("&", r"\&")
    return f"[^/{safe}]" if negated else f"[{safe}]"
