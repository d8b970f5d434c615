"""What protoserve prints of a text from outside can neither act on a terminal nor forge a line."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt

from protoserve.compat import output
from protoserve.compat.compare import compare
from protoserve.compat.project_comparison import Comparison, ContractChanges
from protoserve.platform import answers
from protoserve.platform.errors import ProtoserveError
from protoserve.project import kept_answers
from protoserve.project.update import summary
from protoserve.project.update.outcome import Outcome
from protoserve.schema.errors import SchemaError
from protoserve.schema.load import loads
from protoserve.schema.model import Contract

ESCAPE = "\x1b]0;x\x07"
FORGED = "schema.yaml:1:1: forged"
METHODS = {"Ask": {"request": {"fields": [{"name": "a", "type": "string"}]}, "response": {"fields": []}}}
WRONG = {
    "a key": {f"{ESCAPE}\n{FORGED}": 1, "methods": METHODS},
    "a name": {"methods": {f"Ask{ESCAPE}\n{FORGED}": METHODS["Ask"]}},
    "a value": {"status": f"{ESCAPE}\n{FORGED}", "methods": METHODS},
    "a path of an import": {"imports": {f"{ESCAPE}\n{FORGED}.proto": {"package": "x"}}, "methods": METHODS},
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_errors_of_a_schema_show_its_texts_as_escapes(wrong: dict[str, object]) -> None:
    with pytest.raises(SchemaError) as caught:
        loads(yaml.safe_dump({"package": "a.v1", **wrong}))
    printed = caught.value.report()
    assert printed.replace("\n", "").isprintable()
    assert len(printed.splitlines()) == len(caught.value.problems)
    assert not any(line.startswith(FORGED) for line in printed.splitlines())


@pytest.mark.parametrize("text", ["!%1B]0;x%07 a", "&a\N{RIGHT-TO-LEFT OVERRIDE}b c", "*a\N{RIGHT-TO-LEFT OVERRIDE}b"])
def test_faults_of_yaml_do_so_too(text: str) -> None:
    with pytest.raises(SchemaError) as caught:
        loads(f"package: {text}\n")
    assert caught.value.report().isprintable()


def test_other_errors_do_so_too() -> None:
    assert ProtoserveError(f"no file a{ESCAPE}\u202eb").report() == "protoserve: no file a\\x1b]0;x\\x07\\u202eb"


def contract(pattern: str) -> Contract:
    field = {"name": "size", "type": "string", "number": 1, "pattern": pattern, "example": "x"}
    methods = {"Ask": {"request": {"fields": [field]}, "response": {"fields": []}}}
    return loads(yaml.safe_dump({"package": "a.v1", "methods": methods}))


def test_a_report_of_changes_has_their_texts_as_words() -> None:
    """A line for each in words, a row for each in Markdown without HTML, links and mentions."""
    old, new = contract("x|<b>[a](javascript:a)@octocat"), contract("x|\u202e")
    changes = compare(old, new)
    parsed = (
        MarkdownIt("commonmark")
        .enable("table")
        .parse(output.markdown(Comparison((ContractChanges("a.v1", old, new, changes),), "main")))
    )
    assert {child.type for token in parsed for child in token.children or ()} <= {"text", "code_inline"}
    assert sum(token.type == "tr_open" for token in parsed) == 1 + len(changes)
    assert all(output.line("schema.yaml", change).isprintable() for change in changes)


@pytest.mark.parametrize("package", ["../../outside", f'a"\nimport os{ESCAPE}'])
def test_a_recorded_package_that_is_not_a_name_is_refused(package: str, tmp_path: Path) -> None:
    """It would be a part of paths and of code."""
    recorded = yaml.safe_dump({"package": package, "framework": "python"})
    (tmp_path / answers.FILE).write_text(recorded, encoding="utf-8")
    with pytest.raises(answers.AnswersError, match="package must be the name of a Python package") as caught:
        answers.read(tmp_path)
    assert caught.value.report().isprintable()


def test_a_summary_of_an_update_has_the_name_of_the_project_as_words() -> None:
    name = f"<b>[a](javascript:a)@octocat\n# {FORGED}{ESCAPE}"
    text = summary.render(Outcome(name, f"https://{name}", "v1", "v2"), "markdown", io.StringIO())
    assert text.replace("\n", "").isprintable()
    parsed = MarkdownIt("commonmark").parse(text)
    assert {child.type for token in parsed for child in token.children or ()} <= {"text", "code_inline", "softbreak"}
    assert [token.tag for token in parsed if token.type == "heading_open"] == ["h2"]


def test_a_file_of_kept_answers_has_the_command_as_a_comment(tmp_path: Path) -> None:
    command = ["protoserve", "new", f"--data=x=\nport: 1\N{NEXT LINE}port: 2\N{LINE SEPARATOR}port: 3{ESCAPE}"]
    kept_answers.keep({"project_name": ESCAPE}, "made", command, "--answers", tmp_path)
    (path,) = tmp_path.iterdir()
    assert kept_answers.read(path) == {"project_name": ESCAPE}
