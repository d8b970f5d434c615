"""Copier's own update, run in the scratch repository; what it and the template's migrations print is captured."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from typing import IO, Any

import copier
import plumbum
from copier.errors import CopierError, TaskError
from jinja2 import TemplateError
from plumbum import ProcessExecutionError

from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import reason
from protoserve.project.git_settings import required_environment


class MergeError(ProtoserveError):
    """Copier or the template could not update; `printed` is what they printed."""

    def __init__(self, message: str, printed: str) -> None:
        super().__init__(message)
        self.printed = printed


def merge(folder: Path, project: Path, ref: str, data: dict[str, Any]) -> str:
    """Updates `folder`, the scratch repository of `project`, to `ref` of its template; returns what was printed.

    The recorded template is trusted, as `make generate` trusts it. No question is asked: an answer comes from `data`,
    else from the recorded ones, else from the default. Raises MergeError.
    """
    failure: str | None = None
    # A relative path of a template counts from the project.
    with chdir(project), plumbum.local.env(**required_environment(os.environ)), _captured() as captured:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Copier warns of local templates with changes and of shallow clones
                copier.run_update(
                    folder, data=data, vcs_ref=ref, defaults=True, overwrite=True, quiet=True, unsafe=True
                )
        except TaskError:
            failure = "a step of the template failed"  # and has printed why
        except ProcessExecutionError as error:
            failure = f"{' '.join(map(str, error.argv[-3:]))}: {reason(str(error.stderr))}"
        except (CopierError, TemplateError, ValueError, OSError) as error:
            failure = _one_line(error, data)
        printed = _read(captured)
    if failure is not None:
        raise MergeError(failure, printed)
    return printed


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
    return captured.read().decode(errors="replace")
