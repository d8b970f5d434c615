"""`protoserve status`: from its arguments to a report."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import find_repository, set_environment
from protoserve.platform.printing import write
from protoserve.project.status import output, rows
from protoserve.project.status.recorded_template import (
    MissingVersionError,
    RecordedTemplateError,
    render,
    template_folder,
)
from protoserve.project.status.report import Report, Row, State
from protoserve.project.update import template_versions
from protoserve.project.user_folders import temporary_folder_outside


def status(options: argparse.Namespace) -> int:
    """Exit code 0 if all rows that count are as they should be; 1 if one is not; 2 if one is unknown.

    Raises AnswersError, GitError for a repository that git refuses to read, and UnwritableError.
    """
    set_environment()  # a project's scripts/generate.py may be of a version that does not do so itself
    if options.offline:
        os.environ["GIT_ALLOW_PROTOCOL"] = "file"
    project = options.project.resolve()
    recorded = answers.load(project)
    repository = find_repository(project)  # refused here if git does not trust its owner
    with (
        temporary_folder_outside(repository.root if repository else project),
        tempfile.TemporaryDirectory(prefix="protoserve-cache-", ignore_cleanup_errors=True) as spare_cache,
    ):
        report = _report(options, project, recorded, Path(spare_cache))
    write(output.FORMATS[options.format](report))
    return report.exit_code


def _report(options: argparse.Namespace, project: Path, recorded: dict[str, Any], spare_cache: Path) -> Report:
    source = without_credentials(str(recorded.get("_src_path", "")))
    commit = str(recorded.get("_commit", "no version"))
    # The rows that wait for other processes are computed while Copier renders in this one.
    version_missing = False
    with ThreadPoolExecutor() as pool:
        version = pool.submit(_version, project, recorded, offline=options.offline)
        conflicts = pool.submit(rows.conflicts, project)
        contract = pool.submit(rows.contract, project)
        try:
            folder = template_folder(project, recorded, spare_cache)
            generated = pool.submit(_generated, project, folder)
            with render(folder, recorded) as rendered:
                answers_row, files_row = rows.answers_row(recorded, rendered), rows.files(project, rendered)
        except RecordedTemplateError as error:
            version_missing = isinstance(error, MissingVersionError)
            answers_row, files_row = (Row(name, State.UNKNOWN, str(error)) for name in ("answers", "files"))
            generated = pool.submit(Row, "generated", State.UNKNOWN, str(error))
        version_row = version.result()
        if version_missing:
            version_row = rows.without_base(project, version_row, commit)
        all_rows = (version_row, answers_row, generated.result(), conflicts.result(), contract.result(), files_row)
    printable = tuple(row.without_credentials() for row in all_rows)
    return Report(str(recorded.get("project_name", project.name)), source, commit, printable, options.fail_on)


def _version(project: Path, recorded: dict[str, Any], *, offline: bool) -> Row:
    try:
        return rows.version(project, template_versions.recorded(project, recorded), offline=offline)
    except ProtoserveError as error:
        return Row("template", State.UNKNOWN, str(error))


def _generated(project: Path, folder: Path) -> Row:
    """The row of the generator of the recorded version: a newer one does not judge an old project."""
    command = [sys.executable, str(folder / "generator" / "run.py"), "generate", str(project), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0 and (blocked := rows.blocked_generated(project)):
        return blocked
    return rows.generated(done.returncode, done.stdout, done.stderr)
