"""Every command in every situation of the table: right, or refused with the project as it was."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from commands import run_copy
from releases import Work, environment, make_project
from small_template import (
    CODE,
    NEW_FILE,
    NEW_SCRIPT,
    README,
    SCRIPT,
    TEMPLATES_CODE,
    TEMPLATES_README,
    make_two_releases,
)
from support import made_once
from update.situations import COMMANDS, MINE, NOT_RUN, OWN_FILE, SERVED, SITUATIONS, Place, Situation

PROTO, DOC = "proto/iris/v1/prediction.proto", "Length of my sepal."
FEW_LINES = 5
STATES = {
    "template": "todo",
    "answers": "ok",
    "generated": "todo",  # the schema was edited
    "conflicts": "ok",
    "contract": "ok",
    "files": "edited",
    "policy": "ok",
}
CHANGED_BY_GENERATE = {PROTO, "src/iris/contract/v1.py"}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_once(tmp_path_factory, "small", make_two_releases) / "models"


@pytest.fixture(scope="module")
def project(template: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project of v1.0.0 with edits of its author in two of the template's files and in the schema."""

    def make(folder: Path) -> None:
        work = make_project(template, folder, "v1.0.0", home)
        work.edit(README, "The end.", MINE)
        work.write(CODE, work.read(CODE) + f"\n\n# {MINE}\n")
        work.write(OWN_FILE, f"{MINE}\n")
        work.edit("schema.yaml", "Length of the sepal.", DOC)
        work.commit()

    return made_once(tmp_path_factory, "edited/iris", make)


Make = Callable[[Situation], Place]


@pytest.fixture
def make_place(template: Path, project: Path, home: Path, tmp_path: Path) -> Iterator[Make]:
    """Makes a situation from a copy of the project; what it needs is taken away at the end."""
    with contextlib.ExitStack() as stack:

        def make(situation: Situation, name: str) -> Place:
            folder = tmp_path / name
            folder.mkdir()
            if situation.around is not None:
                stack.enter_context(situation.around(folder))
            shutil.copytree(project, folder / "iris", symlinks=True)
            place = Place(Work(folder / "iris", home), template, folder)
            situation.make(place)
            if place.temporary is None:
                place.temporary = tmp_path / f"{name}-tmp"
                place.temporary.mkdir()
            return place

        yield make


def run(place: Place, command: str) -> subprocess.CompletedProcess[str]:
    assert place.temporary is not None
    variables = {**environment(place.work.home), "TMPDIR": str(place.temporary), **place.variables}
    env = {name: value for name, value in variables.items() if value is not None}
    new = ("new", "--defaults", "--framework=python", "--template", str(place.template), "--", place.fresh)
    arguments = {
        "new": new,
        "diff": ("diff",),
        "generate": ("generate",),
        "status": ("status", "--format=json"),
        "update": ("update", *place.update_options),
        "copier": ("update", "--trust", "--defaults", *place.copier_options),
    }
    program = "copier" if command == "copier" else "protoserve"
    return run_copy(program, *arguments[command], cwd=place.project, env=env, check=False, copies_generator=True)


def failures(situation: Situation, place: Place, command: str) -> Iterator[str]:
    """What is wrong with a cell of the table."""
    outcome = situation.outcome(command)
    assert place.temporary is not None
    before = place.work.state()
    done = run(place, command)
    after = place.work.state()
    output = done.stdout + done.stderr
    code = 1 if command == "status" and outcome.exit_code == 0 else outcome.exit_code
    if (done.returncode != code) if command != "copier" else (done.returncode == 0) != (code == 0):
        yield f"exit code {done.returncode}, not {code}: {output[-3000:]}"
        return
    if "Traceback" in done.stderr and command != "copier":
        yield f"a traceback: {output}"
    if outcome.refusal and len(done.stderr.splitlines()) > FEW_LINES and command != "copier":
        yield f"more than {FEW_LINES} lines: {done.stderr}"
    yield from (f"{word!r} is missing in: {output}" for word in outcome.words if word not in output)
    unchanged = outcome.refusal or outcome.unchanged or command in ("diff", "status")
    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    if unchanged and changed:
        yield f"changed {sorted(changed)}: {output}"
    if not outcome.refusal:
        yield from _CHECKS.get(command, lambda *_: ())(situation, place, done, changed)
    yield from (f"left behind {path}" for path in _left_behind(place))


def _left_behind(place: Place) -> list[Path]:
    assert place.temporary is not None
    paths = list(place.temporary.iterdir())
    for path in paths:
        shutil.rmtree(path, ignore_errors=True)
    return paths


def _check_status(
    situation: Situation, _: Place, done: subprocess.CompletedProcess[str], __: set[str]
) -> Iterator[str]:
    rows = json.loads(done.stdout)["rows"]
    states = {row["name"]: row["state"] for row in rows}
    if states != {**STATES, **situation.states}:
        yield f"states {states} in {done.stdout}"


def _check_generate(_: Situation, place: Place, __: object, changed: set[str]) -> Iterator[str]:
    # Where git converts line ends, others are written with those that git has, which is no change for it.
    shown = set(place.git("diff", "--name-only", "--relative", "HEAD").splitlines())
    if shown != CHANGED_BY_GENERATE or not (changed & shown):
        yield f"changed {sorted(shown)}"
    if DOC not in place.work.read(PROTO):
        yield "the schema's text is not in the .proto"


def _check_update(situation: Situation, place: Place, __: object, ___: object) -> Iterator[str]:
    if situation.outcome("update").unchanged:
        return
    texts = {README: (MINE, TEMPLATES_README), CODE: (MINE, TEMPLATES_CODE), OWN_FILE: (MINE,), PROTO: (DOC,)}
    for name, lines in {**texts, NEW_FILE: ("Guide",), NEW_SCRIPT: ("released",)}.items():
        if name in place.without:
            continue
        path = place.project / name
        text = path.read_bytes() if path.is_file() else b""
        yield from (f"{line!r} is not in {name}: {text!r}" for line in lines if line.encode() not in text)
        if name in (README, CODE) and text.count(b"\n") != text.count(place.newline):
            yield f"{name} has other line ends: {text!r}"
    for name in (SCRIPT, NEW_SCRIPT):
        if not os.access(place.project / name, os.X_OK):
            yield f"{name} is not executable"
    place.git("add", "--update")
    mode = place.git("ls-files", "--stage", SCRIPT)[:6]
    if mode != "100755":
        yield f"the mode of {SCRIPT} in git is {mode}"
    yield from (f"left {path}" for path in place.project.rglob("*.rej"))


def _check_new(_: Situation, place: Place, __: object, changed: set[str]) -> Iterator[str]:
    fresh = place.project / place.fresh
    if not os.access(fresh / "README.md", os.R_OK) or not (fresh / ".protoserve/generated.txt").is_file():
        yield f"not created: {list(fresh.rglob('*'))}"
    elsewhere = [name for name in changed if name.split("/")[0] != place.fresh]
    if elsewhere:
        yield f"changed {elsewhere}"


def _check_own_update(situation: Situation, place: Place, done: object, changed: set[str]) -> Iterator[str]:
    yield from _check_update(situation, place, done, changed)
    if "Makefile" in changed:  # which the template does not change
        yield "other line ends in Makefile"


_CHECKS = {
    "status": _check_status,
    "generate": _check_generate,
    "update": _check_own_update,
    "copier": _check_update,
    "new": _check_new,
}


def wrong_cells(situation: Situation, make_place: Make, commands: tuple[str, ...]) -> Iterator[str]:
    """What is wrong with the cells of a row."""
    results = []
    for name, its_commands in (("first", ("diff", "status", "update", "new")), ("second", ("generate", "copier"))):
        chosen = [one for one in its_commands if one in commands and situation.outcome(one) is not NOT_RUN]
        place = make_place(situation, name) if chosen else None
        for command in chosen:
            assert place is not None
            problems = [f"{command}: {text}" for text in failures(situation, place, command)]
            yield from problems
            if command in ("update", "copier") and situation.outcome(command) == SERVED and not problems:
                results.append(_files(place))
            if command == "generate" and not problems and not situation.outcome(command).refusal:
                place.git("commit", "--quiet", "--all", "--message=generated")
    if len(results) == 2 and results[0] != results[1]:
        names = {name for name, _ in set(results[0].items()) ^ set(results[1].items())}
        yield f"update and copier differ in {sorted(names)}"


def _files(place: Place) -> dict[str, bytes]:
    """The files of a project, without what git keeps of it; line ends are checked elsewhere."""
    state = place.work.state().items()
    kept = (".protoserve/last", *place.left_out)  # what the last `generate` was made from, and what git keeps
    return {name: content.replace(b"\r\n", b"\n") for name, content in state if not name.startswith(kept)}


@pytest.mark.slow
@pytest.mark.parametrize("situation", SITUATIONS, ids=lambda situation: situation.make.__name__)
def test_every_command(situation: Situation, make_place: Make) -> None:
    wrong = list(wrong_cells(situation, make_place, COMMANDS))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    "situation", [row for row in SITUATIONS if row.fast], ids=lambda situation: situation.make.__name__
)
def test_some_commands(situation: Situation, make_place: Make) -> None:
    wrong = list(wrong_cells(situation, make_place, situation.fast))
    assert not wrong, "\n".join(wrong)


@pytest.mark.slow
@pytest.mark.parametrize("count", [2, 12])
def test_several_updates_at_once(make_place: Make, count: int) -> None:
    """One of them does it; the others are refused, and change nothing."""
    place = make_place(SITUATIONS[0], "first")
    with ThreadPoolExecutor(count) as pool:
        done = list(pool.map(lambda _: run(place, "update"), range(count)))
    updated = [one for one in done if one.returncode == 0]
    assert len(updated) == 1, [one.stderr for one in done]
    for one in done:
        assert one in updated or "another update" in one.stderr or "not committed" in one.stderr, one.stderr
    assert list(_check_update(SITUATIONS[0], place, None, None)) == []
    assert _left_behind(place) == []
