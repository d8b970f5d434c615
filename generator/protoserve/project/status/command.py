"""`protoserve status`: from its arguments to a report."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.git import clear_hook_variables
from protoserve.platform.printing import write
from protoserve.project.status import output, rows
from protoserve.project.status.recorded_template import GoneError, RecordedError, rendered, template_folder
from protoserve.project.status.report import Report, Row, State
from protoserve.project.update import template_versions

NOT_RUN = 2


def main(given: argparse.Namespace) -> int:
    """Exit code 0 when all that counts is as it should be, 1 when something is not, 2 when that cannot be told."""
    clear_hook_variables()
    if given.offline:
        os.environ["GIT_ALLOW_PROTOCOL"] = "file"
    try:
        report = status(given)
    except answers.AnswersError as error:
        print(f"protoserve: {error}", file=sys.stderr)
        return NOT_RUN
    try:
        write(output.FORMATS[given.format](report))
    except OSError as error:
        print(f"protoserve: the report cannot be written: {error.strerror}", file=sys.stderr)
        return NOT_RUN
    return report.exit_code


def status(given: argparse.Namespace) -> Report:
    """Raises AnswersError."""
    project = given.project.resolve()
    recorded = answers.load(project)
    source = str(recorded.get("_src_path", ""))
    commit = str(recorded.get("_commit", "no version"))
    # What other processes find out, they find out while Copier renders here.
    gone = False
    with ThreadPoolExecutor() as pool:
        version = pool.submit(_version, project, recorded, offline=given.offline)
        conflicts = pool.submit(rows.conflicts, project)
        contract = pool.submit(rows.contract, project)
        try:
            folder = template_folder(project)
            generated = pool.submit(_generated, project, folder)
            with rendered(folder, recorded) as render:
                told, files = rows.given(recorded, render), rows.files(project, render)
        except RecordedError as error:
            gone = isinstance(error, GoneError)
            told, files = (Row(name, State.UNKNOWN, str(error)) for name in ("answers", "files"))
            generated = pool.submit(Row, "generated", State.UNKNOWN, str(error))
        newest = rows.unmergeable(version.result(), commit) if gone else version.result()
        found = (newest, told, generated.result(), conflicts.result(), contract.result(), files)
    return Report(str(recorded.get("project_name", project.name)), source, commit, found, given.fail_on)


def _version(project: Path, recorded: dict[str, Any], *, offline: bool) -> Row:
    try:
        return rows.version(project, template_versions.recorded(project, recorded), offline=offline)
    except answers.AnswersError as error:
        return Row("template", State.UNKNOWN, str(error))


def _generated(project: Path, folder: Path) -> Row:
    """By the generator of the recorded version: an old project is not judged by a newer one."""
    command = [sys.executable, str(folder / "generator" / "run.py"), "generate", str(project), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
    return rows.generated(done.returncode, done.stdout, done.stderr)
