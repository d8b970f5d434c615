"""Whatever goes wrong, the project is byte for byte as it was, with ignored files and the index; one line says why."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from releases import Work, edit, environment, git, release

Fork = Callable[[Work], Path]
# Of generator/run.py, after the merge.
GENERATES = "code = run_here_or_by_uv(UPDATER if command is UPDATE else GENERATOR, arguments, command.failure)"


@pytest.fixture
def work(work: Work) -> Work:
    """A project with files that git ignores."""
    work.write("artifacts/model.skops", "weights")
    work.write(".env", "PORT=1")
    return work


def refused(work: Work, *options: str, code: int = 1, **variables: str) -> str:
    """Runs an update that must change nothing, and gives what it says on standard error."""
    before = work.state()
    done = work.update(*options, check=False, **variables)
    assert done.returncode == code, done.stdout + done.stderr
    assert work.state() == before
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.stderr


def one_line(stderr: str) -> str:
    (line,) = stderr.splitlines()
    return line


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("package=other", "package cannot change after creation: it stays iris ("),
        ("framework=xgboost", "framework cannot change after creation: it stays sklearn ("),
        (
            "schema=text",
            "schema cannot change after creation: it stays tabular (edit schema.yaml, then `make generate`)",
        ),
        ("port=80", "port: must be an integer from 1024 to 65535 (lower ports need root), such as 9000"),
    ],
)
def test_answers_that_cannot_be(work: Work, option: str, said: str) -> None:
    assert one_line(refused(work, "--set", option)).startswith(f"protoserve: {said}")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("colour=red", "v1.0.0 does not ask colour; it asks "),
        ("port=[", "port: "),
        ("python_version=2.7", "python_version: '2.7' is not in "),
    ],
)
def test_answers_that_only_the_template_knows_to_be_wrong(work: Work, option: str, said: str) -> None:
    assert one_line(refused(work, "--set", option)).startswith(f"protoserve: {said}")


@pytest.mark.slow
def test_a_later_versions_validator_is_asked(work: Work) -> None:
    assert "team: is one word, such as risk" in one_line(refused(work, "--to", "latest", "--set", "team=a b"))


def test_work_that_is_not_committed(work: Work) -> None:
    work.write("tests/test_mine.py", "")
    work.edit("Makefile", "IMAGE ?=", "IMAGE  ?=")
    said = one_line(refused(work))
    assert "changes that are not committed (Makefile, tests/test_mine.py): commit or stash them" in said


@pytest.mark.parametrize(
    "why", ["no git", "no commit", "no project", "no version", "not in git", "a link", "conflict", "no YAML"]
)
def test_projects_that_cannot_be_updated(work: Work, why: str) -> None:
    if why == "no git":
        (work.path / ".git").rename(work.path.parent / "git")
        said = "is not in a git repository"
    elif why == "no commit":
        git(work.path, "update-ref", "-d", "HEAD")
        said = "nothing of"
    elif why == "no project":
        git(work.path, "rm", "--quiet", ".copier-answers.yml")
        said = "is not a protoserve project"
    elif why == "no version":
        answers = work.read(".copier-answers.yml")
        work.write(".copier-answers.yml", answers.replace("_commit: v1.0.0\n", ""))
        said = "records no version of the template (_commit)"
    elif why == "not in git":
        work.write(".gitignore", work.read(".gitignore") + "/.copier-answers.yml\n")
        git(work.path, "rm", "--quiet", "--cached", ".copier-answers.yml")
        work.commit()
        said = "`git add --force .copier-answers.yml`, then commit it"
    elif why == "a link":
        (work.path / ".copier-answers.yml").rename(work.path / "answers.yml")
        (work.path / ".copier-answers.yml").symlink_to("answers.yml")
        work.commit()
        said = ".copier-answers.yml is a symbolic link"
    elif why == "conflict":
        work.edit(".copier-answers.yml", "_commit: ", "<<<<<<< ours\n_commit: v0.9.0\n=======\n_commit: ")
        said = ".copier-answers.yml:2 has conflict markers"
    else:
        work.write(".copier-answers.yml", "a: [\n")
        said = "is not valid YAML"
    done = work.update(check=False)
    assert done.returncode == 1
    assert said in one_line(done.stderr)


@pytest.mark.slow
def test_a_schema_that_is_not_sound(work: Work) -> None:
    work.edit("schema.yaml", "type: float64", "type: flaot64")
    work.commit()
    stderr = refused(work)
    assert "schema.yaml:" in stderr
    assert "did you mean" in stderr
    assert stderr.endswith("protoserve: a step of the template failed; the project is as it was\n")


def test_a_template_that_is_gone(work: Work, fork: Fork) -> None:
    template = fork(work)
    template.rename(template.with_name("moved"))
    assert f"the template {template} cannot be read" in one_line(refused(work))


@pytest.mark.slow
@pytest.mark.parametrize("revision", ["v9.9.9", "--upload-pack=x"])
def test_a_revision_that_is_none(work: Work, revision: str) -> None:
    assert revision in one_line(refused(work, f"--to={revision}"))


@pytest.mark.slow
def test_an_older_version(work: Work) -> None:
    work.edit(".copier-answers.yml", "_commit: v1.0.0\n", "_commit: v2.0.0\n")
    work.commit()
    said = one_line(refused(work, "--to", "v1.0.0"))
    assert said.endswith("Downgrades are not supported; the project is as it was")


@pytest.mark.slow
def test_a_template_that_does_not_render(work: Work, fork: Fork) -> None:
    template = fork(work)
    (template / "template/NOTES.md.jinja").write_text("{{ nobody_knows }}\n", encoding="utf-8")
    release(template, "v3.0.0")
    assert "'nobody_knows' is undefined" in one_line(refused(work))


@pytest.mark.slow
def test_a_generator_that_fails_after_the_merge(work: Work, fork: Fork) -> None:
    template = fork(work)
    edit(template / "generator/run.py", GENERATES, "raise SystemExit('no luck')")
    release(template, "v3.0.0")
    stderr = refused(work)
    assert "no luck" in stderr
    assert stderr.endswith("protoserve: a step of the template failed; the project is as it was\n")


@pytest.mark.slow
def test_an_ignored_file_where_the_template_now_has_one(work: Work, fork: Fork) -> None:
    template = fork(work)
    (template / "template/.env").write_text("PORT=9000\n", encoding="utf-8")
    git(template, "add", "--force", "template/.env")
    release(template, "v3.0.0")
    assert ".env: the template now has a file there, and yours is ignored by git" in one_line(refused(work))


@pytest.mark.slow
def test_a_folder_that_cannot_be_written(work: Work, fork: Fork) -> None:
    template = fork(work)
    (template / "template/artifacts/model.skops").mkdir()
    (template / "template/artifacts/model.skops/README.md").write_text("A folder now.\n", encoding="utf-8")
    git(template, "add", "--force", "--all")
    release(template, "v3.0.0")
    assert "model.skops" in one_line(refused(work))


@pytest.mark.slow
def test_a_smoke_that_fails(work: Work) -> None:
    # It gets so far that it writes artifacts, which git does not keep.
    work.write(".venv/bin/python", "#!/bin/sh\necho new | tee artifacts/model.skops > artifacts/other\nexit 1\n")
    (work.path / ".venv/bin/python").chmod(0o755)
    stderr = refused(work, "--smoke")
    assert "protoserve: `make check smoke` failed on the updated project; the project is as it was" in stderr


def test_a_stop_while_files_are_kept(work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever was not kept yet stays: it is not a file that came later."""
    from protoserve.platform.files import Snapshot

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = work.state()
    snapshot = Snapshot(tmp_path)
    monkeypatch.setattr("shutil.copy2", stopped)
    with pytest.raises(KeyboardInterrupt):
        snapshot.keep_folder(work.path / "artifacts")
    monkeypatch.undo()
    snapshot.restore()
    assert work.state() == before


@pytest.mark.slow
@pytest.mark.parametrize(("when", "stop"), [("merging", signal.SIGTERM), ("smoking", signal.SIGINT)])
def test_a_stop_from_outside(work: Work, fork: Fork, stop: signal.Signals, when: str, tmp_path: Path) -> None:
    """At a step that reports that it was reached, and then waits for ever."""
    template, reached, never = fork(work), tmp_path / "reached", tmp_path / "never"
    os.mkfifo(reached)
    os.mkfifo(never)
    options = ["--smoke"] if when == "smoking" else []
    if when == "merging":
        script = f"open({str(reached)!r}, 'w').write('here'); open({str(never)!r}).read()"
        edit(template / "generator/run.py", GENERATES, script)
        release(template, "v3.0.0")
    else:
        python = work.path / ".venv/bin/python"
        work.write(".venv/bin/python", f"#!/bin/sh\necho here > {reached}\nread x < {never}\n")
        python.chmod(0o755)
    before = work.state()
    listening = os.open(reached, os.O_RDWR | os.O_NONBLOCK)
    update = subprocess.Popen(
        [sys.executable, "-m", "protoserve", "update", *options],
        cwd=work.path,
        env=environment(work.home),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        # Where the tests run in the background, a shell lets them ignore Ctrl-C.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        assert select.select([listening], [], [], 120)[0], "the step was never reached"
        if when == "smoking":
            assert (work.path / "tests/test_server.py").exists()
        update.send_signal(stop)
        assert update.wait(60) == 1
        assert work.state() == before
        if when == "smoking":  # nothing that could still write is left
            with pytest.raises(OSError, match="No such device"):
                os.open(never, os.O_WRONLY | os.O_NONBLOCK)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(update.pid, signal.SIGKILL)  # the step still waits
        os.close(listening)
    assert update.stderr is not None
    stderr = update.stderr.read()
    assert stderr.endswith("protoserve: interrupted; nothing was changed\n")
