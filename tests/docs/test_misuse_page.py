"""The page on misuse says what the test of misuse sees: the same rows, in the same words."""

from __future__ import annotations

import re

from server.test_misuse import MISUSES
from support import ROOT


def plain(cell: str) -> str:
    """A cell, or a text of the test, without the marks that make it code."""
    return re.sub(r"`` (.*?) ``", r"\1", cell).replace("`", "").replace("<br>", "\n").strip()


def test_the_rows_are_those_of_the_test() -> None:
    page = (ROOT / "docs" / "misuse.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split(" | ") for line in page.splitlines() if line.startswith("| ")]
    rows = [row for row in rows if row[0].strip() != "misuse"]
    assert {len(row) for row in rows} == {4}
    assert all(advice.strip() for *_, advice in rows)
    assert [tuple(map(plain, row[:3])) for row in rows] == [
        tuple(map(plain, (misuse.title, misuse.client, misuse.log))) for misuse in MISUSES
    ]
