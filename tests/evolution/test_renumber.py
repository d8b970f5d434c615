"""Two branches that each add a field: the merge is refused with both named, and one command settles it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from evolution.work import SCHEMA, Work, begin
from support import run

Capture = pytest.CaptureFixture[str]
LENGTH, WIDTH = "          maximum: 30\n", "        - {name: width, number: 2, type: float64}  # last\n"
COLOUR = "        - {name: colour, number: 3, type: string, required: false}   # of the petals\n"
HEIGHT = "        - name: height\n          number: 3  # ours\n          type: float64\n          required: false\n"


@pytest.fixture(scope="module")
def two_branches(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stable contract on main, and a branch on which `height` was added and is number 3."""
    repository = tmp_path_factory.mktemp("two") / "repository"
    made = begin(repository, "iris")
    made.commit("the contract")
    made.git("switch", "--quiet", "--create", "feature")
    made.edit((LENGTH, LENGTH + HEIGHT))
    assert made.generate() == 0
    made.commit("height")
    made.git("switch", "--quiet", "main")
    made.edit((WIDTH, WIDTH + COLOUR))
    assert made.generate() == 0
    made.commit("colour")
    return repository


@pytest.fixture
def work(two_branches: Path, tmp_path: Path) -> Work:
    """A copy to work in."""
    shutil.copytree(two_branches, tmp_path / "repository")
    return Work(tmp_path / "repository" / "iris", tmp_path / "repository")


def merged(work: Work, branch: str) -> None:
    """Merges the branch, whose generated files conflict and whose schema does not."""
    work.git("merge", "--quiet", branch, check=False)
    assert "<<<<<<<" not in work.text
    assert COLOUR in work.text
    assert HEIGHT in work.text


def test_a_merge_of_main_into_the_branch(work: Work, capsys: Capture) -> None:
    work.git("switch", "--quiet", "feature")
    merged(work, "main")
    capsys.readouterr()
    assert work.generate() == 1
    err = capsys.readouterr().err
    assert "fields.colour.number: 'colour' has the number 3, and so has 'height' (line 19)" in err
    assert "`make renumber`" in err
    assert work.run("renumber") == 0
    assert work.text == SCHEMA.replace(LENGTH, LENGTH + HEIGHT.replace("3", "4")).replace(WIDTH, WIDTH + COLOUR)
    out, err = capsys.readouterr()
    assert "methods.Predict.request.fields.height: number 4, was 3, which 'colour' keeps" in out
    assert work.generate() == 0, "the number was never on the main branch, so no caller knows it"
    work.commit("merged")
    assert work.generate("--check") == 0
    assert work.run("renumber") == 0
    assert "no number is used twice" in capsys.readouterr().out


def test_a_merge_of_the_branch_into_main(work: Work, capsys: Capture) -> None:
    merged(work, "feature")
    assert work.run("renumber") == 0
    assert "fields.height: number 4, was 3" in capsys.readouterr().out
    assert work.generate() == 0


def test_a_merge_that_was_committed_before_anybody_looked(work: Work, capsys: Capture) -> None:
    merged(work, "feature")
    work.commit("merged without a look")
    assert work.run("renumber") == 0
    assert "fields.height: number 4, was 3" in capsys.readouterr().out
    assert work.generate() == 0


def test_what_the_remote_has_goes_before_what_is_on_the_local_main(work: Work, tmp_path: Path, capsys: Capture) -> None:
    """The branch was merged on the remote first; then `colour`, on the local main, is the one that nobody has."""
    work.git("clone", "--quiet", "--bare", str(work.root), str(tmp_path / "remote.git"))
    work.git("remote", "add", "origin", str(tmp_path / "remote.git"))
    run(["git", "update-ref", "refs/heads/main", "feature"], cwd=tmp_path / "remote.git")
    work.git("fetch", "--quiet", "origin")
    merged(work, "origin/main")
    capsys.readouterr()
    assert work.run("renumber") == 0
    assert "fields.colour: number 4, was 3, which 'height' keeps" in capsys.readouterr().out
    assert work.text == SCHEMA.replace(LENGTH, LENGTH + HEIGHT).replace(WIDTH, WIDTH + COLOUR.replace("3", "4"))


def test_another_base(work: Work, capsys: Capture) -> None:
    merged(work, "feature")
    assert work.run("renumber", "--base", "feature") == 0
    assert "fields.colour: number 4, was 3, which 'height' keeps" in capsys.readouterr().out


def test_values_of_an_enum_too(tmp_path: Path, capsys: Capture) -> None:
    work = begin(tmp_path)
    work.commit()
    value = "{name: versicolor, number: 2}"
    work.edit((value, f"{value}\n      - {{name: virginica, number: 3}}"))
    work.commit()
    work.edit(
        (
            "setosa, number: 1}   # the small one\n",
            "setosa, number: 1}   # the small one\n      - {name: ours, number: 3}\n",
        )
    )
    assert work.generate() == 1
    assert "'virginica' has the number 3, and so has 'ours' (line 9)" in capsys.readouterr().err
    assert work.run("renumber") == 0
    assert "enums.Species.values.ours: number 4, was 3, which 'virginica' keeps" in capsys.readouterr().out
    assert "{name: ours, number: 4}" in work.text


def test_a_number_that_only_main_has_is_not_taken(work: Work, capsys: Capture) -> None:
    """The branch takes 3 and 4 to itself; main has 3, and has added 4 since the merge."""
    merged(work, "feature")
    text = work.text
    work.git("checkout", "--quiet", "--force", "main")
    work.edit((COLOUR, f"{COLOUR}        - {{name: smell, number: 4, type: string, required: false}}\n"))
    work.commit("smell")
    work.write(text)
    capsys.readouterr()
    assert work.run("renumber") == 0
    assert "fields.height: number 5, was 3" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("minimun: 1", "unknown key 'minimun'"),
        ("<<<<<<< HEAD", "merge-conflict marker"),
    ],
)
def test_what_else_is_wrong_is_told_and_nothing_is_written(
    work: Work, capsys: Capture, change: str, words: str
) -> None:
    merged(work, "feature")
    broken = LENGTH + (f"          {change}\n" if ":" in change else f"{change}\n")
    work.edit((LENGTH, broken))
    before = work.files()
    assert work.run("renumber") == 1
    assert words in capsys.readouterr().err
    assert work.files() == before


def test_where_nothing_says_which_was_first(work: Work, tmp_path: Path, capsys: Capture) -> None:
    merged(work, "feature")
    assert work.run("renumber", "--base", "nowhere") == 1
    assert "git does not have nowhere here" in capsys.readouterr().err
    work.git("checkout", "--quiet", "--force", "--detach")
    work.git("branch", "--quiet", "--move", "main", "trunk")
    assert work.run("renumber") == 1
    assert "name the main branch with --base REV" in capsys.readouterr().err
    alone = begin(tmp_path / "alone", git=False)
    assert alone.run("renumber") == 1
    assert "is not in a git repository" in capsys.readouterr().err
