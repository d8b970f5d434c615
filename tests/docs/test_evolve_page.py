"""The page on evolution says what the code does: its texts, its commands, and its table of what breaks."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

from evolution.changes import ROWS, WHOLE
from evolution.work import SCHEMA, begin
from protoserve import cli
from protoserve.compat.change import Break
from protoserve.shared_commands import DIFF_FORMATS
from support import ROOT

PAGE = (ROOT / "docs" / "evolve.md").read_text(encoding="utf-8")
TEXTS = re.findall(r"^```text\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FIELD = "        - {name: sepal_length, number: 1, type: float64, minimum: 0, maximum: 30}\n"

# Each row of the table with rows of the table of changes that it is about.
ABOUT = {
    "add a field that is not required": ["optional field added", "list added", "map added"],
    "add a required field": ["required field added", "required message added"],
    "`required: false` becomes required": ["newly required"],
    "required becomes `required: false`": ["no longer required", "required becomes a default"],
    "a limit becomes narrower": ["maximum of type: float64 lowered", "pattern given", "NaN no longer allowed"],
    "a limit becomes wider": ["maximum of type: float64 raised", "pattern taken away", "NaN allowed"],
    "another `pattern`": ["pattern changed"],
    "a `default` changes": ["default changed", "default taken away"],
    "an optional field gets a `default`": ["default given"],
    "a `unit` or `media_type` changes": ["unit changed", "unit taken away", "media type changed"],
    "a value is added to an enum": ["value added"],
    "a value is removed from an enum": ["value removed and reserved"],
    "a field is removed": ["field removed", "field removed and reserved"],
    "an integer type of the same wire type": ["int8 to int16"],
    "the same back": ["int16 to int8"],
    "another type, element type": [
        "int32 to float64",
        "elements int8 to uint8",
        "one dimension more",
        "a size changed",
    ],
    "a size of a shape becomes a name": ["a size becomes a name", "two dimensions untied"],
    "a name becomes a size": ["a name becomes a size", "two dimensions tied"],
    "a member is added to a oneof": ["a member of a required oneof added"],
    "one of a oneof must be set now": ["a oneof newly required"],
    "one of a oneof need not": ["a oneof no longer required"],
    "into a oneof": ["into a oneof", "out of a oneof", "one to a list", "a list to a map", "presence becomes implicit"],
    "another name or number": ["field renamed", "field renumbered", "value renumbered", "a reservation taken out"],
    "a method, a message, an enum is removed": [
        *("method removed", "a message that nothing uses removed", "an enum that nothing uses removed", "package"),
        *("service", "streamed", "no longer streamed"),
    ],
    "`doc`, `example`": ["doc", "example", "source", "deprecated", "order of the fields", "a dimension renamed"],
}


def rows() -> list[tuple[str, bool, bool]]:
    table = PAGE.partition("| change | in a request | in a response |\n|---|---|---|\n")[2].partition("\n\n")[0]
    found = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert {cell for row in found for cell in row[1:]} == {"", "breaks"}
    return [(row[0], row[1] == "breaks", row[2] == "breaks") for row in found]


def test_the_table_is_that_of_the_verdicts() -> None:
    labels = {row.name: (row.request, row.response) for row in ROWS}
    labels |= {case.name: (case.breaking, case.breaking) for case in WHOLE}
    for text, request, response in rows():
        (begins,) = (words for words in ABOUT if text.startswith(words))
        for name in ABOUT[begins]:
            assert labels[name] == (request, response), (text, name)
    assert len(rows()) == len(ABOUT)


def test_every_kind_of_break_is_explained() -> None:
    table = PAGE.partition("| breaks | meaning |\n")[2].partition("\n\n")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == list(Break)


def test_the_refusal_is_printed_as_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert FIELD.strip()[2:] in PAGE
    work = begin(
        tmp_path,
        schema=SCHEMA[: SCHEMA.index("        - name: length")] + FIELD + SCHEMA[SCHEMA.index("    response") :],
    )
    work.commit()
    work.edit(("maximum: 30", "maximum: 25"))
    assert work.generate() == 1
    assert capsys.readouterr().err == TEXTS[0]


def test_the_number_taken_twice_is_reported_as_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    last = "        - {name: width, number: 2, type: float64}  # last\n"
    added = [f"        - {{name: {name}, number: 3, type: string}}\n" for name in ("height", "colour")]
    work = begin(tmp_path, schema=SCHEMA.replace(last, last + "".join(added)))
    assert work.generate() == 1
    assert capsys.readouterr().err == TEXTS[2]


def test_the_commands_after_a_merge_settle_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As the page says: both branches added a field at the same line, and generated files conflict, too."""
    last = "        - {name: width, number: 2, type: float64}  # last\n"
    work = begin(tmp_path)
    work.commit()
    for branch, name in {"main": "height", "feature": "colour"}.items():
        work.git("switch", "--quiet", *(["--create", branch, "main~1"] if branch == "feature" else [branch]))
        work.edit((last, f"{last}        - {{name: {name}, number: 3, type: string, required: false}}\n"))
        assert work.generate() == 0
        work.commit()
    block = PAGE.partition("## Two branches")[2].partition("```sh\n")[2].partition("```")[0]
    merge, *settle = (line.partition("#")[0].split() for line in block.splitlines() if line[0] != " ")
    work.git(*merge[1:], check=False)
    marked = [name for name, content in work.files().items() if b"<<<<<<<" in content]
    assert {"schema.yaml", "proto/iris/v1/prediction.proto", "src/iris/contract/v1.py"} <= set(marked)
    capsys.readouterr()
    assert work.generate() == 1
    assert capsys.readouterr().err == TEXTS[1]
    work.write(re.sub(r"^(<<<<<<<|=======|>>>>>>>).*\n", "", work.text, flags=re.MULTILINE))
    for command, *arguments in settle:
        if command == "git":
            work.git(*arguments)
        else:
            assert (work.generate() if arguments == ["generate"] else work.run(*arguments)) == 0
    assert "{name: colour, number: 4, " in work.text
    assert work.generate("--check") == 0
    assert not [name for name, content in work.files().items() if b"<<<<<<<" in content]
    assert work.git("status", "--porcelain") == ""


def commands() -> list[str]:
    text = PAGE.replace("\n", " ")
    inline = re.findall(r"`(protoserve (?:diff|renumber|generate)[^`]*)`", text)
    return sorted({*inline, *re.findall(r"^(protoserve [^#\n]+)", PAGE, re.MULTILINE)})


@pytest.mark.parametrize("command", commands())
def test_the_commands_are_taken(command: str) -> None:
    given = cli.parser().parse_args(shlex.split(command)[1:])
    assert given.command


def test_every_option_and_format_is_on_the_page() -> None:
    assert all(f"`{form}`" in PAGE for form in DIFF_FORMATS)
    assert all(option in PAGE for option in ("--accept-breaking", "--stable-only", "--base", "--project", "--format"))


def test_the_json_has_the_keys_that_are_shown() -> None:
    (shown,) = re.findall(r"^```json\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert list(json.loads(shown)) == ["verdict", "changes"]
    assert list(json.loads(shown)["changes"][0]) == ["path", "rule", "breaks", "why", "remedy"]
