"""The answers of a creation that failed: kept in a file, with the command that continues with them."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from protoserve.project.new import NewError

# What a project's .copier-answers.yml has besides answers.
_NOT_ANSWERS = ("_commit", "_src_path", "created")
_MAX_BYTES = 1_000_000


def keep(kept: Mapping[str, Any], project: str, command: Sequence[str], folder: Path = Path()) -> None:
    """Writes the answers into a new file that only its owner can read, and prints the command that continues.

    `command` ends with the option that the file's name follows; `folder` is where the user is.
    """
    text = (
        "# The answers of a project that could not be created. This command continues with them:\n"
        "#     {command}\n"
        "# Delete this file when you need it no more.\n"
    )
    for path in _candidates(folder, project):
        line = shlex.join([*command, str(path)])
        content = text.format(command=line) + yaml.safe_dump(dict(kept), sort_keys=False, allow_unicode=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError:
            continue
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(content)
        print(f"protoserve: your answers are kept; continue with: {line}", file=sys.stderr)
        return


def read(path: Path) -> dict[str, Any]:
    """The answers in a file that `keep` wrote, or of a project. Raises NewError."""
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_BYTES + 1)
        if len(text) > _MAX_BYTES:
            raise NewError(f"{path} is larger than {_MAX_BYTES} bytes: it must be a file of answers")
        answers = yaml.safe_load(text)
    except OSError as error:
        raise NewError(f"{path} cannot be read ({error.strerror}): --answers needs a file of answers") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise NewError(f"{path} must be YAML, a line for each answer such as port: 9000 ({error})") from None
    if not isinstance(answers, dict):
        raise NewError(f"{path} must have a line for each answer, such as port: 9000")
    return {str(name): answer for name, answer in answers.items() if name not in _NOT_ANSWERS}


def _candidates(folder: Path, project: str) -> Iterator[Path]:
    """Names of new files where the user is, else in their home."""
    for place in (folder, Path.home()):
        yield place / f"{project}.answers.yml"
        for number in range(2, 100):
            yield place / f"{project}.answers-{number}.yml"
