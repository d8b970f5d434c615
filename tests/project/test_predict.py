"""The request of `make predict` reaches the server as it was typed, and one that is not a request gets words."""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from support import Project, run
from workplace import HANDED_DOWN

# What make, a shell or the environment of a process could change on the way.
TEXTS = (
    '{"text": "it costs $5"}',
    """{"text": "it's \\"here\\""}""",
    '{"text": "$(touch made) $(shell touch made) `touch made` ${HOME} $$"}',
    r'{"text": "\\server\n C:\\x \u00e4"}',
    '{"text": "# 100 % ; | & > * ? ~ ! ä 漢 😀"}',
    '{\n  "text":\t"two   lines"\n}\n',
)


@pytest.fixture(scope="module")
def typed(iris: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose python prints its arguments in place of running something, each with a NUL behind it."""
    folder = tmp_path_factory.mktemp("typed") / "my iris"
    shutil.copytree(iris.path, folder, ignore=shutil.ignore_patterns("__pycache__"))
    python = folder / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("#!/bin/sh\nprintf '%s\\0' \"$@\"\n", encoding="utf-8")
    python.chmod(0o755)
    (folder / "local.mk").write_text("again:\n\t@$(MAKE) -s --no-print-directory predict\n", encoding="utf-8")
    return folder


def arguments(folder: Path, *command: str, **variables: str) -> list[str]:
    """What `make COMMAND` hands to python."""
    environment = {name: value for name, value in os.environ.items() if name not in HANDED_DOWN}
    done = subprocess.run(
        ["make", "-s", *command], cwd=folder, env={**environment, **variables}, capture_output=True, check=True
    )
    assert not (folder / "made").exists()
    return done.stdout.decode().split("\0")[:-1]


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("text", TEXTS)
def test_data_arrives_as_it_was_typed(typed: Path, text: str, shell: str) -> None:
    if not Path(shell).exists():
        pytest.skip(f"there is no {shell}")
    asked = ["scripts/predict.py", f"--data={text}"]
    assert arguments(typed, "predict", f"DATA={text}", f"SHELL={shell}") == asked
    assert arguments(typed, "predict", f"SHELL={shell}", DATA=text) == asked
    assert arguments(typed, "again", f"DATA={text.strip()}", f"SHELL={shell}") == [asked[0], f"--data={text.strip()}"]
    assert "made" not in os.listdir(typed)


@pytest.mark.parametrize(
    ("command", "arrives"),
    [
        (["predict", "METHOD=a b'$x"], ["scripts/predict.py", "a b'$x"]),
        (["predict"], ["scripts/predict.py"]),
        (["predict", "METHOD=", "DATA="], ["scripts/predict.py"]),
        (["predict", "ARGS=--target a:1 --wait 3"], ["scripts/predict.py", "--target", "a:1", "--wait", "3"]),
        (["diff", "REV=HEAD@{1 day ago}$(x)"], ["scripts/generate.py", "diff", "HEAD@{1 day ago}$(x)"]),
        (["renumber", "BASE=a'b"], ["scripts/generate.py", "renumber", "--base", "a'b"]),
        (["version", "TO=v2 $x"], ["scripts/generate.py", "version", "v2 $x"]),
        (["version", "DROP=v1;x"], ["scripts/generate.py", "version", "--drop", "v1;x"]),
    ],
)
def test_other_texts_arrive_as_one_argument(typed: Path, command: list[str], arrives: list[str]) -> None:
    assert arguments(typed, *command) == arrives


def test_a_dry_run_shows_the_command_and_runs_nothing(typed: Path) -> None:
    done = run(["make", "-n", "predict", "DATA=$(shell touch made)"], cwd=typed)
    assert done.stdout.splitlines()[-1].split() == [".venv/bin/python", "scripts/predict.py", '--data="$DATA"']
    assert not (typed / "made").exists()


ASK = """\
import contextlib, io, sys
sys.path.insert(0, "scripts")
import predict
for data in sys.argv[1:]:
    sys.argv = ["predict.py", "--target", "localhost:1", "--data", data]
    with contextlib.redirect_stderr(io.StringIO()) as printed:
        code = predict.main()
    print(code, printed.getvalue().strip(), sep=": ", end="\\0")
"""
SAMPLE = '{"sepal_length": 5, "sepal_width": 3, "petal_length": 1, "petal_width": 0.2}'


def test_what_is_not_a_request_gets_words(iris: Project, tmp_path: Path) -> None:
    """Each but the last line of REFUSED is refused before anything is sent."""
    (tmp_path / "its 5$.json").write_text('{"petal_lenght": 1}', encoding="utf-8")
    (tmp_path / "good.json").write_bytes(b"\xef\xbb\xbf" + SAMPLE.encode())
    (tmp_path / "bytes").write_bytes(b'{"\xff')
    (tmp_path / "deep").write_text("[" * 100_000, encoding="utf-8")
    refused = {
        "[1]": "2: --data is not a request of Predict:\n"
        '  (request): must be an object, {"sepal_length": ...}; got a list',
        '{"sepal_length": "wide", "x": 1}': "2: --data is not a request of Predict:\n"
        '  sepal_length: must be a number; got "wide"\n'
        "  x: is not a field of PredictRequest; its fields are: sepal_length, sepal_width, petal_length, petal_width",
        f"@{tmp_path}/its 5$.json": f"2: {tmp_path}/its 5$.json is not a request of Predict:\n"
        "  petal_lenght: is not a field of PredictRequest; its fields are: sepal_length, sepal_width, petal_length,"
        " petal_width; did you mean petal_length?",
        "nothing": "2: --data is not JSON: Expecting value: line 1 column 1 (char 0)",
        f"@{tmp_path}": f"2: {tmp_path} cannot be read: Is a directory",
        f"@{tmp_path}/none": f"2: {tmp_path}/none cannot be read: No such file or directory",
        f"@{tmp_path}/bytes": f"2: {tmp_path}/bytes must be text in UTF-8, but byte 2 is not",
        f"@{tmp_path}/deep": f"2: {tmp_path}/deep is not JSON: maximum recursion depth exceeded",
        f"@{tmp_path}/good.json": "1: UNAVAILABLE: ",
    }
    answers = iris.python("-c", ASK, *refused).stdout.split("\0")[:-1]
    for (data, wanted), answer in zip(refused.items(), answers, strict=True):
        assert answer.startswith(wanted), data
        assert wanted.count("\n") == answer.count("\n") or data.endswith("good.json")


def test_a_wrong_value_of_an_enum_gets_the_valid_ones(fraud: Project) -> None:
    data = [json.dumps({"channel": channel}) for channel in ("in store", "Onlin", "by post", "CHANNEL_UNSPECIFIED", 7)]
    answers = fraud.python("-c", ASK, *data).stdout.split("\0")[:-1]
    one_of = "  channel: must be one of CHANNEL_ONLINE, CHANNEL_IN_STORE; got"
    assert [answer.partition("\n")[2] for answer in answers[:3]] == [
        f'{one_of} "in store"; did you mean CHANNEL_IN_STORE?',
        f'{one_of} "Onlin"; did you mean CHANNEL_ONLINE?',
        f'{one_of} "by post"',
    ]
    assert all("UNAVAILABLE" in answer for answer in answers[3:])  # a number is for the server to judge


LONG = """\
from enum import IntEnum
from iris.contract.reading import read_enum
from iris.contract.violations import Violations

bad = Violations()
read_enum(IntEnum("Town", {f"T{number}": number + 1 for number in range(1000)}), 2000, "town", bad, prefix="TOWN_")
print(bad.items[0].description)
"""


def test_a_long_enum_is_cut(iris: Project) -> None:
    """Errors travel in headers, which have 8 KiB."""
    description = iris.python("-c", LONG).stdout.strip()
    assert description.startswith("must be one of TOWN_T0, TOWN_T1, ")
    assert description.endswith("TOWN_T19, ... (1000 in all); got 2000")


OBEYED = """\
import json
from grpc_client import visible

text = "a\\x1b]0;x\\x07\\x9b1m\\u202e\\U000e0001 \\u2603\\n"
assert json.loads(visible(json.dumps(text, ensure_ascii=False))) == text
print(ascii(visible(text)))
"""


def test_what_a_server_sends_cannot_act_on_the_terminal(iris: Project) -> None:
    shown = iris.python("-c", OBEYED, env={"PYTHONPATH": f"{iris.path}/src:{iris.path}/scripts"}).stdout
    assert ast.literal_eval(shown) == r"a\u001b]0;x\u0007\u009b1m\u202e\udb40\udc01 " + "\u2603\n"


def test_data_comes_from_standard_input(iris: Project) -> None:
    command = [sys.executable, "scripts/predict.py", "--target", "localhost:1", "--data", "@-"]
    done = subprocess.run(
        command, cwd=iris.path, env=iris.environment, input="{", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr.splitlines()[0][:27]) == (2, "standard input is not JSON:")
