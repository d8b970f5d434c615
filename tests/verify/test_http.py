"""The HTTP side in one table, as tests/verify/test_zoo.py has it for gRPC; and what only the command line shows."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from protoserve import cli
from zoo import Row, tables
from zoo.http import LISTS, ROWS
from zoo.process import checks_with, free_port, running, verify, verify_here
from zoo.proto import PROTO

__all__ = ["tables"]  # which brings in every server
CHECKS = ["http-health", "http-predict"]
Judged = tuple[int, dict[str, Any]]  # the exit code and the report


@pytest.fixture(scope="module")
def reports(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Judged]]]:
    """What `verify` says of the server of each row. It waits more than it computes: several are judged at a time."""
    lists = tmp_path_factory.mktemp("http") / "lists.json"  # an instance for --instance
    lists.write_text(LISTS, encoding="utf-8")
    chosen = {item.name for item in request.session.items}
    with ThreadPoolExecutor(max_workers=6) as pool:
        yield {
            row.name: pool.submit(judge, row, lists)
            for row in ROWS
            if f"{test_exactly_the_right_check_fails.__name__}[{row.name}]" in chosen
        }


def judge(row: Row, lists: Path) -> Judged:
    options = [str(lists) if option == "lists" else option for option in row.options]
    with running(row.name) as port:
        http = ("--http", f"127.0.0.1:{port}", "--platform", "vertex")
        return verify_here(*http, "--proto", str(PROTO), *options)


@pytest.mark.parametrize(
    "row",
    [pytest.param(row, id=row.name, marks=pytest.mark.slow if row.name == "http-busy" else []) for row in ROWS],
)
def test_exactly_the_right_check_fails(row: Row, reports: dict[str, Future[Judged]]) -> None:
    code, report = reports[row.name].result()
    fails, checks = checks_with(report, "fail"), report["checks"]
    assert list(fails) == ([row.fails] if row.fails else []), checks
    assert code == (1 if row.fails else 3 if row.asks else 0)
    assert row.asks in report["unjudged"]
    for words in row.words:
        assert words.lower() in " ".join((fails or checks_with(report, "warn")).values()).lower(), checks
    assert checks_with(report, "warn").keys() == row.warns, checks
    # What is about gRPC is no fault where the platform needs none.
    assert "speaks HTTP only" in checks_with(report, "skip")["reachable"]
    assert report["requests"] < 450
    assert report["seconds"] < 45


def test_a_healthy_server_is_judged_quickly() -> None:
    with running("http-healthy") as port:
        _, report = verify("--http", f"127.0.0.1:{port}", "--platform", "vertex", "--proto", str(PROTO))
    assert list(checks_with(report, "pass")) == CHECKS
    assert sum(check["seconds"] for check in report["checks"]) < 2


def test_nothing_listens_there() -> None:
    """As with a server that is bound to another port."""
    with running("http-healthy"):
        where = ("--http", f"127.0.0.1:{free_port()}", "--platform", "vertex", "--timeout", "1")
        code, report = verify(*where, "--proto", str(PROTO))
    assert code == 1
    assert list(checks_with(report, "fail")) == ["http-health"]
    assert "nothing listens" in checks_with(report, "fail")["http-health"]
    assert checks_with(report, "skip")["http-predict"].startswith("http-health failed")


def test_beside_grpc_both_are_judged() -> None:
    with running("sync") as port, running("http-healthy") as http:
        code, report = verify(f"127.0.0.1:{port}", "--http", f"127.0.0.1:{http}")
    assert code == 0, report
    assert {"reachable", "serialization", *CHECKS} <= checks_with(report, "pass").keys()


def test_the_gap_where_no_http_is_named() -> None:
    with running("sync") as port:
        _, report = verify(f"127.0.0.1:{port}", "--platform", "vertex")
        _, generic = verify(f"127.0.0.1:{port}")
    assert all("--http HOST:PORT" in checks_with(report, "skip")[check] for check in CHECKS)
    assert not set(CHECKS) & {check["id"] for check in generic["checks"]}


def test_routes_of_the_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    with running("http-health-elsewhere") as port:
        monkeypatch.setenv("AIP_HEALTH_ROUTE", "/healthz")
        code, report = verify("--http", f"127.0.0.1:{port}", "--platform", "vertex", "--proto", str(PROTO))
    assert code == 0
    assert "GET /healthz: 200" in checks_with(report, "pass")["http-health"]


def test_without_anything_to_send_health_is_still_judged() -> None:
    with running("http-healthy") as port:
        code, report = verify("--http", f"127.0.0.1:{port}", "--platform", "vertex")
    assert (code, report["verdict"]) == (3, "unjudged")
    assert "--instance FILE.json" in report["unjudged"]
    assert "http-health" in checks_with(report, "pass")
    assert "--instance FILE.json" in checks_with(report, "skip")["http-predict"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--http", "nowhere"), "must be HOST:PORT"),
        (("--http", "https://127.0.0.1:8443"), "plain HTTP"),
        (("--http", "127.0.0.1:1", "--instance", "none.json"), "cannot be read"),
        (("--image", "x", "--http", "127.0.0.1:1"), "target of its own"),
        (("--image", "x", "--docker", "/no/docker"), "--docker"),
    ],
)
def test_what_cannot_be_run(arguments: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["verify", *arguments]) == 2
    assert words in capsys.readouterr().err


def test_an_instance_that_is_no_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "instance.json"
    file.write_text("{", encoding="utf-8")
    assert cli.main(["verify", "--http", "127.0.0.1:1", "--instance", str(file)]) == 2
    assert f"{file}: not valid JSON" in capsys.readouterr().err
    file.write_text('[{"age": NaN}]', encoding="utf-8")
    assert cli.main(["verify", "--http", "127.0.0.1:1", "--instance", str(file)]) == 2
    assert "[0].age is NaN" in capsys.readouterr().err
    file.write_text("[" * 100_000, encoding="utf-8")
    assert cli.main(["verify", "--http", "127.0.0.1:1", "--instance", str(file)]) == 2
    assert "nested too deep" in capsys.readouterr().err
