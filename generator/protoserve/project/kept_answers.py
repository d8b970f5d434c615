"""The answers of a creation that failed: kept in a file, with the command that continues with them.

`generator/run.py` keeps them, too, so the module needs nothing but the standard library of Python 3.10 until it reads.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.plain_text import visible
from protoserve.platform.reading import UnreadableFileError, read_text

# What a project's .copier-answers.yml has besides answers.
_NOT_ANSWERS = ("_commit", "_commit_hash", "_src_path", "created")
_MAX_BYTES = 2**20


class AnswersFileError(ProtoserveError):
    """A file of answers cannot be used."""


def keep(answers: Mapping[str, Any], project: str, command: Sequence[str], option: str, folder: Path) -> None:
    """Writes the answers into a new file that only its owner can read, and prints the command that continues, without
    the credentials of URLs.

    `option` is what the command names the file with, `folder` where its user is.
    """
    for path in _new_paths(folder, project):
        name = path.name if path.parent == folder and folder.resolve() == Path.cwd() else str(path)
        line = shlex.join([*map(without_credentials, command), option, name])
        comment = "\n#     ".join(visible(line).splitlines())
        head = f"# The answers for a project that was not created. To continue with them:\n#     {comment}\n"
        values = "".join(f"{name}: {_as_yaml(answer)}\n" for name, answer in answers.items())
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(f"{head}# After that, delete this file.\n{values}")
        except OSError:
            continue
        print(f"protoserve: your answers are kept; continue with: {visible(line)}", file=sys.stderr)
        return


def read(path: Path) -> dict[str, Any]:
    """The answers in a file that `keep` wrote, or in that of a project. Raises AnswersFileError."""
    return {name: answer for name, answer in _load(path).items() if name not in _NOT_ANSWERS}


def template_source(path: Path) -> str:
    """The template that a project's file names. Raises AnswersFileError."""
    return str(_load(path).get("_src_path"))


def _load(path: Path) -> dict[str, Any]:
    import yaml

    from protoserve.platform import plain_yaml

    try:
        answers = plain_yaml.load(read_text(path, most=_MAX_BYTES))
    except UnreadableFileError as error:
        raise AnswersFileError(f"{path} is {error.reason}: --answers needs a file of answers") from None
    except OSError as error:
        raise AnswersFileError(f"{path} cannot be read ({error.strerror}): --answers needs a file of answers") from None
    except (yaml.YAMLError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise AnswersFileError(f"{path} must be YAML, with lines such as port: 9000 ({reason})") from None
    if not isinstance(answers, dict):
        raise AnswersFileError(f"{path} must have a line for each answer, such as port: 9000")
    return {str(name): answer for name, answer in answers.items()}


def _new_paths(folder: Path, project: str) -> Iterator[Path]:
    """Paths for a new file where its user is, else in their home."""
    for place in (folder, Path(os.path.expanduser("~"))):
        yield place / f"{project}.answers.yml"
        yield from (place / f"{project}.answers-{number}.yml" for number in range(2, 100))


def _as_yaml(answer: Any) -> str:
    """The answer as JSON, which YAML reads; it reads no character that cannot be printed."""
    return re.sub(
        r"[^\x20-\x7e]",
        lambda match: match[0] if match[0].isprintable() else f"\\U{ord(match[0]):08x}",
        json.dumps(answer, ensure_ascii=False, default=str),
    )
