"""Text functions of all forms of output. Text from a server is not trusted: it can neither move a terminal's cursor
nor forge a line of the report."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from protoserve.platform.plain_text import visible
from protoserve.verify.report import Report, Verdict

_COUNTED = {Verdict.FAIL: "failed", Verdict.WARN: "warned", Verdict.PASS: "passed", Verdict.SKIP: "skipped"}


def safe(text: str) -> str:
    """The text with every invisible character, except line ends, written as its escape, such as `\\x1b`."""
    return visible(text.replace("\r\n", "\n").expandtabs(4))


def line(text: str, most: int) -> str:
    """The same on one line, of at most so many characters."""
    words = " ".join(safe(text).split())
    return words if len(words) <= most else f"{words[: most - 3]}..."


def blocks(text: str) -> Iterator[tuple[bool, str]]:
    """A cause or a remedy as prose, each paragraph on one line, and code (True), as it stands: what is indented."""
    lines = safe(text).strip("\n").split("\n")
    kinds = [bool(words[:1].isspace()) for words in lines]
    for index, words in enumerate(lines):
        if not words.strip():  # an empty line belongs to the code that it parts
            kinds[index] = index > 0 and kinds[index - 1] and any(kinds[index + 1 : index + 2])
    for code, group in groupby(zip(kinds, lines, strict=True), key=lambda pair: pair[0]):
        text = "\n".join(words.rstrip() for _, words in group)
        if code:
            yield True, text
            continue
        for paragraph in text.split("\n\n"):
            if words := " ".join(paragraph.split()):
                yield False, words


def verdict(report: Report) -> Verdict:
    """The verdict of a whole run: one that was stopped before anything failed has judged nothing."""
    return Verdict.SKIP if report.stopped and report.verdict is not Verdict.FAIL else report.verdict


def counts(report: Report) -> str:
    """`1 failed, 3 passed`: how many checks have each verdict."""
    verdicts = [outcome.finding.verdict for outcome in report.outcomes]
    counted = [f"{verdicts.count(kind)} {name}" for kind, name in _COUNTED.items() if kind in verdicts]
    return ", ".join(counted) or "no check ended"


def summary(report: Report) -> str:
    """The run in a sentence, with its time and, where a server was asked, what it sent."""
    sent = f", with {report.requests} request{'' if report.requests == 1 else 's'} sent to" if report.requests else ":"
    return f"{counts(report)} in {report.seconds:.1f} s{sent} {line(report.target, 200)}"
