"""The summary of an update: Markdown for a pull request, rendered if it goes to a terminal, or JSON."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any, TextIO

from protoserve.platform.plain_text import markdown, one_line
from protoserve.platform.printing import colour_system
from protoserve.project.update.outcome import Change, File, Kind, Outcome

_HEADINGS = {
    Kind.TEMPLATE: "Template files, merged",
    Kind.GENERATED: "Generated files, written again",
}
_FOLDED_FROM = 13  # files of one kind


def render(outcome: Outcome, form: str, out: TextIO) -> str:
    """The summary as `json` or `markdown`; Markdown is rendered if `out` is a terminal."""
    if form == "json":
        return as_json(outcome)
    text = as_markdown(outcome)
    if not out.isatty():
        return text
    from rich.console import Console
    from rich.markdown import Markdown

    console = Console(file=out, color_system=colour_system(out))
    with console.capture() as captured:
        console.print(Markdown(re.sub(r"</?(details|summary)>\n?", "", text)))
    return captured.get()


def as_markdown(outcome: Outcome) -> str:
    """The summary for a pull request."""
    return "\n".join(_lines(outcome))


def as_json(outcome: Outcome, diff: str | None = None) -> str:
    """The whole outcome, with the diff of a dry run."""
    data: dict[str, Any] = asdict(outcome)
    data["conflicts"] = list(outcome.conflicts)
    data["next"] = [command for command, _ in outcome.next_steps]
    if diff is not None:
        data["diff"] = diff
    return json.dumps(data, indent=2, default=str)


def _lines(outcome: Outcome) -> Iterator[str]:
    versions = f"{outcome.before} → {outcome.after}" if outcome.before != outcome.after else outcome.after
    answers_only = outcome.before == outcome.after and outcome.answers
    yield f"## {markdown(outcome.project)}: {'answers changed, ' if answers_only else ''}template {versions}"
    yield f"\nTemplate: {code(outcome.template)}"
    if outcome.conflicts:
        yield f"\n### Conflicts: {len(outcome.conflicts)}\n"
        yield "Both you and the template changed these files: see the markers in them, or one of you removed it.\n"
        yield from (f"- {code(path)}" for path in outcome.conflicts)
    if outcome.notes:
        yield "\n### Notes\n"
        yield from (f"- {note}" for note in outcome.notes)
    if outcome.answers:
        yield "\n### Answers\n"
        yield "| answer | was | is | why |"
        yield "|---|---|---|---|"
        yield from (
            f"| {code(answer.name)} | {_value(answer.was)} | {_value(answer.now)} | {answer.why} |"
            for answer in outcome.answers
        )
    for kind in Kind:
        yield from _files(_HEADINGS[kind], [file for file in outcome.files if file.kind is kind])
    yield "\nYour own files: untouched."
    if outcome.next_steps:
        yield "\n### Next\n"
    yield from (f"1. {code(command)}: {why}" for command, why in outcome.next_steps)


def _files(heading: str, files: list[File]) -> Iterator[str]:
    if not files:
        return
    counts = ", ".join(f"{n} {change}" for change in Change if (n := sum(file.change is change for file in files)))
    lines = [f"- {file.change} {code(file.path)}{' (conflict)' if file.conflict else ''}" for file in files]
    yield f"\n### {heading}: {counts}\n"
    if len(files) >= _FOLDED_FROM:
        yield "<details>\n<summary>all of them</summary>\n"
        yield from lines
        yield "\n</details>"
    else:
        yield from lines


def code(text: str) -> str:
    """Markdown that shows the text as it is, in a table too."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    space = " " if "`" in text else ""
    return f"{fence}{space}{one_line(text)}{space}{fence}".replace("|", "\\|")


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    return code(json.dumps(value, ensure_ascii=False, default=str) if not isinstance(value, str) else value or '""')
