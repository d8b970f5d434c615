"""Copier's own update, run in the scratch repository, with what it and the template's migrations print kept apart."""

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

from protoserve.platform.git import why
from protoserve.project.git_settings import safe


class MergeError(Exception):
    """Copier or the template could not update; the message says why, `told` is what was printed meanwhile."""

    def __init__(self, message: str, told: str) -> None:
        super().__init__(message)
        self.told = told


def merge(folder: Path, project: Path, ref: str, data: dict[str, Any]) -> str:
    """Updates `folder`, the scratch repository of `project`, to `ref` of its template; what was printed meanwhile.

    The recorded template is trusted, as it is by `make generate`, and no question is asked: `data` answers, else what
    is recorded, else the default. Raises MergeError.
    """
    failure: str | None = None
    # A template that was given as a relative path counts from the project.
    with chdir(project), plumbum.local.env(**safe(os.environ)), _captured() as captured:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Copier's, of local templates with changes and shallow clones
                copier.run_update(
                    folder, data=data, vcs_ref=ref, defaults=True, overwrite=True, quiet=True, unsafe=True
                )
        except TaskError:
            failure = "a step of the template failed"  # and has said why
        except ProcessExecutionError as error:
            failure = f"{' '.join(map(str, error.argv[-3:]))}: {why(str(error.stderr))}"
        except (CopierError, TemplateError, ValueError, OSError) as error:
            failure = _plain(error, data)
        told = _told(captured)
    if failure is not None:
        raise MergeError(failure, told)
    return told


def _plain(error: Exception, data: dict[str, Any]) -> str:
    """An error in one line. Copier has no type of its own for an answer that a validator refuses: a ValueError."""
    line = " ".join(str(error).split())
    if data and (not line or line.startswith(("while parsing", "while scanning"))):
        # Copier does not say of which question.
        return f"{' or '.join(data)}: the answer is not of the question's type{f' ({line})' if line else ''}"
    refused = re.match(r"(?:Validation error for question|Invalid choice for) '(\w+)': (.*)", line)
    if refused:
        return f"{refused[1]}: {refused[2]}"
    return line or type(error).__name__


@contextmanager
def _captured() -> Iterator[IO[bytes]]:
    """A file that gets what this process and those that it starts print."""
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


def _told(captured: IO[bytes]) -> str:
    sys.stdout.flush()
    sys.stderr.flush()
    captured.seek(0)
    return captured.read().decode(errors="replace")
