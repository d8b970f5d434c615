"""A report as Markdown, for the comment on a pull request: a table, then what there is to tell of each fail and warn.

What a server said is written so that it stays text: no markup, no link, no mention of a user, no end of a table's cell.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from protoserve.platform.printing import write
from protoserve.verify.checks.base import Check
from protoserve.verify.output.pages import page
from protoserve.verify.output.text import blocks, code_of, counts, line, safe, verdict
from protoserve.verify.report import Outcome, Report, Verdict

_SIGNS = {Verdict.PASS: "✅", Verdict.WARN: "⚠️", Verdict.FAIL: "❌", Verdict.SKIP: "⏭️"}
_CELL = 160


def show(report: Report, checks: Sequence[Check]) -> None:
    """Prints it."""
    titles = {check.id: check.title for check in checks}
    overall = "interrupted" if report.stopped else verdict(report)
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
    return "\n\n".join(_fenced(code_of(words)) if code else _prose(words) for code, words in blocks(text))


def _fenced(text: str) -> str:
    """A block of code whose fence is longer than any in it."""
    longest = max((len(ticks) for ticks in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}text\n{text.strip(chr(10))}\n{fence}"


def _code(text: str) -> str:
    """Code within a line or a cell, where a backtick or a bar in the text would end it."""
    return f"<code>{_entities(text)}</code>"


def _prose(text: str) -> str:
    """Plain text that begins no list or heading; a comment of nothing keeps GitHub from finding users and issues."""
    first = f"&#{ord(text[0])};{_entities(text[1:])}" if not text[0].isalpha() else _entities(text)
    return re.sub("&#(?:64|35);", lambda found: f"{found[0]}<!-- -->", first)


def _entities(text: str) -> str:
    """The text with an entity for every sign that Markdown or HTML could take for its own, and for those of URLs."""
    plain = re.sub(r"[&<>`*_\[\]|\\~@#$]|:(?=//)", lambda found: f"&#{ord(found[0])};", text)
    return plain.replace("www.", "www&#46;")
