"""The rows of one project, for `protoserve status` and for each project of a fleet."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from protoserve.platform.errors import ProtoserveError
from protoserve.project.status import rows
from protoserve.project.status.policy_row import policy_row
from protoserve.project.status.recorded_template import (
    MissingVersionError,
    RecordedTemplateError,
    Rendered,
    render,
    template_folder,
)
from protoserve.project.status.report import Row, State
from protoserve.project.update import template_versions
from protoserve.project.update.template_versions import Versions


@dataclass(frozen=True, slots=True)
class Checked:
    """What `generate --check` of the recorded version printed, and its exit code."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True, slots=True)
class Template:
    """What the rows need of a project's template; a fleet looks up for many projects at once what is the same in all.

    `versions` lists the versions of a source, which may be a path from the project, or raises
    UnreachableTemplateError; None leaves the newest version out. `folder` gives the folder of the version that answers
    record, or raises RecordedTemplateError. `check_generated` runs the generator of such a folder on a project.
    `run_copy` takes the place of Copier's function for renders.
    """

    versions: Callable[[Path, str], Versions] | None
    folder: Callable[[Path, Mapping[str, Any]], Path]
    check_generated: Callable[[Path, Path], Checked]
    run_copy: Callable[..., object] | None = None


def of_one_project(spare_cache: Path, *, offline: bool) -> Template:
    """The template of a project that is looked at alone."""
    return Template(
        None if offline else template_versions.available,
        lambda project, recorded: template_folder(project, recorded, spare_cache),
        check_generated,
    )


def judge(
    project: Path,
    recorded: Mapping[str, Any],
    template: Template,
    look: Callable[[Rendered, Row], None] = lambda rendered, files: None,
) -> tuple[Row, ...]:
    """All rows of the project in a folder with these recorded answers; they may be printed as they are.

    `look` gets the render and the row `files` while the render is there.
    """
    commit = str(recorded.get("_commit", "no version"))
    # The rows that wait for other processes are computed while Copier renders in this one.
    version_missing = False
    with ThreadPoolExecutor() as pool:
        version = pool.submit(_version, project, recorded, template)
        conflicts = pool.submit(rows.conflicts, project)
        contract = pool.submit(rows.contract, project)
        try:
            folder = template.folder(project, recorded)
            generated = pool.submit(_generated, project, folder, template)
            with render(folder, recorded, template.run_copy) as rendered:
                answers_row, files_row = rows.answers_row(recorded, rendered), rows.files(project, rendered)
                policy = policy_row(project, folder, recorded, rendered, files_row, date.today())
                look(rendered, files_row)
        except RecordedTemplateError as error:
            version_missing = isinstance(error, MissingVersionError)
            names = ("answers", "files", "policy")
            answers_row, files_row, policy = (Row(name, State.UNKNOWN, str(error)) for name in names)
            generated = pool.submit(Row, "generated", State.UNKNOWN, str(error))
        version_row = version.result()
        if version_missing:
            version_row = rows.without_base(project, version_row, commit)
        judged = (version_row, answers_row, generated.result(), conflicts.result(), contract.result())
        all_rows = (*judged, files_row, policy)
    return tuple(row.without_credentials() for row in all_rows)


def check_generated(project: Path, folder: Path) -> Checked:
    """Runs the generator of the recorded version: a newer one does not judge an old project."""
    command = [sys.executable, str(folder / "generator" / "run.py"), "generate", str(project), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return Checked(done.returncode, done.stdout, done.stderr)


def _version(project: Path, recorded: Mapping[str, Any], template: Template) -> Row:
    try:
        return rows.version(project, template_versions.recorded(project, recorded), template.versions)
    except ProtoserveError as error:
        return Row("template", State.UNKNOWN, str(error))


def _generated(project: Path, folder: Path, template: Template) -> Row:
    checked = template.check_generated(project, folder)
    if checked.code != 0 and (blocked := rows.blocked_generated(project)):
        return blocked
    return rows.generated(checked.code, checked.stdout, checked.stderr)
