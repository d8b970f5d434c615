"""`protoserve new` in this process: folders, answers that are refused, and answers that are kept."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from protoserve.cli import main
from protoserve.project.new.copier_session import Question
from protoserve.project.new.prompts import TerminalPrompter
from protoserve.project.new.schema_question import SchemaQuestion
from terminal import BACKSPACE, CTRL_C, CTRL_R, DOWN, ENTER, SPACE


def recorded(project: Path) -> dict[str, Any]:
    answers: dict[str, Any] = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    return answers


def test_answers_are_kept_when_the_creation_fails(
    forms: Path,
    tmp_path: Path,
    typed: Callable[[str], None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    template = tmp_path / "template"
    shutil.copytree(forms, template)
    questions = template.joinpath("copier.yml")
    sound = questions.read_text(encoding="utf-8")
    questions.write_text(f"_tasks: [exit 3]\n{sound}", encoding="utf-8")
    (tmp_path / "my x.answers.yml").write_text("not ours", encoding="utf-8")
    typed(
        f"{ENTER}{ENTER}a@b{ENTER}n{ENTER}{ENTER}{ENTER}\x1b{ENTER}{ENTER}hidden{ENTER}{ENTER}{ENTER}{ENTER}mine{ENTER}"
    )
    assert main(["new", "my x", "--template", str(template), "--data", "team=risk"]) == 1
    told = capfd.readouterr().err.splitlines()[-1]
    assert told == (
        f"protoserve: your answers are kept; continue with: protoserve new 'my x' --template {template} "
        "--answers 'my x.answers-2.yml'"
    )
    kept = tmp_path / "my x.answers-2.yml"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert "hidden" not in kept.read_text(encoding="utf-8")
    assert (tmp_path / "my x.answers.yml").read_text(encoding="utf-8") == "not ours"
    assert not (tmp_path / "my x").exists()

    # It goes on with the one that must not be kept; then with one that is wrong.
    wrong = kept.read_text(encoding="utf-8").replace('owner: "a@b"', "owner: nobody")
    kept.write_text(wrong, encoding="utf-8")
    questions.write_text(sound, encoding="utf-8")
    typed(f"{BACKSPACE * 6}c@d{ENTER}{ENTER}")
    assert main(["new", "my x", "--template", str(template), "--answers", kept.name]) == 0
    assert {name: recorded(tmp_path / "my x")[name] for name in ("team", "owner", "only_cpu")} == {
        "team": "risk",
        "owner": "c@d",
        "only_cpu": "mine",
    }


def refused(capfd: pytest.CaptureFixture[str], *command: str) -> str:
    """The one line of a command that is refused."""
    assert main(["new", *command]) == 1, command
    lines = capfd.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("protoserve: ")
    return lines[0].removeprefix("protoserve: ")


def test_what_the_policy_of_the_template_allows_is_offered(
    forms: Path, tmp_path: Path, typed: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    """Answers of the command line, defaults, typed texts, choices, and answers that are wrong together."""
    template = tmp_path / "template"
    shutil.copytree(forms, template)
    (template / "policy.yaml").write_text(
        "answers:\n  why: audited\n  properties:\n"
        "    gpu: {const: true}\n    replicas: {minimum: 3}\n    size: {enum: [1]}\n"
        "  not: {properties: {zones: {const: [a]}}, required: [zones]}\n",
        encoding="utf-8",
    )
    command = ["new", str(tmp_path / "x"), "--template", str(template), "--data", "owner=a@b"]
    assert "gpu must be true, not false: audited (answers.gpu in policy.yaml); answer it with --data gpu=" in refused(
        capfd, *command[1:], "--defaults"
    )
    given = [*command, "--data", "team=risk", "--data", "included=x", "--data", "token=x"]
    assert "replicas must be at least 3, not 2: audited (answers.replicas in policy.yaml)" in refused(
        capfd, *given[1:], "--data", "gpu=true", "--data", "replicas=2"
    )
    data = [part for pair in ("labels=[1]", "limits=7", "ratio=0.5", "folder=.") for part in ("--data", pair)]
    # gpu is flipped; replicas is empty, refused, and answered; tier as offered; size is the only one that is allowed.
    typed(f"{ENTER}2{ENTER}{BACKSPACE}3{ENTER}{ENTER}{ENTER}{ENTER}")
    assert main([*given, *data]) == 0
    assert recorded(tmp_path / "x") | {"gpu": True, "replicas": 3, "size": 1} == recorded(tmp_path / "x")


def test_a_folder_that_cannot_be_a_project_is_refused_in_words(
    forms: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("", encoding="utf-8")
    Path("broken").symlink_to("nowhere")
    Path("loop").symlink_to("loop")
    Path("full").mkdir()
    for name in "abcdefg":
        Path("full", name).mkdir()
    Path("old").mkdir()
    Path("old/.copier-answers.yml").write_text("", encoding="utf-8")
    before = sorted(map(str, Path().rglob("*")))
    for dest, said in {
        "file": "file is a file, not a folder: choose another name",
        "file/x": "file/x cannot be created: file is a file; choose another folder",
        "broken": "broken is a symbolic link to nowhere, which does not exist: choose another folder",
        "broken/x": "broken/x cannot be created: broken is a symbolic link to nothing; choose another folder",
        "loop": "loop",
        "full": "full is not empty, it has a, b, c, d, e and 2 more: choose a folder that does not exist, or bring the "
        "server in this one under the template with `protoserve adopt full`",
        ".": f"{tmp_path} is not empty, it has broken, file, full, loop, old: choose",
        "old": "it is a protoserve project already; `protoserve update old` brings it to the newest template",
        "x" * 300: "the name is too long; choose a shorter one",
        " ": "DEST is empty: name the folder of the project, such as iris",
        "/proc/x/y": "/proc/x/y cannot be written (No such file or directory): choose another folder",
        "\udcff": "must be UTF-8: choose another name",
    }.items():
        assert said in refused(capfd, dest, "--defaults", "--template", str(forms))
    assert sorted(map(str, Path().rglob("*"))) == before


@pytest.mark.parametrize("dest", [".", "a/new/one", "-dash", "with space \u00e9\u6570", "$HOME", "link", "repository"])
def test_any_other_folder_becomes_a_project(
    forms: Path, tmp_path: Path, dest: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if dest == "link":
        (tmp_path / "target").mkdir()
        Path("link").symlink_to("target")
    if dest == "repository":
        (tmp_path / "repository" / ".git").mkdir(parents=True)
    options = ["--defaults", "--template", str(forms), "--data", "owner=a@b"]
    assert main(["new", *options, "--", dest]) == 0
    assert recorded(tmp_path / dest)["owner"] == "a@b"


def test_a_failure_leaves_the_folder_as_it_was(forms: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    template = tmp_path / "template"
    shutil.copytree(forms, template)
    questions = template / "copier.yml"
    text = questions.read_text(encoding="utf-8")
    empty = tmp_path / "empty"
    (empty / ".git").mkdir(parents=True)
    for dest in (empty, tmp_path / "some" / "new"):
        for task in ("exit 3", "kill -TERM $PPID; (sleep 0.5; mkdir late) & sleep 1", "kill -INT $PPID; echo a >&2"):
            questions.write_text(f"_tasks: ['mkdir -p a/b; {task}']\n{text}", encoding="utf-8")
            code = main(["new", str(dest), "--defaults", "--template", str(template), "--data", "owner=a@b"])
            err = capfd.readouterr().err
            assert (code, err) == {
                "e": (1, ""),
                "T": (143, "protoserve: terminated; nothing was created\n"),
                "I": (130, "protoserve: interrupted; nothing was created\n"),
            }[task.removeprefix("kill -")[0]]
            assert sorted(path.name for path in tmp_path.rglob("*") if template not in path.parents) == [
                ".git",
                "empty",
                "template",
            ]


def test_an_answer_to_a_question_that_is_not_asked_is_refused_by_name(
    forms: Path, template: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ["--defaults", "--template", str(forms), "--data", "owner=a@b"]
    for name, said in {
        "only_cpu": "only_cpu is answered, but with these answers it is not asked (its condition: not gpu)",
        "computed": "computed is answered, but with these answers it is not asked (its condition: False)",
        "flavour": "flavour is not a question of this template: leave it out. Its questions: included, team, owner",
    }.items():
        assert said in refused(capfd, str(tmp_path / "x"), *options, "--data", "gpu=yes", "--data", f"{name}=1")
    assert "port is not a question of this template" in refused(capfd, str(tmp_path / "x"), *options, "--port", "9000")
    vertex = ["--defaults", "--template", str(template), "--vertex-region", "europe-west4"]
    said = refused(capfd, str(tmp_path / "x"), *vertex)
    assert "vertex_region is answered" in said
    assert "'vertex-ai' in platforms" in said
    assert os.listdir(tmp_path) == []

    assert main(["new", str(tmp_path / "x"), *options, "--data", "silent=loud", "--data", "zones=[a, c]"]) == 0
    assert recorded(tmp_path / "x")["silent"] == "loud"
    assert recorded(tmp_path / "x")["zones"] == ["a", "c"]


def test_without_a_terminal_the_unanswered_questions_are_named(
    forms: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    answers = tmp_path / "answers.yml"
    answers.write_text("{included: a, team: b, owner: c@d, replicas: 1, ratio: 1, limits: 1, labels: [], size: 4}\n")
    options = ["--template", str(forms), "--answers", str(answers)]
    said = refused(capfd, str(tmp_path / "x"), *options)
    assert said == (
        "there is no terminal to ask at, and these questions are not answered: --data gpu=..., --data folder=..., "
        "--data token=..., --data tier=..., --data zones=..., --data only_cpu=.... Add these options, or --defaults to "
        "take the defaults"
    )
    without_owner = answers.read_text(encoding="utf-8").replace("owner: c@d, ", "")
    answers.write_text(without_owner, encoding="utf-8")
    assert "not answered: --data owner=..., --data gpu=..." in refused(capfd, str(tmp_path / "x"), *options)
    wrong = without_owner.replace("replicas: 1", "owner: c@d, replicas: many")
    answers.write_text(wrong, encoding="utf-8")
    assert refused(capfd, str(tmp_path / "x"), *options, "--defaults") == "replicas must be an integer, not many"
    assert not (tmp_path / "x").exists()


PASTED = "\x1b[200~a: int32,\r\n  b: int32 -> c: bool\x1b[201~"


def test_start_over_keeps_what_was_answered(template: Path, tmp_path: Path, typed: Callable[[str], None]) -> None:
    typed(f"Mine{ENTER}{ENTER}{ENTER}{ENTER}8500{ENTER}{PASTED}{ENTER}{DOWN}{DOWN}{ENTER}")
    typed(f"{ENTER}{ENTER}{ENTER}{ENTER}{ENTER}{ENTER}{CTRL_C}")
    seen = []
    ask = TerminalPrompter.ask

    def remember(self: TerminalPrompter, question: Question, *arguments: Any) -> Any:
        seen.append((question.var_name, question.get_default()))
        return ask(self, question, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TerminalPrompter, "ask", remember)
        assert main(["new", str(tmp_path / "x"), "--template", str(template)]) == 130
    defaults = [default for _, default in seen[6:12]]
    assert defaults == ["Mine", "mine", "A gRPC model server.", "sklearn", "8500", "a: int32, b: int32 -> c: bool"]


def test_an_answer_that_clashes_with_an_earlier_one_is_no_dead_end(
    template: Path, tmp_path: Path, typed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = [
        "--data=project_name=x",
        "--package=x",
        "--data=description=x",
        "--framework=python",
        "--python-version=3.12",
    ]
    asked = []
    ask = TerminalPrompter.ask
    monkeypatch.setattr(
        TerminalPrompter,
        "ask",
        lambda self, question, *arguments: (asked.append(question.var_name), ask(self, question, *arguments))[1],
    )
    typed(f"8080{ENTER}{SPACE}{ENTER}{CTRL_R}{BACKSPACE * 4}9000{ENTER}{SPACE}{ENTER}{CTRL_C}")
    new = ["new", str(tmp_path / "x"), "--template", str(template), *data, "--schema", "text"]
    assert main(new) == 130
    assert asked == ["port", "platforms", "platforms", "port", "platforms", "vertex_project"]


def test_the_generator_of_the_template_judges_the_schema(
    template: Path, tmp_path: Path, typed: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be newer than this protoserve, or a team's own; one that is too old to be asked judges in the end."""
    theirs = tmp_path / "theirs"
    shutil.copytree(template, theirs, ignore=shutil.ignore_patterns("template"))
    rules = theirs / "generator" / "protoserve" / "schema" / "rules.py"
    text = rules.read_text(encoding="utf-8")
    assert "unknown type" in text
    rules.write_text(text.replace("unknown type", "a type that our team does not know"), encoding="utf-8")
    refused, shown = [], []
    refuse, confirm = TerminalPrompter.refuse, SchemaQuestion.shown
    monkeypatch.setattr(TerminalPrompter, "refuse", lambda self, why: (refused.append(str(why)), refuse(self, why)))

    def remember(self: SchemaQuestion, answer: str, answers: Any) -> str:
        shown.append(confirm(self, answer, answers))
        return shown[-1]

    monkeypatch.setattr(SchemaQuestion, "shown", remember)
    data = ["--data=project_name=x", "--package=x", "--data=description=x", "--framework=python", "--port=9000"]
    typed(f"a: in -> b: bool{ENTER}{BACKSPACE * 11}t32 -> b: bool{ENTER}{ENTER}{CTRL_C}")
    assert main(["new", str(tmp_path / "x"), "--template", str(theirs), *data]) == 130
    assert "a type that our team does not know" in refused[0]
    assert "optional int32 a = 1;" in shown[0]

    commands = theirs / "generator" / "protoserve" / "shared_commands.py"
    text = commands.read_text(encoding="utf-8")
    commands.write_text(text.replace("(CREATE, PREVIEW, ", "(CREATE, "), encoding="utf-8")
    typed(f"a: int -> b: bool{ENTER}{CTRL_C}")
    assert main(["new", str(tmp_path / "x"), "--template", str(theirs), *data]) == 130
    assert (len(refused), shown[1]) == (1, "")
