"""The pages on `protoserve verify`: every check has its page, and every row of troubleshooting leads to one."""

from __future__ import annotations

import argparse
import itertools
import re
import shlex

import pytest

from protoserve.verify import options
from protoserve.verify.checks import CHECKS
from protoserve.verify.checks.check import Check
from support import ROOT

DOCS = ROOT / "docs"
PAGES = DOCS / "checks"
VERIFY = (DOCS / "verify.md").read_text(encoding="utf-8")
TROUBLE = (DOCS / "troubleshooting.md").read_text(encoding="utf-8")
IDS = [check.id for check in CHECKS]
SERVER = [page for page in sorted(PAGES.glob("*.md")) if page.stem != "README"]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="protoserve verify", exit_on_error=False)
    options.add_arguments(made)
    return made


def rows(text: str) -> list[list[str]]:
    """The cells of all tables, without headings; a bar within code is no border."""
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    found = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    headings = [re.match(r"\|-", after) for after in text.splitlines()]
    heads = {text.splitlines()[index - 1] for index, rule in enumerate(headings) if rule}
    return [cells for cells, line in zip(found, lines, strict=True) if line not in heads]


def test_every_check_has_a_page_and_every_page_a_check() -> None:
    assert sorted(page.stem for page in SERVER) == sorted(IDS)


@pytest.mark.parametrize("check", CHECKS, ids=IDS)
def test_a_page_begins_with_its_check_and_tells_the_verdicts(check: Check) -> None:
    name = check.id
    page = (PAGES / f"{name}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# `{name}`: ")
    assert "`fail`" in page or "`warn`" in page


def test_the_table_of_checks_is_that_of_the_code() -> None:
    table = rows((PAGES / "README.md").read_text(encoding="utf-8"))
    wanted = [
        [f"[`{check.id}`]({check.id}.md)", check.title, f"`{check.after}`" if check.after else "nothing"]
        for check in CHECKS
    ]
    assert [cells[:3] for cells in table] == wanted


def test_each_symptom_leads_to_a_check() -> None:
    table = rows(TROUBLE)
    assert len(table) > 40
    for cells in table:
        assert len(cells) == 4, cells
        symptom, meaning, check, remedy = cells
        found = re.fullmatch(r"\[`([\w-]+)`\]\(checks/([\w-]+)\.md\)", check)
        assert found is not None, cells
        assert found[1] == found[2]
        assert found[1] in IDS
        assert symptom
        assert meaning.endswith((".", "`."))
        assert remedy.endswith((".", "`."))


def test_what_people_search_for_is_there() -> None:
    for text in (
        "Method not found!",
        "Method not implemented!",
        "Failed to serialize response!",
        "Exception deserializing request!",
        "failed to connect to all addresses",
        "Socket closed",
        "Received message larger than max",
        'service unhealthy (responded with "NOT_SERVING")',
        "this server does not implement the grpc health protocol",
        "context deadline exceeded",
        "Liveness probe failed: timeout: failed to connect service",
        "Model server exited unexpectedly",
        "Model server never became ready",
        "CrashLoopBackOff",
        "exit code 137",
        "exit code 143",
        "exec format error",
        "upstream connect error",
        "DEADLINE_EXCEEDED",
        "Trying to connect an http1.x server",
        "WRONG_VERSION_NUMBER",
    ):
        assert text in TROUBLE, text


def commands() -> list[str]:
    pages = [DOCS / "verify.md", DOCS / "troubleshooting.md", ROOT / "README.md", *PAGES.glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages)
    return sorted(set(re.findall(r"^(?:\s*- (?:run: )?|\s*)protoserve verify (.+)$", text, re.MULTILINE)))


@pytest.mark.parametrize("command", commands())
def test_the_commands_on_the_pages_are_taken(command: str) -> None:
    words = shlex.split(command.replace("\\|", "|"), comments=True)
    words = list(itertools.takewhile(lambda word: word not in (">", ">>"), words))
    given = parser().parse_args(options.split_command(words)[0])
    assert given.target or given.image or given.spec or given.http or options.split_command(words)[1]
    assert {*given.only, *given.skip} <= set(IDS)


def test_every_option_that_names_a_target_or_contract_is_told() -> None:
    told = {"--image", "--spec", "--http", "--proto", "-I", "--project", "--request", "--tls", "--ca", "--tls-name"}
    told |= {"--platform", "--timeout", "--only", "--skip", "--format"}
    known = {option for action in parser()._actions for option in action.option_strings}
    assert told <= known
    assert [option for option in sorted(told) if f"`{option}" not in VERIFY and f" {option} " not in VERIFY] == []
    assert all(f"`{form}`" in VERIFY for form in options.FORMATS)
    assert all(f"`{platform}`" in VERIFY or f"--platform {platform}" in VERIFY for platform in options.PLATFORMS)
