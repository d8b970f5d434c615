"""The answers that Copier records in a project."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from protoserve.platform import plain_yaml
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.reading import NotTextError, UnreadableFileError, read_text

FILE = ".copier-answers.yml"
_PACKAGE = re.compile("[a-z][a-z0-9_]*")
_MAX_BYTES = 2**20
_MARKER = re.compile("^<<<<<<< ", re.MULTILINE)
_NEW_PROJECT = "to have another, create a new project and move model.py and schema.yaml over"
# The answers that only creation reads, and what to do instead of changing them.
FIXED = {
    "package": _NEW_PROJECT,
    "framework": _NEW_PROJECT,
    "schema": "edit schema.yaml, then `make generate`",
    "serve": "edit `served` of the methods in schema.yaml, then `make generate`",
}


class AnswersError(ProtoserveError):
    """The recorded answers cannot be used."""


def names(text: str) -> list[str]:
    """The answer to a question with several choices: names between commas, in brackets or not."""
    return [name.strip() for name in text.strip().removeprefix("[").removesuffix("]").split(",") if name.strip()]


def read(project: Path) -> dict[str, str]:
    """All answers as text, with Copier's own `_commit` and `_src_path`. Raises AnswersError.

    A list becomes `[a, b]`, which Copier accepts as data and `names` splits.
    """
    return {name: _text(answer) for name, answer in load(project).items()}


def load(project: Path) -> dict[str, Any]:
    """All answers as they are in the file, with Copier's own. Raises AnswersError."""
    path = project / FILE
    if path.exists() and not path.is_file():
        raise AnswersError(f"{path} is not a file: restore it from git")
    text = ""
    try:
        text = read_text(path, project, _MAX_BYTES)
        answers = plain_yaml.load(text)
    except FileNotFoundError:
        remedy = f"if it was deleted, `git restore {FILE}` brings it back"
        raise AnswersError(f"{project.resolve()} is not a protoserve project: it has no {FILE}; {remedy}") from None
    except NotTextError as error:
        raise AnswersError(f"{error}, or restore it from git") from None
    except UnreadableFileError as error:
        raise AnswersError(str(error)) from None
    except yaml.YAMLError as error:
        if marker := _MARKER.search(text):
            line = text.count("\n", 0, marker.start()) + 1
            raise AnswersError(
                f"{path}:{line} has conflict markers: keep one side of each conflict, and commit the file"
            ) from None
        raise AnswersError(f"{path} is not valid YAML: restore it from git ({str(error).splitlines()[0]})") from None
    if not isinstance(answers, dict) or not {"package", "framework"} <= answers.keys():
        raise AnswersError(f"{path} lacks package or framework: restore it from git")
    if not _PACKAGE.fullmatch(str(answers["package"])):
        # It becomes a part of paths and of code.
        raise AnswersError(f"{path}: package must be the name of a Python package, such as iris: restore it from git")
    if not isinstance(answers.get("platforms", []), list):
        # An update would take a wrong answer for none, and remove the platforms' files.
        raise AnswersError(f"{path}: platforms must be a list, such as [kubernetes]: restore it from git")
    return {str(name): answer for name, answer in answers.items()}


def refuse_link(project: Path) -> None:
    """Raises AnswersError if the file is a symbolic link, of which git has only where it leads."""
    if (project / FILE).is_symlink():
        raise AnswersError(f"{project / FILE} is a symbolic link: put the file itself in its place, and commit it")


def _text(answer: object) -> str:
    return f"[{', '.join(map(str, answer))}]" if isinstance(answer, list) else str(answer)
