"""The questions at a terminal: what the screen shows, what is refused, and that nothing is left behind."""

from __future__ import annotations

import os
import re
import shlex
import signal
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import yaml

from protoserve.cli import main
from support import ROOT, tool
from terminal import BACKSPACE, CTRL_C, DOWN, ENTER, SPACE, TAB, Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs pseudo-terminals")

QUESTIONS = {
    name: question
    for name, question in yaml.safe_load((ROOT / "copier.yml").read_text(encoding="utf-8")).items()
    if not name.startswith("_") and question.get("ask", True)
}
SIGNATURE = "age: int32, income: float64 -> limit: float64"


def words(text: str) -> str:
    return " ".join(text.split())


def recorded(project: Path) -> dict[str, Any]:
    answers: dict[str, Any] = yaml.safe_load((project / ".copier-answers.yml").read_text(encoding="utf-8"))
    return answers


def test_every_question_of_protoserve_new(template: Path, tmp_path: Path) -> None:
    (tmp_path / "credit.yaml").write_text("methods: {}\n", encoding="utf-8")
    new = [tool("protoserve"), "new", "credit", "--template", template]
    with Terminal(new, cwd=tmp_path, columns=60, rows=50) as terminal:

        def prompts() -> int:
            return sum(line.startswith("  >") for line in terminal.lines())

        def answer(name: str, keys: str, refused: str = "", then: str = "") -> None:
            help_text = words(QUESTIONS[name]["help"])
            terminal.wait_until(lambda: help_text in words(terminal.text()), f"no {help_text!r}")
            terminal.prompt("", mark="  >")
            drawn = prompts()
            terminal.send(keys)
            if refused:
                terminal.wait_until(lambda: refused in words(terminal.text()) and prompts() > drawn, f"no {refused!r}")
                terminal.send(then)

        answer("project_name", SPACE + ENTER, "give a name, such as Fraud scores", f"{BACKSPACE}Credit{ENTER}")
        answer("package", f"json{ENTER}", "a keyword or a module of Python's own", BACKSPACE * 4 + f"credit{ENTER}")
        answer("description", "x" * 201 + ENTER, "at most 200 characters", BACKSPACE * 201 + f"Limits.{ENTER}")
        answer("framework", DOWN * 5 + ENTER)
        # What is typed takes the place of the default; what was refused can be edited.
        answer("port", f"80{ENTER}", "integer from 1024 to 65535", f"85{ENTER}")
        answer("schema", f"age: int23 -> limit: float64{ENTER}", "unknown type 'int23'", BACKSPACE * 40)
        lines = terminal.lines()
        caret = next(number for number, line in enumerate(lines) if line.strip() == "^")
        assert lines[caret - 1][lines[caret].index("^") :].startswith("int23")
        terminal.send(f"cred{TAB}")
        terminal.wait_for("> credit.yaml")
        drawn = prompts()
        terminal.send(ENTER)
        terminal.wait_until(lambda: "credit.yaml:1:" in terminal.text() and prompts() > drawn, "no refusal")
        terminal.send(BACKSPACE * 40 + f"te{TAB}")
        terminal.wait_until(lambda: {"text", "tensors"} <= set(terminal.text().split()), "no presets")
        terminal.send(BACKSPACE * 40 + SIGNATURE + ENTER)
        terminal.wait_for("Yes, go on")
        assert "optional int32 age = 1;" in terminal.text()
        assert '"income": 1.0' in terminal.text()
        terminal.send(DOWN + ENTER)  # edit
        terminal.prompt("No, edit the answer", mark=SIGNATURE[-20:])
        terminal.send(f", ok: bool{ENTER}")
        terminal.wait_for("optional bool ok = 2;")
        terminal.prompt("Is this what", mark="(arrow keys")
        terminal.send(ENTER)
        answer("python_version", ENTER)
        answer("platforms", SPACE + ENTER)
        answer("vertex_project", f"Mine{ENTER}", "must be a project id", BACKSPACE * 4 + f"my-models{ENTER}")
        answer("vertex_region", f"global{ENTER}", "must be a region", BACKSPACE * 6 + f"europe-west4{ENTER}")
        answer("vertex_repository", f"A{ENTER}", "must be a repository name", BACKSPACE + f"images{ENTER}")
        answer("vertex_machine", f"large{ENTER}", "must be a machine type", BACKSPACE * 5 + f"n1-standard-4{ENTER}")
        assert terminal.wait() == 0, terminal.text()
        assert "credit is ready" in words(terminal.text()).lower()
        assert "..." not in [line.strip() for line in terminal.lines()]
    answers = {name: answer for name, answer in recorded(tmp_path / "credit").items() if name in QUESTIONS}
    assert answers == {
        "project_name": "Credit",
        "package": "credit",
        "description": "Limits.",
        "framework": "python",
        "port": 8085,
        "schema": f"{SIGNATURE}, ok: bool",
        "python_version": "3.12",
        "platforms": ["vertex-ai"],
        "vertex_project": "my-models",
        "vertex_region": "europe-west4",
        "vertex_repository": "images",
        "vertex_machine": "n1-standard-4",
    }


def test_every_question_of_bare_copier(template: Path, tmp_path: Path) -> None:
    copy = [tool("copier"), "copy", "--trust", "--data", "vertex_project=my-models", template, "iris"]
    with Terminal(copy, cwd=tmp_path, columns=80, rows=60) as terminal:

        def answer(name: str, keys: str, line: str | None = None) -> None:
            """Waits until every line of the question can be read to its end, and for the default below it."""
            for help_line in QUESTIONS[name]["help"].splitlines():
                terminal.wait_for(help_line)
            default = QUESTIONS[name]["default"] if line is None else line
            terminal.wait_until(lambda: default in terminal.current_line(), f"no {default!r} below {name}")
            terminal.send(keys)

        answer("project_name", ENTER)
        answer("package", ENTER, "iris")
        answer("description", ENTER)
        answer("framework", ENTER, "Use arrow keys")
        answer("port", BACKSPACE * 4 + f"http{ENTER}")
        terminal.wait_for("'port': must be an integer from 1024 to 65535")
        terminal.send(BACKSPACE * 4 + f"8500{ENTER}")
        answer("schema", ENTER)
        assert re.search(r"server listen\?\n +8500\n", terminal.text()), terminal.text()
        answer("python_version", ENTER, "Use arrow keys")
        answer("platforms", SPACE + ENTER, "Use arrow keys")
        answer("vertex_region", ENTER)
        answer("vertex_repository", ENTER)
        answer("vertex_machine", CTRL_C)
        assert terminal.wait() == 1
    assert not (tmp_path / "iris").exists()


def test_every_form_of_a_question(forms: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with Terminal(
        [tool("protoserve"), "new", "x", "--template", forms], cwd=tmp_path, columns=40, rows=50, env={"NO_COLOR": "1"}
    ) as terminal:

        def answer(question: str, keys: str, mark: str = "  >") -> None:
            terminal.wait_until(lambda: question in words(terminal.text()), f"no {question!r}")
            terminal.prompt("", mark)
            terminal.send(keys)

        answer("included", ENTER, "from another file")
        answer("team", f"risk{ENTER}")
        answer("谢谢", f"nobody{ENTER}", "somebody@example.com")
        answer("owner must be an address with an @, such as somebody@example.com", f"@example.com{ENTER}")
        answer("With a GPU?", "y", "(y/N)")
        answer("replicas (int)", f"two{ENTER}")
        answer("replicas must be an integer, not two", BACKSPACE * 3 + f"3{ENTER}")
        answer("ratio (float)", f"half{ENTER}")
        answer("ratio must be a number, not half", BACKSPACE * 4 + f"0.25{ENTER}")
        answer("limits (yaml)", f"[{ENTER}", "> 7")
        answer("limits must be valid YAML", BACKSPACE + f"'5'{ENTER}")
        terminal.wait_for("  1,\n    2")
        terminal.send(f"\x1b{ENTER}")
        answer("folder (path)", f"{BACKSPACE}da{TAB}")
        terminal.wait_for("> data/")
        terminal.send(ENTER)
        answer("token", f"secret{ENTER}")
        answer("tier", DOWN + ENTER, "(arrow keys")
        answer("size (int)", DOWN + ENTER, "(arrow keys")
        answer("zones", DOWN + SPACE + ENTER, "(arrow keys")
        answer("zones must have at least one", SPACE + ENTER, "(Ctrl-R")
        assert terminal.wait() == 0, terminal.text()
        text = terminal.text()
        assert "secret" not in text
        assert "x86" not in text
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", terminal.output), "no colours with NO_COLOR"
    answers = recorded(tmp_path / "x")
    answers.pop("_src_path")
    assert answers == {
        "included": "from another file",
        "team": "risk",
        "owner": "nobody@example.com",
        "gpu": True,
        "replicas": 3,
        "ratio": 0.25,
        "limits": "5",
        "labels": [1, 2],
        "folder": "data/",
        "tier": "silver",
        "size": 1,
        "zones": ["a", "b"],
        "silent": "quiet",
    }


def test_ctrl_c_at_every_question_leaves_nothing(
    template: Path, tmp_path: Path, typed: Callable[[str], None], capfd: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("tmp").mkdir()
    new = ["new", str(tmp_path / "some" / "folder"), "--template", str(template)]
    proto = tmp_path / "tmp" / "some.proto"
    proto.write_text(
        'syntax = "proto3"; package a.v1; message M { string s = 1; } service S { rpc P(M) returns (M); }',
        encoding="utf-8",
    )
    given: list[str] = []
    for name, question in QUESTIONS.items():
        if name == "serve":  # which is asked of a .proto: see below
            continue
        # The schema is confirmed.
        for keys in (CTRL_C, ENTER + CTRL_C) if name == "schema" else (CTRL_C,):
            typed(keys)
            assert main([*new, *given]) == 130, name
            assert capfd.readouterr().err == "protoserve: interrupted; nothing was created\n", name
            assert [path.name for path in tmp_path.iterdir()] == ["tmp"], name
        answer = {"package": "iris", "platforms": "[vertex-ai]"}.get(name, question["default"])
        given += ["--data", f"{name}={answer}"]
    typed(CTRL_C)
    assert main([*new, "--schema", str(proto), "--data", "project_name=x", *given[2:10]]) == 130
    assert capfd.readouterr().err == "protoserve: interrupted; nothing was created\n"


@pytest.mark.slow
def test_a_signal_at_any_of_twenty_moments_of_the_creation_leaves_nothing(template: Path, tmp_path: Path) -> None:
    def create(number: int, seconds: float) -> tuple[int, float, list[str], list[str]]:
        """Exit code, seconds it took, what was printed and what is left, if the signal comes after so many seconds."""
        work = tmp_path / str(number)
        (work / "tmp").mkdir(parents=True)
        if number % 2:
            (work / "new").mkdir()
        new = [tool("protoserve"), "new", "new", "--defaults", "--template", template]
        begin = time.monotonic()
        with Terminal(new, cwd=work, env={"TMPDIR": str(work / "tmp")}) as terminal:
            while (left := begin + seconds - time.monotonic()) > 0 and terminal.read(min(left, 0.05)):
                pass
            if left <= 0 and number % 4 < 2:
                terminal.interrupt()
            elif left <= 0:
                os.kill(terminal.pid, signal.SIGTERM)
            code = terminal.wait()
            took = time.monotonic() - begin
            files = sorted(path.relative_to(work).as_posix() for path in work.rglob("*"))
            return code, took, terminal.lines(), files

    code, seconds, _, _ = create(100, 600)
    assert code == 0
    with ThreadPoolExecutor(2) as pool:
        # The first quarter is Python's own start, and imports.
        results = list(pool.map(create, range(20), [seconds * (0.26 + number / 36) for number in range(20)]))
    stopped = 0
    for number, (code, _, printed, files) in enumerate(results):
        if any("is ready" in line for line in printed):  # it was faster than the signal, or Python was about to end
            assert code in (0, -signal.SIGINT, -signal.SIGTERM), number
            assert "new/schema.yaml" in files
            continue
        stopped += 1
        word, expected = ("interrupted", 130) if number % 4 < 2 else ("terminated", 143)
        if printed == ["protoserve: interrupted; nothing was changed"]:  # on a busy machine, before the command began
            assert (word, code) == ("interrupted", 130), number
        else:
            assert (code, printed) == (expected, [f"protoserve: {word}; nothing was created"]), number
        assert files == (["new", "tmp"] if number % 2 else ["tmp"]), number
    assert stopped >= 15


@pytest.mark.slow
def test_bare_copier_continues_with_the_answers_that_the_generator_kept(template: Path, tmp_path: Path) -> None:
    (tmp_path / "my work").mkdir()
    answers = [
        "package=credit",
        "framework=python",
        "port=9100",
        "python_version=3.13",
        "platforms=[]",
        "project_name=C",
    ]
    data = [part for answer in answers for part in ("--data", answer)]
    copy = [tool("copier"), "copy", "--trust", *data, template, "my credit"]
    with Terminal(copy, cwd=tmp_path / "my work", columns=400) as terminal:
        terminal.wait_for("What does it serve")
        terminal.wait_until(lambda: "model server" in terminal.current_line(), "no default")
        terminal.send(f" For credit.{ENTER}")
        terminal.wait_for("from then on")
        terminal.wait_until(lambda: "tabular" in terminal.current_line(), "no default")
        terminal.send(BACKSPACE * 7 + f"age: in32 -> limit: float64{ENTER}")
        assert terminal.wait() == 1
        (kept,) = [line for line in terminal.lines() if "your answers are kept" in line]
    command = shlex.split(kept.partition("continue with: ")[2])
    assert command[0] == "copier"
    with Terminal([tool("copier"), *command[1:]], cwd=tmp_path / "my work", columns=400) as terminal:
        terminal.wait_for("from then on")
        terminal.wait_until(lambda: "tabular" in terminal.current_line(), "no default")
        terminal.send(BACKSPACE * 7 + SIGNATURE + ENTER)
        assert terminal.wait() == 0, terminal.text()
    answered = recorded(tmp_path / "my work" / "my credit")
    assert answered["description"] == "A gRPC model server. For credit."
    assert (answered["schema"], answered["port"]) == (SIGNATURE, 9100)
