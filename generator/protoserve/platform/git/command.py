"""Runs one git command."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from protoserve.platform.git import repository_settings
from protoserve.platform.git.errors import NOT_INSTALLED, GitError, reason
from protoserve.platform.git.files_of_git import refuse_unreadable, refuse_unreadable_settings
from protoserve.platform.git.settings import OPTIONS, READING, environment

# A command may read what never ends, such as a named pipe in place of .gitignore, or a server that does not answer.
_SECONDS = 120.0
_SECONDS_FOR_SETTINGS = 10.0
# For commands that belong to no project: a repository there could not be of whoever made the project.
NOWHERE = Path(os.path.abspath(os.sep))


def run(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    exit_codes: Collection[int] = (0,),
    seconds: float = _SECONDS,
) -> subprocess.CompletedProcess[bytes]:
    """Runs a git command in `folder`, whose answer does not depend on the user's settings, except for `git config`.

    Settings of the repository alone run no commands; see `repository_settings`. `env` is added to the environment.
    `exit_codes` are those that do not mean failure, such as 1 of a search without a match. Raises GitError, also for a
    command that takes longer than `seconds`.
    """
    name, *rest = arguments
    command = ["git", name, *OPTIONS.get(name, ()), *rest]
    try:
        settings = (*READING.items(), *_replaced_settings(folder))
        if name == "config":  # which answers what the user has set, and runs nothing
            settings = ()
        variables = {**environment(settings), "LC_ALL": "C", **(env or {})}
        done = _finished(folder, command, variables, stdin, seconds)
    except subprocess.TimeoutExpired as error:
        raise GitError(f"`git {name}` did not finish within {error.timeout:.0f} seconds in {folder}") from None
    except OSError as error:
        missing = isinstance(error, FileNotFoundError) and error.filename == command[0]
        raise GitError(NOT_INSTALLED if missing else f"git cannot run in {folder}: {error.strerror}") from None
    if done.returncode not in exit_codes:
        raise GitError(reason(done.stderr.decode(errors="replace")))
    return done


def _finished(
    folder: Path, command: Sequence[str], variables: Mapping[str, str], stdin: bytes, seconds: float
) -> subprocess.CompletedProcess[bytes]:
    """The finished command. Raises subprocess.TimeoutExpired; then neither it nor what it started is left."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=folder, env=variables, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        try:
            output, errors = process.communicate(stdin, timeout=seconds)
        except BaseException:
            for number in (*_descendants(process.pid), process.pid):
                with suppress(OSError):
                    os.kill(number, signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
            raise
        return subprocess.CompletedProcess(command, process.returncode, output, errors)


def _descendants(process: int) -> list[int]:
    """The processes that a process has started, and those that they have, where the system lists them in /proc."""
    descendants = []
    with suppress(OSError, ValueError):
        for number in map(int, Path(f"/proc/{process}/task/{process}/children").read_text(encoding="ascii").split()):
            descendants += [*_descendants(number), number]
    return descendants


def _replaced_settings(folder: Path) -> list[tuple[str, str]]:
    """What takes the place of the settings of the repository around `folder` that run commands."""
    if _is_in_no_repository(folder):
        return []
    key = (str(folder), repository_settings.filters_run(), _config_status(folder))
    if key[-1] is None or key not in _known:
        refuse_unreadable(folder.resolve())
        command = ["git", "config", "--list", "--show-scope", "-z"]
        done = _finished(folder, command, {**environment(()), "LC_ALL": "C"}, b"", _SECONDS_FOR_SETTINGS)
        settings = repository_settings.parse(os.fsdecode(done.stdout))
        refuse_unreadable_settings(settings)
        _known[key] = repository_settings.replaced(settings)
    return _known[key]


# Listing the settings takes some milliseconds for each command.
_known: dict[tuple[object, ...], list[tuple[str, str]]] = {}


def _is_in_no_repository(folder: Path) -> bool:
    """Whether git surely takes no settings from `folder` or above it, where a bare repository would have a HEAD."""
    above = (folder, *folder.resolve().parents)
    return not any(os.path.lexists(place / name) for place in above for name in (".git", "HEAD"))


def _config_status(folder: Path) -> tuple[int, int, int] | None:
    """What changes if somebody changes the settings of the repository around `folder`; None if that is unknown."""
    for place in (folder, *folder.resolve().parents):
        with suppress(OSError):
            status = (place / ".git" / "config").stat()
            return status.st_ino, status.st_size, status.st_mtime_ns
    return None


def git(
    folder: Path,
    *arguments: str,
    stdin: bytes = b"",
    env: Mapping[str, str] | None = None,
    exit_codes: Collection[int] = (0,),
    seconds: float = _SECONDS,
) -> bytes:
    """The standard output of a git command; the arguments are those of `run`. Raises GitError."""
    return run(folder, *arguments, stdin=stdin, env=env, exit_codes=exit_codes, seconds=seconds).stdout


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
