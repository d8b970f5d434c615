"""The template's files at one of its versions, without those that its tasks write."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import git
from protoserve.project.lost_edits.merge_files import ANSWERS

# No setting of the user converts the lines of a template.
_AS_COMMITTED = ("-c", "core.autocrlf=false", "-c", "core.eol=lf")


def recorded_commits(project: Path) -> tuple[str, str]:
    """The commits of the template that the project has committed and that the update has recorded."""
    return _commit(_load(_committed_answers(project))), _commit(_load(_updated_answers(project)))


def committed_version(project: Path, template: Path, temporary: Path) -> Path:
    """A folder with the files at the version and with the answers that the project has committed."""
    return _render(_load(_committed_answers(project)), template, temporary / "committed")


def updated_version(project: Path, template: Path, temporary: Path) -> Path:
    """A folder with the files at the version and with the answers that the update has recorded."""
    return _render(_load(_updated_answers(project)), template, temporary / "updated")


def extract(answers: Mapping[str, Any], template: Path, temporary: Path) -> Path:
    """A folder with the template at the version that the answers record. Raises ProtoserveError."""
    source = temporary / "template"
    source.mkdir(parents=True)
    # A partial clone fetches all that it lacks in one go.
    elsewhere = {"GIT_INDEX_FILE": str(temporary / "index"), "GIT_WORK_TREE": str(source)}
    git(template, *_AS_COMMITTED, "read-tree", "-u", "--reset", _commit(answers), env=elsewhere)
    return source


def _committed_answers(project: Path) -> bytes:
    return git(project, "cat-file", "blob", f"HEAD:./{ANSWERS}")


def _updated_answers(project: Path) -> bytes:
    return (project / ANSWERS).read_bytes()


def _load(recorded_answers: bytes) -> dict[str, Any]:
    import yaml

    answers: dict[str, Any] = yaml.safe_load(recorded_answers)
    return answers


def _commit(answers: Mapping[str, Any]) -> str:
    """The version of the template that the answers record. Raises ProtoserveError."""
    commit = str(answers["_commit"])
    if commit.startswith("-"):
        raise ProtoserveError(f"{ANSWERS} records {commit}, which is not a commit: restore it from git")
    return commit


def _render(answers: Mapping[str, Any], template: Path, temporary: Path) -> Path:
    import copier
    import plumbum

    source, folder = extract(answers, template, temporary), temporary / "folder"
    data = {name: value for name, value in answers.items() if not name.startswith("_")}
    try:
        with plumbum.local.env(PATH=""):  # without git, Copier does not ask it for a setting after each file
            copier.run_copy(str(source), folder, data=data, defaults=True, quiet=True, unsafe=True, skip_tasks=True)
    except Exception as error:  # of Copier, of Jinja, or of a question's template: all mean the same here
        raise ProtoserveError(f"{_commit(answers)}, which the project records, cannot be rendered: {error}") from error
    return folder
