"""Python of others as a tree, within bounds of memory: a tree takes up to 2 kB for each word or sign of its text."""

from __future__ import annotations

import ast
import re

MAX_TOKENS = 600_000  # of all files of a project together
_MAX_TOKENS_OF_A_FILE = 200_000
_TOKEN = re.compile(rb"\w+|[^\w\s]")
# What a text raises that cannot be parsed.
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)


def tokens(source: bytes) -> int:
    """About how many words and signs a text has."""
    return sum(1 for _ in _TOKEN.finditer(source))


def parse(source: bytes, name: str = "<file>") -> ast.Module:
    """The tree of a file. Raises one of UNPARSABLE, also for a file that is too large to have been written by hand."""
    if tokens(source) > _MAX_TOKENS_OF_A_FILE:
        raise ValueError(f"it has more than {_MAX_TOKENS_OF_A_FILE} words and signs")
    return ast.parse(source, name)
