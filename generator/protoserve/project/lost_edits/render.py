"""The template's files at one of its versions, without those that its tasks make."""

from __future__ import annotations

import tarfile
from pathlib import Path

from protoserve.project.lost_edits.committed import ANSWERS, CarryError, git


def as_committed(project: Path, template: Path, temporary: Path) -> Path:
    """A folder with them at the version and with the answers that the project has committed."""
    recorded = git(project, "cat-file", "blob", f"HEAD:./{ANSWERS}")
    return _rendered(recorded, template, temporary / "committed")


def as_updated(project: Path, template: Path, temporary: Path) -> Path:
    """The same at the version and with the answers that the update has recorded."""
    return _rendered((project / ANSWERS).read_bytes(), template, temporary / "updated")


def _rendered(recorded: bytes, template: Path, temporary: Path) -> Path:
    import copier
    import yaml

    answers = yaml.safe_load(recorded)
    commit = str(answers["_commit"])
    source, folder, archive = temporary / "template", temporary / "folder", temporary / "template.tar"
    if commit.startswith("-"):
        raise CarryError(f"{ANSWERS} records {commit}, which is no commit")
    temporary.mkdir()
    git(template, "archive", "--format=tar", f"--output={archive}", commit)
    with tarfile.open(archive) as tar:
        tar.extractall(source)  # what the trusted template has committed
    given = {name: value for name, value in answers.items() if not name.startswith("_")}
    try:
        copier.run_copy(str(source), folder, data=given, defaults=True, quiet=True, unsafe=True, skip_tasks=True)
    except Exception as error:  # of Copier, of Jinja, of what the template's questions do: all mean the same here
        raise CarryError(f"{commit}, which the project records, cannot be rendered: {error}") from error
    return folder
