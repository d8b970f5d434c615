"""What a command prints may reach nobody: that is neither a Traceback nor another verdict."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from protoserve.project.update import printing
from protoserve.project.update.outcome import Outcome
from releases import Work, git

FULL = Path("/dev/full")
PROTOSERVE = shlex.join([sys.executable, "-m", "protoserve"])
# Reads nothing, and has gone before anything is printed.
GONE = f"set -o pipefail; {PROTOSERVE} %s | {shlex.quote(sys.executable)} -c ''"


@pytest.mark.slow
def test_an_update_whose_reader_has_gone_is_done(work: Work) -> None:
    done = work.run("bash", "-c", GONE % "update --to v1.1.0")
    assert done.stderr == ""
    assert "_commit: v1.1.0\n" in work.read(".copier-answers.yml")


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_a_summary_that_finds_no_room_does_not_undo_the_update(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The last step of an update alone: raising an error there would restore the project."""
    with FULL.open("w", encoding="utf-8") as full:
        monkeypatch.setattr("sys.stdout", full)
        printing.print_summary(Outcome("iris", "models", "v1.0.0", "v1.1.0"), "markdown")
    said = "protoserve: the project is updated, but its summary cannot be written: No space left"
    assert capsys.readouterr().err.startswith(said)


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
def test_an_update_whose_summary_finds_no_room_is_done(work: Work) -> None:
    done = work.run("bash", "-c", f"{PROTOSERVE} update --to v1.1.0 > {FULL}")
    (line,) = done.stderr.splitlines()
    assert line.startswith("protoserve: the project is updated, but its summary cannot be written: No space left")
    assert "_commit: v1.1.0\n" in work.read(".copier-answers.yml")


@pytest.mark.slow
@pytest.mark.parametrize("command", ["status --fail-on files", "diff --format table"])
def test_a_reader_that_has_gone_changes_no_verdict(work: Work, command: str) -> None:
    before = work.state()
    done = work.run("bash", "-c", GONE % command)
    assert "Traceback" not in done.stderr
    assert "Broken pipe" not in done.stderr
    assert work.state() == before


@pytest.mark.slow
@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("update --to v1.1.0 --dry-run", 1, "standard output: No space left on device; nothing was changed"),
        ("status", 2, "standard output: No space left on device; nothing was changed"),
        ("diff", 2, "standard output: No space left on device; nothing was changed"),
    ],
)
def test_output_for_which_there_is_no_room_is_an_error(work: Work, command: str, code: int, said: str) -> None:
    before = work.state()
    done = work.run("bash", "-c", f"{PROTOSERVE} {command} > {FULL}", check=False)
    assert (done.returncode, done.stderr) == (code, f"protoserve: {said}\n")
    assert work.state() == before


@pytest.mark.slow
def test_a_dry_run_keeps_every_byte(work: Work) -> None:
    """A line of the author's that is not UTF-8, near one of the update, is in the diff as it is, and applies."""
    readme = work.path / "README.md"
    readme.write_bytes(readme.read_bytes().replace(b"```sh\nmake setup", b"```sh na\xefve\nmake setup"))
    work.commit("in Latin-1")
    patch = work.path.parent / "update.diff"
    work.run("bash", "-c", f"{PROTOSERVE} update --dry-run > {shlex.quote(str(patch))}")
    assert b"\n ```sh na\xefve\n" in patch.read_bytes()
    git(work.path, "apply", "--check", str(patch))
