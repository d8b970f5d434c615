"""How wide a text is on a terminal."""

from __future__ import annotations

import unicodedata


def display_width(text: str) -> int:
    """The columns that the text takes: two for a wide character, such as a Chinese one, none for a combining one."""
    return sum(_width(character) for character in text)


def excerpt(text: str, at: int, columns: int) -> tuple[str, int]:
    """The part of a line around the character `at` that fits into so many columns, and the column of `at` in it.

    `at` counts from 0. What is left out is marked by `...`; a tab is shown as a space.
    """
    text = text.replace("\t", " ")
    if display_width(text) <= columns:
        return text, display_width(text[:at])
    room = max(columns - 2 * len(_LEFT_OUT), 1)
    start, end = at, at
    while start > 0 and display_width(text[start - 1 : at]) <= room // 2:
        start -= 1
    while end < len(text) and display_width(text[start : end + 1]) <= room:
        end += 1
    before = _LEFT_OUT if start else ""
    after = _LEFT_OUT if end < len(text) else ""
    return f"{before}{text[start:end]}{after}", len(before) + display_width(text[start:at])


_LEFT_OUT = "..."


def _width(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
