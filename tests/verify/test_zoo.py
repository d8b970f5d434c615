"""The whole zoo in one table: exactly the right check fails, and it says the right cause."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from zoo import Row
from zoo.process import found, running, verify
from zoo.proto import PROTO
from zoo.tables import ROWS


def cases() -> Iterator[Any]:
    for row in ROWS:
        for source in ("reflection", "proto") if row.reflects else ("proto",):
            yield pytest.param(row, source, id=f"{row.name}-{source}")


@pytest.mark.parametrize(("row", "source"), list(cases()))
def test_exactly_the_right_check_fails(row: Row, source: str) -> None:
    contract = ("--proto", str(PROTO)) if source == "proto" else ()
    with running(row.name) as port:
        code, report = verify(f"127.0.0.1:{port}", *contract, *row.options)
    fails, told = found(report, "fail"), report["checks"]
    assert list(fails) == ([row.fails] if row.fails else []), told
    assert code == (1 if row.fails else 0)
    for words in row.words:
        assert words.lower() in fails[str(row.fails)].lower(), told
    assert found(report, "warn").keys() <= row.warns, told
    assert report["seconds"] < 62
