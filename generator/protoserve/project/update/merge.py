"""Copier's own update, run in the scratch repository; what it and the template's migrations print is captured."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import IO, Any

import copier
from copier.errors import CopierError, ForbiddenPathError, TaskError
from jinja2 import TemplateError
from plumbum import ProcessExecutionError

from protoserve.platform.blocked_paths import Links, blocked_paths
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.files import with_remedy_for_full_disk
from protoserve.platform.git import reason
from protoserve.project.copier_environment import copier_environment, merging


class MergeError(ProtoserveError):
    """Copier or the template could not update; `printed` is what they printed."""

    def __init__(self, message: str, printed: str) -> None:
        super().__init__(message)
        self.printed = printed


def merge(
    folder: Path,
    project: Path,
    ref: str,
    data: dict[str, Any],
    run_update: Callable[..., object] = copier.run_update,
) -> str:
    """Updates `folder`, the scratch repository of `project`, to `ref` of its template; returns what was printed.

    The recorded template is trusted, as `make generate` trusts it. No question is asked: an answer comes from `data`,
    else from the recorded ones, else from the default. `run_update` is Copier's, or has the same arguments and effect.
    Raises MergeError.
    """
    failure: str | None = None
    # A relative path of a template counts from the project.
    with chdir(project), copier_environment(merging(folder)), _captured() as captured:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Copier warns of local templates with changes and of shallow clones
                run_update(folder, data=data, vcs_ref=ref, defaults=True, overwrite=True, quiet=True, unsafe=True)
        except TaskError:
            failure = "a step of the template failed"  # and has printed why
        except ProcessExecutionError as error:
            failure = f"{_command(error)}: {reason(str(error.stderr))}"
        except OSError as error:
            failure = _file_error(error, folder)
        except ForbiddenPathError as error:
            failure = _blocked(folder, str(error).split('"')[1]) or _one_line(error, data)
        except (CopierError, TemplateError, ValueError) as error:
            failure = _one_line(error, data)
        except Exception as error:  # Copier asserts and assumes much that a project need not meet
            failure = f"Copier failed: {type(error).__name__} {error}"
        printed = _read(captured)
    if failure is not None:
        failure = _without_scratch_folder(" ".join(failure.split()), folder)
        raise MergeError(with_remedy_for_full_disk(failure), printed)
    return printed


def _command(error: ProcessExecutionError) -> str:
    """A command of git without its options, in a few words: `git checkout v9.9.9`, `git submodule update`."""
    words = [word for word in map(str, error.argv[1:]) if not word.startswith("-")]
    return " ".join(["git", *words[:2]])


def _file_error(error: OSError, folder: Path) -> str:
    """An error of the file system in one line, which names the path."""
    if not error.filename:
        return _one_line(error, {})
    path = Path(os.fsdecode(error.filename2 or error.filename))
    if path.is_relative_to(folder):
        name = path.relative_to(folder).as_posix()
        # Where a folder is to be made, only what is needed below it says so.
        needed = f"{name}/file" if isinstance(error, (FileExistsError, NotADirectoryError)) else name
        if blocked := _blocked(folder, needed):
            return blocked
    return f"{path}: {error.strerror}"


def _blocked(folder: Path, name: str) -> str | None:
    """What lies in the way of a file of the template that Copier could not write, if anything does."""
    blocked = blocked_paths(folder, [name], Links.NONE)
    return f"{blocked[0].describe('the template has')}, commit, and update again" if blocked else None


def _without_scratch_folder(text: str, folder: Path) -> str:
    """The text with paths of the project, which counts as the current folder, in place of those of its scratch copy."""
    return text.replace(f"{folder}{os.sep}", "").replace(str(folder), "the project")


def _one_line(error: Exception, data: dict[str, Any]) -> str:
    """An error in one line. For an answer that a validator refuses, Copier raises a plain ValueError."""
    line = " ".join(str(error).split())
    if data and (not line or line.startswith(("while parsing", "while scanning"))):
        # Copier does not name the question.
        return f"{' or '.join(data)}: the answer does not have the question's type{f' ({line})' if line else ''}"
    refusal = re.match(r"(?:Validation error for question|Invalid choice for) '(\w+)': (.*)", line)
    if refusal:
        return f"{refusal[1]}: {refusal[2]}"
    return line or type(error).__name__


@contextmanager
def _captured() -> Iterator[IO[bytes]]:
    """A file that receives what this process and its child processes print."""
    sys.stdout.flush()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as file:
        kept = os.dup(1), os.dup(2)
        try:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
            yield file
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for number, copy in enumerate(kept, start=1):
                os.dup2(copy, number)
                os.close(copy)


def _read(captured: IO[bytes]) -> str:
    sys.stdout.flush()
    sys.stderr.flush()
    captured.seek(0)
    return without_credentials(captured.read().decode(errors="replace"))
