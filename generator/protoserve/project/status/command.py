"""`protoserve status`: from its arguments to a report."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path
from typing import Any

from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials
from protoserve.platform.git import find_repository, set_environment
from protoserve.platform.printing import write
from protoserve.project.status import output
from protoserve.project.status.judge import judge, of_one_project
from protoserve.project.status.report import Report
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
    all_rows = judge(project, recorded, of_one_project(spare_cache, offline=options.offline))
    source = without_credentials(str(recorded.get("_src_path", "")))
    commit = str(recorded.get("_commit", "no version"))
    return Report(str(recorded.get("project_name", project.name)), source, commit, all_rows, options.fail_on)
