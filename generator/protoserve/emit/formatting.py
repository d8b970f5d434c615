"""Python as `ruff format` leaves it, so that a project's own formatter has nothing to do."""

from __future__ import annotations

import subprocess
from pathlib import Path

from ruff import find_ruff_bin

LINE_LENGTH = 120
# What names of a contract break wherever they stand, by their length or as a single letter, the imports below the call
# that joins the packages of stubs, and the condition of a wide row.
_EXEMPTED = "E402,E501,E741,E742,E743,SIM103"


def format_python(folder: Path, first_party: set[str]) -> None:
    """Takes out unused imports, sorts the rest and formats every Python file below `folder`, in place.

    A line that must break a rule of a project's linter gets a comment that exempts it.

    `first_party` names the project's own top-level packages, some of which may lie elsewhere.

    Raises RuntimeError with ruff's words: what we generate is always Python, so it is a fault of protoserve's.
    """
    options = ["--isolated", "--quiet", "--no-cache", "--config", f"line-length={LINE_LENGTH}"]
    options += ["--config", 'target-version="py311"']
    own = f"lint.isort.known-first-party={sorted(first_party)!r}"
    check = ["check", "--exclude=*_pb2*", "--config", own]
    fix = [*check, "--select=F401,I,RUF022", "--fix"]
    exempt = [*check, f"--select={_EXEMPTED}", "--add-noqa"]
    for action in (fix, ["format"], exempt):
        command = [find_ruff_bin(), *action, *options, "."]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(f"ruff could not format what was generated:\n{done.stdout}{done.stderr}")
