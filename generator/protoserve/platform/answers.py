"""The answers that Copier recorded in a project."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from protoserve.platform.errors import ProtoserveError

FILE = ".copier-answers.yml"


class AnswersError(ProtoserveError):
    """The project's answers cannot be used; the message says why and what to do."""


def names(text: str) -> list[str]:
    """The answer to a question that takes several: names by comma, in brackets or not; none for empty text."""
    return [name.strip() for name in text.strip().removeprefix("[").removesuffix("]").split(",") if name.strip()]


def read(project: Path) -> dict[str, str]:
    """All answers as text, with Copier's own `_commit` and `_src_path`; raises AnswersError.

    A list is `[a, b]`: Copier takes it so as data, and `names` gives its parts.
    """
    return {name: _text(value) for name, value in load(project).items()}


def load(project: Path) -> dict[str, Any]:
    """All answers as they are in the file, with Copier's own; raises AnswersError."""
    path = project / FILE
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except FileNotFoundError:
        raise AnswersError(f"{project.resolve()} is no protoserve project: it has no {FILE}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise AnswersError(f"{path} is no YAML: restore it from git ({str(error).splitlines()[0]})") from None
    if not isinstance(found, dict) or not {"package", "framework"} <= found.keys():
        raise AnswersError(f"{path} names no package and framework: restore it from git")
    if not isinstance(found.get("platforms", []), list):
        # An update would take a wrong answer for none, and remove the platforms' files.
        raise AnswersError(f"{path}: platforms must be a list, such as [kubernetes]: restore it from git")
    return {str(key): value for key, value in found.items()}


def _text(value: object) -> str:
    return f"[{', '.join(map(str, value))}]" if isinstance(value, list) else str(value)
