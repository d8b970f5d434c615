"""Other answers: without a new version, with one that asks more, and for platforms, whose files come and go."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from releases import COMMANDS, Work, git, release

Fork = Callable[[Work], Path]


def test_another_answer_keeps_the_version(work: Work) -> None:
    summary = work.update("--set", "port=9100").stdout
    assert summary.startswith("## iris: answers changed, template v1.0.0\n")
    assert "| `port` | `9000` | `9100` | --set |" in summary
    answers = work.read(".copier-answers.yml")
    assert "port: 9100\n" in answers
    assert "_commit: v1.0.0\n" in answers
    assert "9100" in work.read("src/iris/server/default_port.py")
    work.commit()
    assert work.update("--set", "port=9100").stdout == "already at v1.0.0 with these answers: nothing to do\n"


@pytest.mark.slow
def test_a_question_of_a_newer_version_is_answered_on_the_way_and_later(work: Work) -> None:
    work.update("--to", "latest", "--set", "team=risk")
    assert "Ask risk about it." in work.read("README.md")
    work.commit()
    work.update("--set", "team=fraud")
    assert "Ask fraud about it." in work.read("README.md")


@pytest.mark.slow
def test_an_answer_that_a_newer_version_refuses_is_in_the_summary(work: Work, fork: Fork) -> None:
    template = fork(work)
    questions = (template / "copier.yml").read_text(encoding="utf-8")
    (template / "copier.yml").write_text(
        questions.replace('choices: ["3.11", "3.12", "3.13"]', 'choices: ["3.13", "3.14"]').replace(
            'default: "3.12"', 'default: "3.13"'
        ),
        encoding="utf-8",
    )
    release(template, "v3.0.0")
    summary = work.update().stdout
    assert "| `python_version` | `3.12` | `3.13` | v3.0.0 does not accept the earlier answer |" in summary


@pytest.mark.slow
def test_platforms_come_and_go_and_what_was_edited_in_them_stays(work: Work) -> None:
    done = json.loads(work.update("--set", "platforms=kubernetes", "--format", "json").stdout)
    added = {file["path"] for file in done["files"] if file["change"] == "added"}
    assert added
    assert all(path.startswith("deploy/kubernetes/") for path in added)
    edited = min(path for path in added if path.endswith(".yaml"))
    work.write(edited, work.read(edited) + "# Mine.\n")
    work.commit()
    gone = work.update("--set", "platforms=", check=False)
    assert gone.returncode == 3
    assert work.read(edited).endswith("# Mine.\n")
    assert [path for path in added if (work.path / path).exists()] == [edited]
    assert git(work.path, "status", "--porcelain", edited).startswith("UD ")


@pytest.mark.slow
def test_smoke_runs_the_projects_check_and_its_real_server(whole: Work, copied: Callable[..., Work]) -> None:
    """In an environment that has everything already: the project's own commands, where `make setup` puts them."""
    work = copied(of=whole)
    (work.path / ".venv").symlink_to(COMMANDS.parent)
    done = work.update("--smoke", PYTHONPATH=str(work.path / "src"))
    assert done.stdout.startswith("## iris: template v1.0.0 → v2.0.0\n")
    assert "tests/test_server.py" in done.stderr
    assert "passed" in done.stderr
    assert (work.path / "artifacts/model.skops").exists()
    work.run(sys.executable, "scripts/generate.py", "--check")


@pytest.mark.slow
def test_another_transport_brings_its_package_and_keeps_the_authors_edits(
    whole: Work, copied: Callable[..., Work]
) -> None:
    work = copied(of=whole)
    work.edit("requirements/server.txt", "numpy>=2.0\n", "numpy>=2.1\n")
    work.commit()
    done = work.copier("--vcs-ref", ":current:", "--data", "transport=native")
    assert done.returncode == 0
    requirements = work.read("requirements/server.txt")
    assert "numpy>=2.1\n" in requirements
    assert "pygrpc-native==0.5.0;" in requirements
    assert 'DEFAULT_TRANSPORT = "native"' in work.read("src/iris/server/default_transport.py")
    work.commit()
    summary = work.update("--set", "transport=grpcio").stdout
    assert "| `transport` | `native` | `grpcio` | --set |" in summary
    assert "pygrpc-native" not in work.read("requirements/server.txt")
