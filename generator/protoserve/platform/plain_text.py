"""Texts that others wrote, without the characters that act where a text is only to be read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

# What no comment, docstring or message needs and some reader obeys: control characters except tabs and line feeds,
# halves of surrogate pairs, byte-order marks, and what shows a text in another order than it has
# (https://trojansource.codes). They are listed, since versions of Python differ in what they call printable.
_ACTIVE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufffe\uffff]")


def plain(text: str) -> str:
    """The text without such characters; a line feed stands for every form of a line's end."""
    return "\n".join(_ACTIVE.sub("", line) for line in text.splitlines())


def _unicode_escape(character: str) -> str:
    return f"\\u{ord(character):04x}"


def escaped(text: str, escape: Callable[[str], str] = _unicode_escape) -> str:
    """The text with an escape for each such character, by default that of Python, JSON and YAML: `\\u202e`."""
    return _ACTIVE.sub(lambda match: escape(match[0]), text)


def in_json(value: object, indent: int | None = None) -> str:
    """The value as JSON in the letters that it has, with escapes for such characters. YAML and TOML read it, too."""
    return escaped(json.dumps(value, ensure_ascii=False, indent=indent))


def visible(text: str) -> str:
    """The text for a terminal: every invisible character except line feeds is an escape, such as `\\x1b`."""
    return "".join(c if c == "\n" or c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def one_line(text: str) -> str:
    """The same on one line."""
    return " ".join(visible(text).split())


def markdown(text: str) -> str:
    """The same in Markdown, in a table too; of all markup only backticks still show code."""
    return re.sub(r"[|*_<>\[\]\\@&]", lambda match: f"&#{ord(match[0])};", one_line(text))
