"""The template's files at one of its versions, without those that its tasks write."""

from __future__ import annotations

import tarfile
from pathlib import Path

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import git
from protoserve.project.lost_edits.merge_files import ANSWERS


def committed_version(project: Path, template: Path, temporary: Path) -> Path:
    """A folder with the files at the version and with the answers that the project has committed."""
    answers = git(project, "cat-file", "blob", f"HEAD:./{ANSWERS}")
    return _render(answers, template, temporary / "committed")


def updated_version(project: Path, template: Path, temporary: Path) -> Path:
    """A folder with the files at the version and with the answers that the update has recorded."""
    return _render((project / ANSWERS).read_bytes(), template, temporary / "updated")


def _render(recorded_answers: bytes, template: Path, temporary: Path) -> Path:
    import copier
    import yaml

    answers = yaml.safe_load(recorded_answers)
    commit = str(answers["_commit"])
    source, folder, archive = temporary / "template", temporary / "folder", temporary / "template.tar"
    if commit.startswith("-"):
        raise ProtoserveError(f"{ANSWERS} records {commit}, which is not a commit: restore it from git")
    temporary.mkdir()
    git(template, "archive", "--format=tar", f"--output={archive}", commit)
    with tarfile.open(archive) as tar:
        tar.extractall(source)  # files that the trusted template has committed
    data = {name: value for name, value in answers.items() if not name.startswith("_")}
    try:
        copier.run_copy(str(source), folder, data=data, defaults=True, quiet=True, unsafe=True, skip_tasks=True)
    except Exception as error:  # of Copier, of Jinja, or of a question's template: all mean the same here
        raise ProtoserveError(f"{commit}, which the project records, cannot be rendered: {error}") from error
    return folder
