"""The page on situations has the table that the tests run."""

from __future__ import annotations

from support import ROOT
from update.situations import table


def test_the_page_has_the_table() -> None:
    page = (ROOT / "docs" / "update-situations.md").read_text(encoding="utf-8")
    lines = "".join(line for line in page.splitlines(keepends=True) if line.startswith("|"))
    assert lines == table(), f"paste this table:\n{table()}"
