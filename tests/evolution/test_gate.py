"""`generate` refuses what breaks callers of a stable contract, before it writes anything, and says the ways out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from evolution.changes import CONTEXTS, ROWS, Row
from evolution.work import SCHEMA, Work, begin
from protoserve.emit import generated_files as codegen
from protoserve.emit.generated_files import Plan
from protoserve.schema.load import loads
from protoserve.schema.presets import preset_text
from support import create

Capture = pytest.CaptureFixture[str]
WIDTH = "        - {name: width, number: 2, type: float64}  # last\n"


@pytest.fixture
def work(tmp_path: Path) -> Work:
    """The stable contract, committed in a subfolder of a repository; nothing is generated yet."""
    made = begin(tmp_path / "repository", "services/iris")
    made.commit()
    return made


def test_a_breaking_change_is_refused_by_path_line_rule_and_ways_out(work: Work, capsys: Capture) -> None:
    work.edit(("maximum: 30", "maximum: 25"), (WIDTH, ""))
    before = work.files()
    assert work.generate() == 1
    assert work.files() == before
    out, err = capsys.readouterr()
    assert out == ""
    assert "schema.yaml:14:11: methods.Predict.request.fields.length.maximum: limit-narrowed (breaks request): " in err
    assert "methods.Predict.request.fields.width: field-removed (breaks wire, json, request): " in err
    assert "`deprecated: true`" in err
    assert "reserved: {numbers: [2], names: [width]}" in err
    assert "iris.v1 is stable" in err
    assert "2 changes break callers" in err
    assert "`protoserve version v2`" in err
    assert "`make generate ARGS=--accept-breaking`" in err


def test_undoing_an_uncommitted_edit_is_no_break(work: Work, capsys: Capture) -> None:
    added = WIDTH + "        - {name: colour, number: 3, type: string, required: false}\n"
    work.edit((WIDTH, added))
    assert work.generate() == 0
    work.write(SCHEMA)
    assert work.generate() == 0
    assert capsys.readouterr().err == ""


def test_accepted_a_field_and_a_value_leave_number_and_name_and_all_else_stays(work: Work, capsys: Capture) -> None:
    work.edit((WIDTH, ""), ("      - {name: versicolor, number: 2}\n", ""))
    assert work.generate("--accept-breaking") == 0
    assert work.text == (
        SCHEMA.replace(WIDTH, "      reserved: {numbers: [2], names: [width]}\n").replace(
            "      - {name: versicolor, number: 2}\n", "    reserved: {numbers: [2], names: [versicolor]}\n"
        )
    )
    out, err = capsys.readouterr()
    assert "wrote schema.yaml" in out
    assert "reserved in PredictRequest: 2, width" in err
    proto = (work.path / "proto/iris/v1/prediction.proto").read_text(encoding="utf-8")
    assert '  reserved 2;\n  reserved "width";\n' in proto
    assert '  reserved 2;\n  reserved "SPECIES_VERSICOLOR";\n' in proto
    assert work.generate("--check") == 0
    work.commit()
    assert work.generate() == 0


def test_an_accepted_change_leaves_nothing_where_nothing_is_gone(work: Work) -> None:
    work.edit(("maximum: 30", "maximum: 25"))
    assert work.generate("--accept-breaking") == 0
    assert work.text == SCHEMA.replace("maximum: 30", "maximum: 25")


def test_a_draft_is_warned_and_written(tmp_path: Path, capsys: Capture) -> None:
    work = begin(tmp_path, schema=SCHEMA.replace("stable", "draft"))
    work.commit()
    work.edit((WIDTH, ""))
    assert work.generate() == 0
    out, err = capsys.readouterr()
    assert "wrote proto/iris/v1/prediction.proto" in out
    assert "warning: schema.yaml:13:7: methods.Predict.request.fields.width: field-removed" in err
    assert "it is a draft" in err
    assert "reserved" not in work.text


def test_a_draft_beside_an_older_version_is_warned_in_one_line_and_what_to_write_comes_last(
    tmp_path: Path, capsys: Capture
) -> None:
    work = begin(tmp_path, schema=SCHEMA.replace("stable", "draft").replace("iris.v1", "iris.v2"))
    (work.path / "schemas").mkdir()
    (work.path / "schemas" / "v1.yaml").write_text(SCHEMA, encoding="utf-8")
    work.commit()
    work.edit((WIDTH, ""), ("maximum: 30", "maximum: 25"))
    assert work.generate() == 0
    warned, *asked = capsys.readouterr().err.splitlines()
    assert warned == (
        "protoserve: 2 changes break callers of iris.v2 since the last commit (`protoserve diff` or `make diff` lists "
        "them); it is a draft, so its files are written anyway"
    )
    assert "write `def predict_request_length(" in asked[-1]
    assert work.run("diff") == 1
    assert "limit-narrowed" in capsys.readouterr().out


def test_the_status_of_the_baseline_counts(work: Work, tmp_path: Path, capsys: Capture) -> None:
    work.edit(("status: stable", "status: draft"))
    assert work.generate() == 1, "the first half of a break in two commits"
    assert "status: stability-withdrawn" in capsys.readouterr().err
    work.edit(("maximum: 30", "maximum: 25"))
    assert work.generate() == 1
    assert "limit-narrowed" in capsys.readouterr().err
    assert work.generate("--accept-breaking") == 0

    draft = begin(tmp_path / "other", schema=SCHEMA.replace("stable", "draft"))
    draft.commit()
    draft.edit(("status: draft", "status: stable"), ("maximum: 30", "maximum: 25"))
    assert draft.generate() == 0, "nobody was promised anything about a draft"


def test_check_does_not_gate(work: Work, capsys: Capture) -> None:
    work.edit(("maximum: 30", "maximum: 25"))
    assert work.generate("--accept-breaking") == 0
    capsys.readouterr()
    assert work.generate("--check") == 0
    assert capsys.readouterr() == ("", "")


def test_a_contract_that_goes_is_a_break(work: Work, capsys: Capture) -> None:
    work.edit(("package: iris.v1", "package: iris.v2"))
    assert work.generate() == 1
    assert "package-removed (breaks wire): the contract iris.v1 is gone" in capsys.readouterr().err


def test_an_older_version_in_its_own_file_is_the_same_contract(work: Work, capsys: Capture) -> None:
    (work.path / "schemas").mkdir()
    (work.path / "schemas" / "v1.yaml").write_text(SCHEMA, encoding="utf-8")
    work.write(SCHEMA.replace("iris.v1", "iris.v2").replace("stable", "draft"))
    assert work.run("diff", "--format", "json") == 0
    assert [change["rule"] for change in json.loads(capsys.readouterr().out)["changes"]] == ["package-added"]
    (work.path / "schemas" / "v1.yaml").write_text(SCHEMA.replace("maximum: 30", "maximum: 25"), encoding="utf-8")
    assert work.run("diff", "--format", "json") == 1
    paths = [change["path"] for change in json.loads(capsys.readouterr().out)["changes"]]
    assert "schemas/v1.yaml#methods.Predict.request.fields.length.maximum" in paths


def test_a_version_that_was_ended_by_command_is_not_missed(work: Work, capsys: Capture) -> None:
    assert work.run("version", "v2") == 0
    assert work.generate() == 0, "v1 is what it was, in schemas/"
    work.commit()
    (work.path / "schemas" / "v1.yaml").write_text(SCHEMA.replace("maximum: 30", "maximum: 25"), encoding="utf-8")
    assert work.generate() == 1
    assert "schemas/v1.yaml:14:11: methods.Predict.request.fields.length.maximum" in capsys.readouterr().err
    work.git("checkout", "--quiet", ".")
    assert work.run("version", "--drop", "v1") == 0
    assert work.generate() == 0
    assert "package-removed" not in capsys.readouterr().err


def test_what_the_merged_branch_has_accepted_is_not_refused_again(work: Work, capsys: Capture) -> None:
    work.git("switch", "--quiet", "--create", "feature")
    work.edit(("{name: score, number: 2,", "{name: score, number: 2, doc: Better.,"))
    work.commit()
    work.git("switch", "--quiet", "main")
    work.edit((WIDTH, ""))
    assert work.generate("--accept-breaking") == 0
    work.commit("without width")
    work.git("switch", "--quiet", "feature")
    work.git("merge", "--quiet", "--no-commit", "main")
    capsys.readouterr()
    assert work.generate() == 0, capsys.readouterr().err
    work.edit(("maximum: 30", "maximum: 25"))
    assert work.generate() == 1, "neither side has done this"
    err = capsys.readouterr().err
    assert "limit-narrowed" in err
    assert "field-removed" not in err


# Renames.


@pytest.mark.parametrize("number", ["number: 2, ", ""])
def test_a_renamed_field_keeps_its_number_and_breaks_json_only(work: Work, capsys: Capture, number: str) -> None:
    work.edit((WIDTH, f"        - {{name: breadth, {number}type: float64, renamed_from: width}}  # last\n"))
    assert work.generate() == 1
    err = capsys.readouterr().err
    assert "methods.Predict.request.fields.breadth: field-renamed (breaks json): it was `width`" in err
    assert "field-removed" not in err
    assert work.generate("--accept-breaking") == 0
    assert "{name: breadth, number: 2, type: float64, renamed_from: width}" in work.text
    assert "reserved" not in work.text
    work.commit()
    assert work.generate() == 0, "the key may stay"


def test_a_renamed_value_keeps_its_number(work: Work, capsys: Capture) -> None:
    work.edit(("{name: versicolor, number: 2}", "{name: blue_flag, renamed_from: versicolor}"))
    assert work.generate() == 1
    assert "enums.Species.values.blue_flag: value-renamed (breaks json)" in capsys.readouterr().err
    assert work.generate("--accept-breaking") == 0
    assert "{name: blue_flag, number: 2, renamed_from: versicolor}" in work.text


def test_a_rename_of_nothing_is_told_until_it_is_committed(work: Work, capsys: Capture) -> None:
    work.edit((WIDTH, WIDTH + "        - {name: breadth, type: float64, required: false, renamed_from: widht}\n"))
    assert work.generate() == 0
    (told,) = capsys.readouterr().err.splitlines()
    path = "methods.Predict.request.fields.breadth.renamed_from"
    assert told.startswith(
        f"warning: schema.yaml:19:11: {path}: renamed-from-nothing: PredictRequest had no field 'widht'"
    )
    work.commit()
    assert work.generate() == 0
    assert capsys.readouterr().err == ""


# What the baseline is, where git cannot simply say.


def test_without_git_it_is_what_was_last_generated(tmp_path: Path, capsys: Capture) -> None:
    work = begin(tmp_path, git=False)
    assert work.generate() == 0
    assert "nothing to compare with" in capsys.readouterr().err
    work.edit(("maximum: 30", "maximum: 25"))
    before = work.files()
    assert work.generate() == 1
    assert "stable since what was last generated" in capsys.readouterr().err
    assert work.files() == before
    assert work.generate("--accept-breaking") == 0
    assert work.generate() == 0


@pytest.mark.parametrize("git", [False, True], ids=["without git", "no commit"])
def test_a_draft_that_was_never_committed_has_no_callers(tmp_path: Path, capsys: Capture, git: bool) -> None:
    work = begin(tmp_path, schema=SCHEMA.replace("stable", "draft"), git=git)
    assert work.generate() == 0
    capsys.readouterr()
    work.write(preset_text("text"))
    assert work.generate() == 0
    assert capsys.readouterr().err == ""


def test_a_new_project_is_compared_with_its_seed(template: Path, tmp_path: Path) -> None:
    (tmp_path / "stable.yaml").write_text(SCHEMA, encoding="utf-8")
    project = create(template, tmp_path / "iris", framework="python", schema=str(tmp_path / "stable.yaml"))
    path = project.path / "schema.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("maximum: 30", "maximum: 25"), encoding="utf-8")
    done = project.python("scripts/generate.py", check=False)
    assert done.returncode == 1
    assert "limit-narrowed" in done.stderr


@pytest.mark.parametrize("tracked", [False, True], ids=["no commit", "schema.yaml untracked"])
def test_before_the_first_commit_it_is_what_was_last_generated(tmp_path: Path, capsys: Capture, tracked: bool) -> None:
    work = begin(tmp_path)
    if tracked:
        work.git("commit", "--quiet", "--allow-empty", "--message", "empty")
    assert work.generate() == 0
    work.edit(("maximum: 30", "maximum: 25"))
    assert work.generate() == 1
    assert "limit-narrowed" in capsys.readouterr().err
    work.write(SCHEMA)
    work.commit()
    work.edit(("maximum: 30", "maximum: 35"))
    assert work.generate() == 0, "git knows it from now on"
    assert (work.path / ".protoserve" / "last" / "schema.yaml").read_bytes() == work.schema.read_bytes()


def test_a_committed_schema_that_is_not_sound_is_told(work: Work, capsys: Capture) -> None:
    work.write(SCHEMA.replace("number: 2, type: float64", "number: 1, type: float64"))
    work.commit("a merge without a look")
    work.write(SCHEMA.replace("maximum: 30", "maximum: 25"))
    assert work.generate() == 1
    err = capsys.readouterr().err
    assert "schema.yaml of the last commit is not valid; compared with" in err
    assert "limit-narrowed" in err


def test_no_sound_commit_is_told_and_nothing_is_refused(tmp_path: Path, capsys: Capture) -> None:
    work = begin(tmp_path, schema="package: iris.v1\n")
    work.commit()
    work.write(SCHEMA)
    assert work.generate() == 0
    err = capsys.readouterr().err
    assert "breaking changes are not checked: schema.yaml:1:1: `methods` is missing" in err


def test_a_shallow_clone_knows_its_last_commit(work: Work, tmp_path: Path, capsys: Capture) -> None:
    for message in ("second", "third", "fourth"):
        work.commit(message)
    work.git("clone", "--quiet", "--depth", "1", f"file://{work.root}", str(tmp_path / "clone"))
    clone = Work(tmp_path / "clone" / "services" / "iris", tmp_path / "clone")
    clone.edit(("maximum: 30", "maximum: 25"))
    assert clone.generate() == 1
    # The command in the message gets the revision that is missing; the last one gets the whole history.
    work.git("branch", "other")
    work.git("tag", "--annotate", "v0.9", "--message", "a release", "HEAD~2")
    commit = work.git("rev-parse", "HEAD~3")
    for revision, known in {"origin/other": "FETCH_HEAD", "v0.9": "FETCH_HEAD", commit: "HEAD~3"}.items():
        capsys.readouterr()
        assert clone.run("diff", "HEAD~3") == 2
        assert "git does not have HEAD~3 in this shallow clone: get all" in capsys.readouterr().err
        assert clone.run("diff", revision) == 2
        message = capsys.readouterr().err
        assert f"git does not have {revision} in this shallow clone: " in message
        clone.git(*message.split("`")[1].split()[1:])
        assert clone.run("diff", known) == 1, message


def test_without_git_installed_it_is_told(work: Work, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(work.root / "nothing"))
    assert work.generate() == 0
    assert "breaking changes are not checked: git is not installed" in capsys.readouterr().err


def test_in_a_hook_it_is_the_repository_of_the_project(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = begin(tmp_path / "other")
    monkeypatch.setenv("GIT_DIR", str(other.root / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.root))
    work.edit(("maximum: 30", "maximum: 25"))
    assert work.generate() == 1


# The whole table.

IN_CONTEXT = [(row, context) for row in ROWS for context in CONTEXTS]
BREAKING = [case for case in IN_CONTEXT if case[0].breaking(case[1])]
COMPATIBLE = [case for case in IN_CONTEXT if not case[0].breaking(case[1])]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Work:
    return begin(tmp_path_factory.mktemp("table"))


def changed(work: Work, old: str, new: str) -> None:
    """A commit with the old schema, and the new one on disk."""
    work.write(old)
    work.commit()
    work.write(new)


def refused(work: Work, cases: list[tuple[Row, str]]) -> None:
    for row, context in cases:
        changed(work, *row.schemas(context, "iris.v1"))
        before = work.files()
        assert work.generate() == 1, (row, context)
        assert work.files() == before, (row, context)


def taken(work: Work, cases: list[tuple[Row, str]]) -> None:
    for row, context in cases:
        changed(work, *row.schemas(context, "iris.v1"))
        assert work.generate() == 0, (row, context)
        assert work.generate("--check") == 0, (row, context)
        assert loads(work.text).status == "stable"


def test_breaking_rows_write_nothing(table: Work) -> None:
    refused(table, BREAKING[::20])


def test_compatible_rows_generate_and_pass_check(table: Work) -> None:
    taken(table, COMPATIBLE[::60])


def once(cases: list[tuple[Row, str]]) -> list[tuple[Row, str]]:
    """Each row once, in one context after the other: what is written does not depend on the direction."""
    turned = sorted(cases, key=lambda case: (ROWS.index(case[0]), (CONTEXTS.index(case[1]) + ROWS.index(case[0])) % 3))
    return list({row.name: (row, context) for row, context in turned}.values())


@pytest.mark.slow
def test_all_breaking_rows_write_nothing(table: Work) -> None:
    assert len(once(BREAKING)) > 120
    refused(table, once(BREAKING))


@pytest.mark.slow
def test_all_compatible_rows_generate_and_pass_check(table: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `--check` wants is what `generate` made of the same text, which other tests hold; here it is made once."""
    made: dict[str, Plan] = {}
    real = codegen.plan

    def plan(project: Path, package: str, texts: dict[str, str] | None = None) -> Plan:
        text = table.text if texts is None else texts["schema.yaml"]
        if text not in made:
            made[text] = real(project, package, texts)
        return made[text]

    monkeypatch.setattr(codegen, "plan", plan)
    assert len(once(COMPATIBLE)) > 90
    taken(table, once(COMPATIBLE))
