"""Projects of many shapes are green at once: the checks leave the old files out, and apply to all others."""

from __future__ import annotations

import os
import sys
import tomllib
from pathlib import Path

import pytest

from adopt.conftest import adopt
from adopt.shapes import SHAPES, combined
from protoserve.cli import main
from releases import commit, edit, git
from support import run, tool

PACKAGE = "scorer_app"
COMBINED = combined()


def listed(folder: Path) -> list[str]:
    content = tomllib.loads((folder / "before-adopt.toml").read_text(encoding="utf-8"))
    return [str(entry) for entry in content["extend-exclude"]]


def fails(folder: Path, *command: str) -> str:
    """What a command prints that must fail."""
    done = run(list(command), cwd=folder, check=False)
    assert done.returncode != 0, done.stdout
    return done.stdout + done.stderr


@pytest.mark.usefixtures("generator_in_process")
def test_the_list_has_what_a_check_would_read(
    template: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file reached by a link is described once, no file out of the repository is read, and ruff leaves all out."""
    folder = SHAPES["notebooks, Python 2 and strange names"].write(tmp_path / "strange")
    for name, target in SHAPES["links"].links.items():
        if not (folder / name).exists():
            (folder / name).symlink_to(target)
    (folder / "linked.py").symlink_to("server.py")
    (folder / "scorer2.proto").symlink_to("scorer.proto")
    for name in ("libs/own/pyproject.toml", "libs/own/sub/x.py", "app/lib/y.py"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("nonsense\n", encoding="utf-8")
    commit(folder, "More")
    assert main(["adopt", str(folder), "--template", str(template), "--defaults", "--package", PACKAGE]) == 0
    report = capsys.readouterr().out
    assert report.count("def Score") == 1
    assert "ScorerServicer (server.py:4)" in report
    assert listed(folder) == [
        "./-dash.py", "./app/lib/y.py", "./broken.py", "./docs/use.md", "./libs/own", "./linked.py",
        "./notebooks/explore.ipynb", "./old/[[]id][{]a[}][*][?]!.py", "./old/bom.py", "./old/cut off.py",
        "./old/empty.py", "./old/latin.py", "./old/null.py", "./old/python2.py", './old/quo"te[\\]back.py',
        "./old/öffentlich 模型.py", "./outside.py", "./server.py", "./src/broken_in_src.py", "./src/lib",
        "./stubs/scorer.pyi", "./tests/broken.py", "./tests/lib", "./tests/test_broken.py",
    ]  # fmt: skip
    run([tool("ruff"), "check", "."], cwd=folder)
    run([tool("ruff"), "format", "--check", "."], cwd=folder)
    edit(folder / "before-adopt.toml", '    "./old/cut off.py",\n', "")
    assert "old/cut off.py:1:7: invalid-syntax" in fails(folder, tool("ruff"), "check", "--output-format=concise", ".")


def work(folder: Path, cache: Path) -> dict[str, str]:
    """The environment of a project that has the tests' interpreter and tools as its .venv."""
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    return {**os.environ, "PYTHONPATH": str(folder / "src"), "XDG_CACHE_HOME": str(cache)}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the projects keep the template's version."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.usefixtures("mypy_knows_libraries")
@pytest.mark.slow
@pytest.mark.parametrize("name", COMBINED)
def test_its_first_make_check_is_green(name: str, releases: Path, cache: Path, tmp_path: Path) -> None:
    """In a clone, which has what git has, as in CI; `make check` runs the smoke test, too."""
    proto = ("--proto", "scorer.proto") if "scorer.proto" in COMBINED[name].files else ()
    made, clone = tmp_path / "made", tmp_path / "clone"
    adopt(COMBINED[name].write(made), releases, *proto, "--package", PACKAGE)
    commit(made, "adopted")
    git(tmp_path, "clone", "--quiet", str(made), str(clone))
    project = clone / COMBINED[name].folder
    run(["make", "check"], cwd=project, env=work(project, cache))
    assert git(clone, "status", "--short", "--", ":!.venv") == ""


@pytest.mark.usefixtures("mypy_knows_libraries")
@pytest.mark.slow
def test_without_its_entry_a_file_is_checked_and_an_update_keeps_the_list(
    releases: Path, cache: Path, tmp_path: Path
) -> None:
    folder = SHAPES["an old conftest.py"].write(tmp_path / "made")
    adopt(folder, releases, "--package", PACKAGE)
    env = work(folder, cache)
    run(["make", "smoke"], cwd=folder, env=env)
    script = [sys.executable, "scripts/before_adopt.py"]
    entries = {  # an entry that is deleted, and the tool that then fails, with its words
        "tests/test_service.py": ([*script, "mypy"], "Function is missing a type annotation"),
        "proto/scorer.proto": ([*script, "buf", "lint"], "declared multiple times"),
        "tests/conftest.py": (None, ""),
        "tests/unit/conftest.py": (None, ""),
        "conftest.py": ([sys.executable, "-m", "pytest"], "No module named 'heavy_library'"),
    }
    for name, (command, words) in entries.items():
        edit(folder / "before-adopt.toml", f'    "./{name}",\n', "")
        if command is not None:
            done = run(command, cwd=folder, env=env, check=False)
            assert done.returncode != 0
            assert words in done.stdout + done.stderr
    remaining = (folder / "before-adopt.toml").read_bytes()
    commit(folder, "adopted, and the list made shorter")
    run([tool("protoserve"), "update", str(folder), "--to", "v1.1.0"], cwd=tmp_path)
    assert (folder / "before-adopt.toml").read_bytes() == remaining
    assert "adopted: true" in (folder / ".copier-answers.yml").read_text(encoding="utf-8")
    commit(folder, "updated")
    run([tool("protoserve"), "update", str(folder), "--to", "v1.1.0", "--set", "adopted=false"], cwd=tmp_path)
    assert not (folder / "scripts/before_adopt.py").exists()
    readers = run(["git", "grep", "--files-with-matches", "before.adopt"], cwd=folder, check=False)
    assert readers.stdout == ""
