"""A report as Markdown, for a comment on a pull request: a table, then the details of each fail and warn.

Text from a server is escaped, so that it cannot become markup, a link, a mention of a user, or the end of a cell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import dedent

from protoserve.platform.printing import write
from protoserve.verify.checks.check import Check
from protoserve.verify.output.check_pages import page
from protoserve.verify.output.escaping import blocks, counts, line, safe, verdict
from protoserve.verify.report import Outcome, Report, Verdict

_SIGNS = {Verdict.PASS: "✅", Verdict.WARN: "⚠️", Verdict.FAIL: "❌", Verdict.SKIP: "⏭️", Verdict.UNJUDGED: "❔"}
_CELL = 160
_HEADING = 400


def show(report: Report, checks: Sequence[Check]) -> None:
    """Prints it."""
    titles = {check.id: check.title for check in checks}
    overall: str = "interrupted" if report.stopped else verdict(report)
    if overall == Verdict.UNJUDGED:
        overall += f": {_entities(line(report.unjudged, _HEADING))}"
    write(
        "\n".join(
            [
                f"### protoserve verify: {_SIGNS[verdict(report)]} {overall}",
                "",
                f"{_code(line(report.target, 200))}, platform {report.platform}: {counts(report)} in "
                f"{report.seconds:.1f} s{f', with {report.requests} requests' if report.requests else ''}.",
                "",
                "| verdict | check | what was seen | time |",
                "|---|---|---|---:|",
                *(
                    f"| {_SIGNS[outcome.finding.verdict]} {outcome.finding.verdict} | `{outcome.id}` "
                    f"| {_code(line(outcome.finding.seen, _CELL))} | {outcome.seconds:.2f} s |"
                    for outcome in report.outcomes
                ),
                *(
                    f"\n<details>\n<summary>{outcome.finding.verdict}: <code>{outcome.id}</code>, {titles[outcome.id]}"
                    f"</summary>\n\n{story(outcome)}\n\n</details>"
                    for outcome in report.outcomes
                    if outcome.finding.verdict in (Verdict.FAIL, Verdict.WARN)
                ),
            ]
        )
    )


def story(outcome: Outcome) -> str:
    """What was seen, why, what to change, and where the page is."""
    finding, where = outcome.finding, page(outcome.id)
    link = f"[docs/checks/{outcome.id}.md]({where})" if where.startswith("https://") else _code(where)
    parts = ["**What was seen**", _fenced(safe(finding.seen)), "**Likely cause**", _text(finding.cause)]
    return "\n\n".join([*parts, "**What to change**", _text(finding.remedy), f"More: {link}"])


def _text(text: str) -> str:
    """Prose, and code in fences."""
    return "\n\n".join(_fenced(dedent(words)) if code else _prose(words) for code, words in blocks(text))


def _fenced(text: str) -> str:
    """A block of code, with a fence that is longer than any inside it."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.strip(chr(10))}\n{fence}"


def _code(text: str) -> str:
    """Code in a line or a cell; a backtick or a bar in the text does not end it."""
    return f"<code>{_entities(text)}</code>"


def _prose(text: str) -> str:
    """Plain text that does not start a list or heading; an empty comment keeps GitHub from linking users and issues."""
    first = f"&#{ord(text[0])};{_entities(text[1:])}" if not text[0].isalpha() else _entities(text)
    return re.sub("&#(?:64|35);", lambda entity: f"{entity[0]}<!-- -->", first)


def _entities(text: str) -> str:
    """The text with an entity for every character that has a meaning in Markdown, HTML or a URL."""
    plain = re.sub(r"[&<>`*_\[\]|\\~@#$]|:(?=//)", lambda sign: f"&#{ord(sign[0])};", text)
    return plain.replace("www.", "www&#46;")
