"""The template at the version that a project records: its folder, and a fresh render of its files."""

from __future__ import annotations

import importlib.util
import io
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from protoserve.platform import answers
from protoserve.platform.credentials import without_credentials
from protoserve.platform.errors import ProtoserveError, os_reason
from protoserve.platform.git import GitError, git
from protoserve.project.user_folders import environment_variable

SCRIPT = Path("scripts") / "generate.py"
_REFUSED = re.compile(r"(?:question ['\"]|Invalid choice for ')(\w+)['\"](?:: |)(.*)", re.DOTALL)

# Git's words for a revision that a repository does not have.
_MISSING = re.compile(r"unknown revision|did not match any|not a tree|bad object|single revision")


class RecordedTemplateError(ProtoserveError):
    """The recorded version cannot be fetched or rendered."""


class MissingVersionError(RecordedTemplateError):
    """The template does not have the recorded version."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """A fresh render below `folder`: its answers, and the recorded ones that the questions refuse, with the reason."""

    folder: Path
    answers: dict[str, Any]
    refused: dict[str, str]


def template_folder(project: Path, spare_cache: Path) -> Path:
    """The folder of the recorded version, from the cache of the project's own scripts/generate.py.

    The script fetches it if it is not there yet, into `spare_cache` if its cache cannot be written. Raises
    RecordedTemplateError, MissingVersionError if the template does not have that version.
    """
    script = project / SCRIPT
    specification = importlib.util.spec_from_file_location("_protoserve_generate", script)
    if not script.is_file() or specification is None or specification.loader is None:
        raise RecordedTemplateError(f"{SCRIPT.as_posix()}, which fetches the recorded version, {_absence(project)}")
    module = importlib.util.module_from_spec(specification)
    writes_bytecode = not sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # nothing is written into the project
    try:
        specification.loader.exec_module(module)
        try:
            with redirect_stderr(_WithoutCredentials()):
                return _find_template(module, spare_cache)
        except getattr(module, "GeneratorError", ()) as error:
            text = without_credentials(" ".join(str(error).split()))
            raise (MissingVersionError if _MISSING.search(text) else RecordedTemplateError)(text) from None
    except RecordedTemplateError:
        raise
    except (Exception, SystemExit) as error:  # the script may be of another version, or edited
        raise RecordedTemplateError(" ".join(str(error).split()) or type(error).__name__) from None
    finally:
        sys.dont_write_bytecode = not writes_bytecode


def _absence(project: Path) -> str:
    """Why the project does not have the script."""
    try:
        hidden = git(project, "ls-files", "-t", "--", SCRIPT.as_posix()).startswith(b"S ")
    except GitError:
        hidden = False
    return "is not checked out: run `git sparse-checkout add scripts`" if hidden else "is missing"


def _find_template(module: ModuleType, spare_cache: Path) -> Path:
    try:
        return Path(module.find_template())
    except (RuntimeError, getattr(module, "GeneratorError", RuntimeError)) as error:
        # Without a home folder, Python raises RuntimeError in scripts of older templates.
        if not isinstance(error, RuntimeError) and "XDG_CACHE_HOME" not in str(error):
            raise
    with environment_variable("XDG_CACHE_HOME", str(spare_cache)):
        return Path(module.find_template())


class _WithoutCredentials(io.StringIO):
    """Standard error for scripts of older templates, which print the template's URL as it is recorded."""

    def write(self, text: str) -> int:
        return sys.__stderr__.write(without_credentials(text)) if sys.__stderr__ is not None else 0


@contextmanager
def render(template: Path, recorded: dict[str, Any]) -> Iterator[Rendered]:
    """The files of the template with the recorded answers. Raises RecordedTemplateError."""
    with TemporaryDirectory(prefix="protoserve-status-") as temporary:
        try:
            rendered = _render(template, Path(temporary), recorded)
        except OSError as error:
            raise RecordedTemplateError(
                f"the template cannot be rendered in {temporary}, below TMPDIR: {os_reason(error)}"
            ) from None
        yield rendered


def _render(template: Path, temporary: Path, recorded: dict[str, Any]) -> Rendered:
    import copier
    from copier.errors import CopierError
    from jinja2 import TemplateError

    from protoserve.project.copier_environment import copier_environment

    data = {name: value for name, value in recorded.items() if not name.startswith("_")}
    refused: dict[str, str] = {}
    # Copier clones a folder with git, but takes one without git as it is.
    source, folder = temporary / "template", temporary / "render"
    ignored = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__")
    shutil.copytree(template, source, symlinks=True, ignore=ignored, copy_function=_link_or_copy)
    while True:
        try:
            with warnings.catch_warnings(), copier_environment():
                warnings.simplefilter("ignore")
                copier.run_copy(str(source), folder, data=data, defaults=True, quiet=True, unsafe=True, skip_tasks=True)
            return Rendered(folder, answers.load(folder), refused)
        except (CopierError, ValueError, TypeError) as error:
            # Copier stops at the first refused answer, so the others are tried without it.
            refusal = _REFUSED.search(str(error))
            if refusal is None or refusal[1] not in data:
                raise RecordedTemplateError(" ".join(str(error).split())) from None
            refused[refusal[1]] = " ".join(refusal[2].split()) or "it does not have the question's type"
            del data[refusal[1]]
        except TemplateError as error:
            raise RecordedTemplateError(f"the template cannot be rendered: {error}") from None


def _link_or_copy(source: str, target: str) -> None:
    """Gives the file another name, which is quicker, or copies it if the file system cannot do that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
