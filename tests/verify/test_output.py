"""The forms of a report: each says all that was found, and nothing that a server said becomes markup or a command."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from junitparser import JUnitXml
from markdown_it import MarkdownIt

from protoserve.project import template_source
from protoserve.verify.checks.check import Check
from protoserve.verify.options import FORMATS as NAMES
from protoserve.verify.output import FORMATS, check_pages
from protoserve.verify.output.escaping import blocks
from protoserve.verify.report import Finding, Outcome, Report, Verdict, failed, passed, skipped, unjudged, warned


def never(*_: Any) -> Finding:
    raise AssertionError


CHECKS = tuple(Check(f"check-{n}", f"question {n}", never) for n in range(5))
# A server's words: they clear a terminal, turn it red, reverse its text, end XML, fences, cells, mention people, ...
HOSTILE = (
    "\x1b[2J\x1b]0;title\x07\x9b31m \u202edesrever\u2066 [bold]x[/bold] </system-out>]]> &amp; "
    "<script>alert(1)</script> "
    "````\nfence | cell \\| @somebody #1 [link](http://evil.example) ![i](x) www.evil.example `code` *a* _b_ "
    "\r\npass  check-0  0.00 s  all is well\x00\ud800\ufffe {0}\n# Heading\n- list\n---\n"
)
CODE = "    def Predict(self, request, context):\n        return [1,  2]   # two  blanks"
REMEDY = f"Return the message that the\n.proto declares:\n{CODE}\nand start it again."


def report(*findings: Finding, stopped: str = "", target: str = "127.0.0.1:50051", decisive: bool = False) -> Report:
    outcomes = tuple(Outcome(check.id, f, 0.25, decisive) for check, f in zip(CHECKS, findings, strict=False))
    return Report(target, "generic", outcomes, 24, 1.5, stopped)


EVERY = report(
    passed("all is well"),
    failed("status INTERNAL", "The reply is a list.", REMEDY),
    skipped("check-1 failed"),
    warned("0 bytes", "Nothing was set.", "Set it."),
)
HOSTILE_REPORT = report(
    passed(HOSTILE),
    failed(HOSTILE, HOSTILE, HOSTILE),
    skipped(HOSTILE),
    warned(HOSTILE, HOSTILE, HOSTILE),
    target=HOSTILE,
)


@pytest.fixture
def printed(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """What a format prints, at 80 columns."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def show(format: str, given: Report) -> str:
        FORMATS[format](given, CHECKS)
        out, err = capsysbinary.readouterr()
        assert err == b""
        return out.decode("utf-8")

    return show


def test_every_name_has_its_form() -> None:
    assert tuple(FORMATS) == NAMES


@pytest.mark.parametrize("format", NAMES)
def test_what_a_server_says_stays_text(printed: Callable[..., str], format: str) -> None:
    out = printed(format, HOSTILE_REPORT)
    assert "evil" in out
    assert [character for character in out if character != "\n" and not character.isprintable()] == []


@pytest.mark.parametrize(
    ("given", "verdict", "words"),
    [
        (report(passed("a")), "pass", "1 passed"),
        (report(passed("a"), skipped("b")), "pass", "1 passed, 1 skipped"),
        (report(passed("a"), warned("b", "c", "d")), "warn", "1 warned, 1 passed"),
        (EVERY, "fail", "1 failed, 1 warned, 1 passed, 1 skipped"),
        (report(passed("a"), stopped="interrupted"), "skip", "1 passed"),
        (report(failed("a", "b", "c"), stopped="interrupted"), "fail", "1 failed"),
        (report(stopped="interrupted"), "skip", "no check ended"),
    ],
)
def test_the_verdict_of_the_whole(printed: Callable[..., str], given: Report, verdict: str, words: str) -> None:
    assert json.loads(printed("json", given))["verdict"] == verdict
    last = " ".join(printed("terminal", given).rpartition("\n\n")[2].split())
    shown = "interrupted" if verdict == "skip" else verdict
    assert last.endswith(f"{shown}: {words} in 1.5 s, with 24 requests sent to 127.0.0.1:50051")
    heading, _, counted, *_ = printed("markdown", given).splitlines()
    assert heading.endswith(" interrupted" if given.stopped else f" {verdict}")
    assert words in counted


def test_requests_are_counted_where_a_server_was_asked(printed: Callable[..., str]) -> None:
    given = Report("spec.yaml", "vertex", (), seconds=1.5)
    assert printed("terminal", given).strip() == "pass: no check ended in 1.5 s: spec.yaml"
    assert "requests" not in printed("markdown", given)


def test_a_story_has_all_there_is_to_tell(printed: Callable[..., str]) -> None:
    out = printed("terminal", EVERY)
    for words in ("fail check-1: question 1", "status INTERNAL", "The reply is a list.", "warn check-3: question 3"):
        assert words in out
    assert "Return the message that the .proto declares:" in out
    assert "\n".join(f"    {line}" for line in CODE.splitlines()) in out
    assert "\n    and start it again.\n" in out
    assert "all is well" not in out, "the table, which came before, has it"
    assert out.count("docs/checks/check-1.md") == 1


def test_prose_is_wrapped_and_code_is_not(printed: Callable[..., str]) -> None:
    cause, code = "word " * 60, "    " + "x" * 100
    lines = printed("terminal", report(failed(cause, cause, f"Do:\n{code}"))).splitlines()
    assert [line for line in lines if len(line) > 80] == [f"    {code}"]
    assert sum(line.count("word") for line in lines) == 120
    assert lines == [line.rstrip() for line in lines]


def test_an_interrupted_run_says_so(printed: Callable[..., str]) -> None:
    given = report(passed("a"), stopped="interrupted")
    assert "interrupted: only the checks above were run to their end" in printed("terminal", given)
    assert json.loads(printed("json", given))["stopped"] == "interrupted"
    [suite] = JUnitXml.fromstring(printed("junit", given))
    assert (suite.tests, suite.errors) == (2, 1)


def test_json_has_what_was_found_as_it_was(printed: Callable[..., str]) -> None:
    whole = json.loads(printed("json", HOSTILE_REPORT))
    assert whole["target"] == HOSTILE
    assert [check["verdict"] for check in whole["checks"]] == ["pass", "fail", "skip", "warn"]
    for check, outcome in zip(whole["checks"], HOSTILE_REPORT.outcomes, strict=True):
        finding = outcome.finding
        assert (check["id"], check["seen"], check["cause"], check["remedy"]) == (
            outcome.id,
            finding.seen,
            finding.cause,
            finding.remedy,
        )


def test_junit(printed: Callable[..., str]) -> None:
    out = printed("junit", EVERY)
    ElementTree.fromstring(out)
    [suite] = JUnitXml.fromstring(out)
    assert (suite.tests, suite.failures, suite.skipped, suite.errors, suite.time) == (4, 1, 1, 0, 1.5)
    good, bad, left_out, odd = suite
    assert [case.time for case in suite] == [0.25] * 4
    assert (good.result, good.system_out) == ([], "all is well")
    assert bad.result[0].message == "status INTERNAL"
    assert CODE in bad.result[0].text
    assert left_out.result[0].message == "check-1 failed"
    assert odd.is_passed
    assert "Nothing was set." in odd.system_out


def html(markdown: str) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(markdown))


def test_markdown(printed: Callable[..., str]) -> None:
    page = html(printed("markdown", EVERY))
    assert page.count("<tr>") == 1 + 4
    assert page.count("<details>") == page.count("</details>") == 2
    assert "<p>Return the message that the .proto declares:</p>\n<pre><code" in page
    assert ">def Predict(self, request, context):\n    return [1,  2]   # two  blanks\n</code>" in page


def test_markdown_of_a_hostile_server(printed: Callable[..., str]) -> None:
    page = html(printed("markdown", HOSTILE_REPORT))
    tags = set(re.findall(r"<(\w+)", page))
    ours = {"h3", "p", "code", "table", "thead", "tbody", "tr", "th", "td", "details", "summary", "strong", "pre"}
    assert tags <= ours, tags - ours
    assert page.count("<tr>") == 1 + 4
    assert page.count("<td>") == 3 * 4
    bare = re.sub(r"<pre>.*?</pre>|<code>.*?</code>", "", page, flags=re.DOTALL)
    assert re.findall(r"[@#]\w", bare) == [], "GitHub would take it for a user or an issue"
    for fenced in re.findall(r"<pre><code[^>]*>(.*?)</code></pre>", page, re.DOTALL)[:1]:
        assert "# Heading\n- list\n---" in fenced


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("one\ntwo", [(False, "one two")]),
        ("one\n\ntwo", [(False, "one"), (False, "two")]),
        ("do:\n    a\n\n    b\nthen", [(False, "do:"), (True, "    a\n\n    b"), (False, "then")]),
        ("    a\n", [(True, "    a")]),
        ("do:\n    a\n\nthen", [(False, "do:"), (True, "    a"), (False, "then")]),
        ("", []),
    ],
)
def test_prose_and_code_are_told_apart(text: str, wanted: list[tuple[bool, str]]) -> None:
    assert list(blocks(text)) == wanted


class TestPages:
    """Where a page is depends on where protoserve came from."""

    @pytest.fixture(autouse=True)
    def fresh(self) -> Any:
        check_pages._source.cache_clear()
        yield
        check_pages._source.cache_clear()

    def come_from(self, monkeypatch: pytest.MonkeyPatch, source: str, ref: str | None) -> None:
        monkeypatch.setattr(template_source, "template", lambda: template_source.Template(source, ref))

    def test_a_repository_on_the_web(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.come_from(monkeypatch, "git+https://me:secret@git.example.com/team/protoserve.git", "4f2a")
        wanted = "https://git.example.com/team/protoserve/blob/4f2a/docs/checks/reachable.md"
        assert check_pages.page("reachable") == wanted

    def test_a_folder(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        self.come_from(monkeypatch, str(tmp_path), "HEAD")
        found = tmp_path / "docs" / "checks" / "reachable.md"
        assert check_pages.page("reachable") == "docs/checks/reachable.md in the repository of protoserve"
        found.parent.mkdir(parents=True)
        found.touch()
        assert check_pages.page("reachable") == str(found)
        monkeypatch.chdir(tmp_path)
        assert Path(check_pages.page("reachable")) == Path("docs/checks/reachable.md")

    def test_nobody_knows(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown() -> template_source.Template:
            raise template_source.OriginError("no")

        monkeypatch.setattr(template_source, "template", unknown)
        assert check_pages.page("reachable") == "docs/checks/reachable.md in the repository of protoserve"


def test_warn_and_skip_are_no_failure() -> None:
    assert report(skipped("a"), warned("b", "c", "d")).exit_code == 0
    assert EVERY.exit_code == 1
    assert report(passed("a"), stopped="interrupted").exit_code == 1
    assert EVERY.verdict is Verdict.FAIL


UNJUDGED = report(
    passed("all is well"),
    unjudged("no contract: the server has no reflection", "Give it the contract with --proto FILE."),
    skipped("this run did not start the server"),
    warned("0 bytes", "Nothing was set.", "Set it."),
    decisive=True,
)


@pytest.mark.parametrize("format", NAMES)
def test_unjudged_is_not_passed_and_says_what_to_give(printed: Callable[..., str], format: str) -> None:
    """In the first line of each form, the first below the table at a terminal."""
    assert (UNJUDGED.verdict, UNJUDGED.exit_code) == (Verdict.UNJUDGED, 3)
    out = printed(format, UNJUDGED)
    if format == "json":
        whole = json.loads(out)
        assert (whole["verdict"], whole["checks"][1]["verdict"]) == ("unjudged", "skip")
        assert whole["unjudged"].endswith("Give it the contract with --proto FILE.")
    elif format == "junit":
        [suite] = JUnitXml.fromstring(out)
        assert (suite.tests, suite.errors) == (5, 1)
    else:
        first = html(out.splitlines()[0]) if format == "markdown" else " ".join(out.partition("\n\n")[0].split())
        assert "unjudged: check-1 could not be judged: no contract: the server has no reflection. Give it" in first


def test_a_failure_outweighs_what_could_not_be_judged() -> None:
    given = report(failed("a", "b", "c"), unjudged("no contract", "Give it."), decisive=True)
    assert (given.verdict, given.exit_code) == (Verdict.FAIL, 1)
    assert report(unjudged("no contract", "Give it.")).verdict is Verdict.PASS  # not of a check that decides


def test_code_that_is_too_wide_has_its_comments_and_arguments_on_their_own_lines(printed: Callable[..., str]) -> None:
    code = f'    if late:\n        context.abort({"a" * 40}, "{"b" * 20}")    # grpc.aio: await context.abort(...)'
    out = printed("terminal", report(failed("x", "y", f"Do:\n{code}")))
    assert (
        f"""
        if late:
            # grpc.aio: await context.abort(...)
            context.abort(
                {"a" * 40}, "{"b" * 20}"
            )
"""
        in out
    )
