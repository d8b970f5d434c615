"""Runs one git command."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

from protoserve.platform.git.errors import NOT_INSTALLED, GitError, reason
from protoserve.platform.git.settings import OPTIONS, READING, environment


def run(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    exit_codes: Collection[int] = (0,),
) -> subprocess.CompletedProcess[bytes]:
    """Runs a git command in `folder`, whose answer does not depend on the user's settings, except for `git config`.

    `env` is added to the environment. `exit_codes` are those that do not mean failure, such as 1 of a search without a
    match. Raises GitError.
    """
    name, *rest = arguments
    command = ["git", name, *OPTIONS.get(name, ()), *rest]
    settings = {} if name == "config" else READING  # which answers what the user has set
    variables = {**environment(settings), "LC_ALL": "C", **(env or {})}
    try:
        done = subprocess.run(command, cwd=folder, input=stdin, env=variables, capture_output=True, check=False)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError) and error.filename == command[0]
        raise GitError(NOT_INSTALLED if missing else f"git cannot run in {folder}: {error.strerror}") from None
    if done.returncode not in exit_codes:
        raise GitError(reason(done.stderr.decode(errors="replace")))
    return done


def git(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    exit_codes: Collection[int] = (0,),
) -> bytes:
    """The standard output of a git command; the arguments are those of `run`. Raises GitError."""
    return run(folder, *arguments, stdin=stdin, env=env, exit_codes=exit_codes).stdout


def git_line(folder: Path, *arguments: str, stdin: bytes = b"", exit_codes: Collection[int] = (0,)) -> str:
    """The one line that a git command prints, without its end. Raises GitError."""
    return os.fsdecode(git(folder, *arguments, stdin=stdin, exit_codes=exit_codes).rstrip(b"\n"))


def git_paths(folder: Path, *arguments: str, stdin: bytes = b"", exit_codes: Collection[int] = (0,)) -> list[str]:
    """The paths, or other fields, that a git command with -z prints. Raises GitError."""
    output = git(folder, *arguments, stdin=stdin, exit_codes=exit_codes)
    return [os.fsdecode(field) for field in output.split(b"\0") if field]


def status(folder: Path, *options: str) -> Iterator[tuple[str, str]]:
    """For each file that differs from HEAD the two letters of `git status` and its path from the repository's root."""
    for entry in git_paths(folder, "status", "--porcelain=v1", "-z", "--no-renames", *options):
        yield entry[:2], entry[3:]
