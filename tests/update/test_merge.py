"""Over three releases: what is the author's stays, template files are merged, generated ones are made anew."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable

import pytest

from releases import NEW, OLD, Work, git

pytestmark = pytest.mark.slow  # the other tests of updates take a template of few files

Copied = Callable[..., Work]
ERRORS = "src/iris/server/core/outcomes.py"
MINE = {
    "src/iris/model.py": "\n# My model.\n",
    "requirements/model.txt": "pillow>=11\n",
    "local.mk": "deploy:  ## mine\n\techo deployed\n",
    "tests/test_mine.py": "def test_mine() -> None:\n    assert True\n",
    "train.py": "\n# My training.\n",
}


def append(work: Work, name: str, text: str) -> None:
    work.write(name, (work.read(name) if (work.path / name).exists() else "") + text)


def work_in(work: Work) -> None:
    """What an author does: in files of every kind, and never in the very lines that the template changes."""
    for name, text in MINE.items():
        append(work, name, text)
    work.edit("schema.yaml", "doc: Length of the sepal.", "doc: Length of my sepal.")
    work.edit("pyproject.toml", 'version = "0.1.0"', 'version = "3.1.4"')
    append(work, "Makefile", "\nmine:\n\techo mine\n")
    work.edit(ERRORS, "from enum import Enum, auto\n", "from enum import Enum, auto  # mine\n")
    append(work, OLD, "\n\n# My probe.\n")
    for name in ("Dockerfile", "tests/test_smoke.py"):
        (work.path / name).unlink()
    work.run(sys.executable, "scripts/generate.py")
    work.commit()


@pytest.fixture(scope="module")
def worked(whole: Work, tmp_path_factory: pytest.TempPathFactory) -> Work:
    """A project of v1.0.0 that its author has worked in."""
    folder = tmp_path_factory.mktemp("worked") / "iris"
    shutil.copytree(whole.path, folder)
    work_in(Work(folder, whole.home))
    return Work(folder, whole.home)


@pytest.fixture(scope="module")
def updated(worked: Work, tmp_path_factory: pytest.TempPathFactory) -> tuple[Work, str]:
    """The same after `protoserve update` to the newest release, past the one in between; and what was printed."""
    folder = tmp_path_factory.mktemp("updated") / "iris"
    shutil.copytree(worked.path, folder)
    work = Work(folder, worked.home)
    return work, work.update().stdout


def test_what_is_the_authors_is_untouched(worked: Work, updated: tuple[Work, str]) -> None:
    work, _ = updated
    for name in (*MINE, "schema.yaml"):
        assert work.read(name) == worked.read(name), name
    assert 'version = "3.1.4"' in work.read("pyproject.toml")


def test_template_files_are_merged(updated: tuple[Work, str]) -> None:
    work, _ = updated
    assert "from enum import Enum, auto  # mine\n" in work.read(ERRORS)
    assert "the server could not answer this request" in work.read(ERRORS)
    assert "How any call can end" in work.read(ERRORS)
    assert "pytest>=9.0.1" in work.read("requirements/dev.txt")
    assert "tests/test_server.py" in work.read("Makefile")
    assert work.read("Makefile").endswith("\nmine:\n\techo mine\n")
    assert "Ask nobody about it." in work.read("README.md")


def test_edits_of_a_renamed_file_go_with_it(updated: tuple[Work, str]) -> None:
    work, summary = updated
    assert not (work.path / OLD).exists()
    assert "import grpc  # renamed in 2.0\n" in work.read(NEW)
    assert work.read(NEW).endswith("# My probe.\n")
    assert f"- {OLD} is now {NEW}: your edits are in it\n" in summary


def test_what_the_author_deleted_stays_deleted_under_its_new_name_too(updated: tuple[Work, str]) -> None:
    work, _ = updated
    assert [
        name for name in ("Dockerfile", "tests/test_smoke.py", "tests/test_server.py") if (work.path / name).exists()
    ] == []


def test_generated_files_are_the_new_generators_from_the_authors_schema(updated: tuple[Work, str]) -> None:
    work, _ = updated
    assert "Never edit: change schema.yaml" in work.read("proto/iris/v1/prediction.proto")
    assert "Length of my sepal." in work.read("proto/iris/v1/prediction.proto")
    work.run(sys.executable, "scripts/generate.py", "--check")


def test_the_summary_fits_a_pull_request(updated: tuple[Work, str]) -> None:
    _, summary = updated
    assert summary.startswith("## iris: template v1.0.0 → v2.0.0\n")
    assert "| `team` | (none) | `nobody` | a new question, its default |" in summary
    assert f"- changed `{ERRORS}`\n" in summary
    assert f"- removed `{OLD}`\n- added `{NEW}`\n" in summary
    assert "- changed `proto/iris/v1/prediction.proto`\n" in summary
    assert "Conflicts" not in summary
    assert "`make setup`" in summary
    for name in MINE:
        assert f"`{name}`" not in summary


def test_bare_copier_does_the_same(worked: Work, updated: tuple[Work, str], copied: Copied) -> None:
    bare = copied("bare", worked)
    done = bare.copier()
    assert bare.state() == updated[0].state()
    assert "your edits are in it" in done.stderr


def test_release_after_release_comes_to_the_same(worked: Work, updated: tuple[Work, str], copied: Copied) -> None:
    steps = copied("steps", worked)
    steps.update("--to", "v1.1.0")
    assert "_commit: v1.1.0\n" in steps.read(".copier-answers.yml")
    assert "the server could not answer this request" in steps.read(ERRORS)
    assert (steps.path / OLD).exists()
    steps.commit()
    steps.update()
    for name, content in steps.state().items():
        assert content == updated[0].state()[name] or name in ("(index)", "(references)"), name


def test_the_updated_project_is_clean_for_its_own_status(updated: tuple[Work, str], copied: Copied) -> None:
    work = copied("clean", updated[0])
    work.commit()
    report = json.loads(work.status("--format", "json").stdout)
    assert {row["name"]: row["state"] for row in report["rows"]} == {
        "template": "ok",
        "answers": "ok",
        "generated": "ok",
        "conflicts": "ok",
        "contract": "ok",
        "files": "edited",
        "policy": "ok",
    }
    files = next(row["details"] for row in report["rows"] if row["name"] == "files")
    assert set(files["edited"]) == {"Makefile", "pyproject.toml", ERRORS, NEW}
    assert set(files["deleted"]) == {"Dockerfile", "tests/test_server.py"}
    assert work.update().stdout == f"already at v2.0.0, the newest version of {report['template']}\n"
    assert git(work.path, "status", "--porcelain") == ""


def test_a_dry_run_prints_the_very_diff_and_changes_nothing(
    worked: Work, updated: tuple[Work, str], copied: Copied
) -> None:
    dry = copied("dry", worked)
    before = dry.state()
    done = dry.update("--dry-run")
    assert dry.state() == before
    assert done.stderr.startswith("## iris: template v1.0.0 → v2.0.0\n")
    (dry.path.parent / "update.diff").write_text(done.stdout, encoding="utf-8")
    git(dry.path, "apply", str(dry.path.parent / "update.diff"))
    assert dry.state() == updated[0].state()
