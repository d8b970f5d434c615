"""The answers that Copier recorded in a project."""

from __future__ import annotations

from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

FILE = ".copier-answers.yml"


class AnswersError(Exception):
    """The project's answers cannot be used; the message says why and what to do."""


def read(project: Path) -> dict[str, str]:
    """All answers as text, with Copier's own `_commit` and `_src_path`; raises AnswersError."""
    path = project / FILE
    try:
        found = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise AnswersError(f"{project.resolve()} is no protoserve project: it has no {FILE}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise AnswersError(f"{path} is no YAML: restore it from git ({str(error).splitlines()[0]})") from None
    if not isinstance(found, dict) or not {"package", "framework"} <= found.keys():
        raise AnswersError(f"{path} names no package and framework: restore it from git")
    return {str(key): str(value) for key, value in found.items()}
