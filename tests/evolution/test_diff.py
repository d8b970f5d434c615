"""`protoserve diff`: what changed since a revision, in every form, from wherever the project lies."""

# A row of a table stays on its line.
# ruff: noqa: E501
from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from evolution.work import SCHEMA, Work, begin
from protoserve import cli
from protoserve.compat import project_contracts
from protoserve.compat.output import FORMATS, words
from protoserve.compat.project_comparison import Comparison, compare_contracts, compare_with_revision
from protoserve.shared_commands import DIFF_FORMATS
from support import ROOT, Project

Capture = pytest.CaptureFixture[str]
DRAFT = SCHEMA.replace("stable", "draft")


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """Committed as a draft, with one change of each kind on disk: one that breaks, and one that does not."""
    made = begin(tmp_path / "repository", "services/iris", DRAFT)
    made.commit()
    made.edit(("maximum: 30", "maximum: 25"), ("{name: score, number: 2,", "{name: score, number: 2, unit: '|',"))
    return made


def diff(work: Work, *arguments: str) -> int:
    return cli.main(["diff", *arguments, "--project", str(work.path)])


def test_json_is_exactly_this(work: Work, capsys: Capture) -> None:
    assert diff(work, "--format", "json") == 1
    assert json.loads(capsys.readouterr().out) == {
        "verdict": "breaking",
        "changes": [
            {
                "path": "methods.Predict.request.fields.length.maximum",
                "rule": "limit-narrowed",
                "breaks": ["request"],
                "why": "`maximum` is 25, was 30: requests that were valid are refused",
                "remedy": "keep the limit, or let the model answer such a request as well as it can",
            },
            {
                "path": "methods.Predict.response.fields.score.unit",
                "rule": "unit-told",
                "breaks": [],
                "why": "`unit` is |, was not given: documented for the first time",
                "remedy": "",
            },
        ],
    }


def test_words_have_what_breaks_first_and_the_verdict_last(work: Work, capsys: Capture) -> None:
    assert diff(work) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("schema.yaml:14:11: methods.Predict.request.fields.length.maximum: limit-narrowed")
    assert lines[1].startswith("schema.yaml:20:59: methods.Predict.response.fields.score.unit: unit-told: ")
    assert lines[2] == "breaking: 2 changes since HEAD, of which 1 breaks callers"


@pytest.mark.parametrize(
    ("old", "new", "place"),
    [
        ("status: stable", "status: draft", "schema.yaml:3:9: status: stability-withdrawn"),
        ("package: iris.v1", "package: flora.v1", "schema.yaml:2:10: package: package-added"),
        ("package: iris.v1", "package: flora.v1", "schema.yaml:2:10: package: package-removed"),
        ("service: IrisService", "service: Flora", "schema.yaml:4:10: service: service-renamed"),
        ("  Predict:", "  Classify: {request: {fields: []}, response: {fields: []}}\n  Predict:", "schema.yaml:11:3: methods.Classify: method-added"),
        ("  Predict:", "  Classify:", "schema.yaml:11:3: methods.Predict: method-removed"),
        ("  Predict:", "  Classify:", "schema.yaml:11:3: methods.Predict.request: message-removed"),
        ("  Species:", "  Kind: {values: [red]}\n  Species:", "schema.yaml:6:3: enums.Kind: enum-added"),
        ("# The contract of iris.", "doc: Irises.", "schema.yaml:1:6: doc: documentation-changed"),
    ],
)  # fmt: skip
def test_each_change_is_told_at_its_own_line(old: str, new: str, place: str) -> None:
    assert SCHEMA.count(old) == 1
    assert place in words(compared(SCHEMA, SCHEMA.replace(old, new)))


def test_what_is_gone_is_told_where_it_was_held() -> None:
    more = SCHEMA + "  Train: {request: {fields: []}, response: {fields: []}}\n"
    assert "schema.yaml:10:1: methods.Train: method-removed" in words(compared(more, SCHEMA))


RENAMED = "{name: breadth, number: 3, type: float64, required: false, renamed_from: NAME}  # last\n"


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("  # last\n", f"\n        - {RENAMED}", "PredictRequest had no field 'NAME' (it had length, width), so 'breadth' counts as a new one"),
        ("  # last\n", f"\n        - {RENAMED.replace('NAME', 'age')}", ""),  # a name of the older version
        ("number: 2}\n", "number: 2}\n      - {name: blue, number: 3, renamed_from: iris}\n", "Species had no value 'iris' (it had setosa, versicolor)"),
        ("number: 2}\n", "number: 3, renamed_from: VERSICOLOUR}\n", ""),
    ],
)  # fmt: skip
def test_a_rename_of_nothing_is_told(old: str, new: str, told: str) -> None:
    older = SCHEMA.replace("iris.v1", "iris.v1alpha1").replace("name: width", "name: age")
    found = words(compared(SCHEMA, SCHEMA.replace(old, new), **{"schemas/v0.yaml": older}))
    assert told in found
    assert ("renamed-from-nothing: " in found) == bool(told)


def compared(old: str, new: str, **others: str) -> Comparison:
    before, after = (project_contracts.read({"schema.yaml": text, **others}, "iris") for text in (old, new))
    return compare_contracts(before, after, "then")


def test_a_table(work: Work, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pipe each change is a line, however narrow the terminal is that nobody sees."""
    monkeypatch.setenv("COLUMNS", "40")
    assert diff(work, "--format", "table") == 1
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["request", "methods.Predict.request.fields.length.maximum", "limit-narrowed"] in [row[:3] for row in rows]
    assert any(" ".join(row).endswith("let the model answer such a request as well as it can") for row in rows)
    assert ["nothing", "methods.Predict.response.fields.score.unit", "unit-told"] in [row[:3] for row in rows]


def test_markdown_whose_cells_hold(work: Work, capsys: Capture) -> None:
    assert diff(work, "--format", "markdown") == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == ["### Contract: breaking", "", "2 changes since HEAD, of which 1 breaks callers."]
    table = [line for line in lines if line.startswith("|")]
    assert len(table) == 4
    assert {line.count("|") for line in table} == {6}


def test_every_form_has_a_printer() -> None:
    assert tuple(FORMATS) == DIFF_FORMATS


@pytest.mark.parametrize("form", DIFF_FORMATS)
def test_nothing_changed(work: Work, capsys: Capture, form: str) -> None:
    work.write(DRAFT)
    assert diff(work, "--format", form) == 0
    out = capsys.readouterr().out
    assert "compatible" in out
    if form == "json":
        assert json.loads(out)["changes"] == []
    else:
        assert "othing changed in the contract since HEAD" in out


def test_stable_only_asks_the_revision(work: Work, capsys: Capture) -> None:
    assert diff(work, "--stable-only") == 0, "it was a draft there"
    assert "limit-narrowed (breaks request)" in capsys.readouterr().out
    work.write(SCHEMA)
    work.commit("stable")
    work.edit(("maximum: 30", "maximum: 25"), ("status: stable", "status: draft"))
    assert diff(work, "--stable-only") == 1
    capsys.readouterr()

    # To withdraw the promise is the first half of a break.
    work.edit(("maximum: 25", "maximum: 30"))
    assert diff(work) == 0
    assert diff(work, "--stable-only") == 1
    assert "a stable contract became a draft" in capsys.readouterr().err


def test_another_revision(work: Work, capsys: Capture) -> None:
    work.git("tag", "v1")
    work.commit("narrower")
    assert diff(work) == 0
    capsys.readouterr()
    assert diff(work, "v1") == 1
    assert "since v1" in capsys.readouterr().out
    comparison = compare_with_revision(work.path, "v1")
    assert (comparison.verdict, comparison.breaking, comparison.stable_breaking) == ("breaking", True, False)


def test_a_project_that_lay_elsewhere_then(work: Work, capsys: Capture) -> None:
    work.write(DRAFT)
    (work.root / "moved").mkdir()
    shutil.move(work.path, work.root / "moved" / "here")
    moved = Work(work.root / "moved" / "here", work.root)
    moved.edit(("maximum: 30", "maximum: 25"))
    assert diff(moved) == 1
    assert "limit-narrowed" in capsys.readouterr().out


def test_another_project_of_the_same_package_is_another_project(work: Work, capsys: Capture) -> None:
    other = Work(work.root / "other", work.root)
    shutil.copytree(work.path, other.path)
    assert diff(other) == 2
    assert "HEAD has no other/schema.yaml" in capsys.readouterr().err
    assert other.generate() == 0
    assert "limit-narrowed" not in capsys.readouterr().err


def test_a_revision_without_numbers_and_package(tmp_path: Path, capsys: Capture) -> None:
    text = DRAFT.replace("package: iris.v1\n", "").replace("number: 2, ", "").replace("          number: 1\n", "")
    work = begin(tmp_path, schema=text)
    work.commit()
    work.write(DRAFT)
    assert diff(work) == 0, capsys.readouterr()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("nowhere",), "git does not have nowhere here: check its name, or fetch it (`git fetch origin nowhere`)"),
        (("--help-me",), "unrecognized arguments"),
        (("empty",), "empty has no services/iris/schema.yaml"),
        (("broken",), "the contract of broken is not valid and cannot be compared with: schema.yaml:1:1: "),
    ],
)
def test_exit_code_2(work: Work, capsys: Capture, arguments: tuple[str, ...], words: str) -> None:
    text = work.text
    work.git("checkout", "--quiet", "--orphan", "other")
    work.git("rm", "--quiet", "-r", "--force", "--cached", ".")
    work.git("commit", "--quiet", "--allow-empty", "--message", "nothing")
    work.git("tag", "empty")
    work.write("package: iris.v1\n")
    work.commit()
    work.git("tag", "broken")
    work.write(text)
    try:
        code = diff(work, *arguments)
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code == 2
    assert words in capsys.readouterr().err


def test_exit_code_2_without_a_project_a_repository_or_a_sound_schema(
    tmp_path: Path, work: Work, capsys: Capture
) -> None:
    assert cli.main(["diff", "--project", str(tmp_path)]) == 2
    assert "is not a protoserve project" in capsys.readouterr().err
    alone = begin(tmp_path / "alone", git=False)
    assert diff(alone) == 2
    assert "is not in a git repository" in capsys.readouterr().err
    work.edit(("maximum: 25", "maximun: 25"))
    assert diff(work) == 2
    assert "unknown key 'maximun'" in capsys.readouterr().err


def test_in_a_project_without_protoserve(iris: Project, tmp_path: Path) -> None:
    """`make diff` and CI go through the script, which finds the generator of the project's template."""
    shutil.copytree(iris.path, tmp_path / "iris", ignore=shutil.ignore_patterns("__pycache__", ".venv"))
    work = Work(tmp_path / "iris", tmp_path / "iris")
    work.git("init", "--quiet", "--initial-branch", "main")
    work.commit()
    path = work.path / "schema.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("maximum: 30", "maximum: 25"), encoding="utf-8")
    script = [sys.executable, "scripts/generate.py"]
    environment = {**os.environ, "PROTOSERVE_GENERATOR": str(ROOT)}
    done = subprocess.run(
        [*script, "diff", "HEAD", "--format", "markdown"],
        cwd=work.path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("### Contract: breaking")
    done = subprocess.run([*script, "renumber"], cwd=work.path, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "no number is used twice\n"), done.stderr
