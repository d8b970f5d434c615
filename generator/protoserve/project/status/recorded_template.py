"""The template at the version that a project records: its folder, and a fresh render of its files."""

from __future__ import annotations

import os
import re
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from protoserve.platform import answers
from protoserve.platform.errors import os_reason
from protoserve.platform.git import GitError, git
from protoserve.project.recorded_version import MissingVersionError, RecordedTemplateError, recorded_folder

__all__ = [
    "MissingVersionError",
    "RecordedTemplateError",
    "Rendered",
    "refuse_without_script",
    "render",
    "template_folder",
]

SCRIPT = Path("scripts") / "generate.py"
_REFUSED = re.compile(r"(?:question ['\"]|Invalid choice for ')(\w+)['\"](?:: |)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Rendered:
    """A fresh render below `folder`: its answers, and the recorded ones that the questions refuse, with the reason."""

    folder: Path
    answers: dict[str, Any]
    refused: dict[str, str]


def template_folder(project: Path, recorded: Mapping[str, Any], spare_cache: Path) -> Path:
    """The folder of the recorded version, fetched into the user's cache, or `spare_cache` if that cannot be written.

    Raises RecordedTemplateError, also for a project that cannot fetch it itself; MissingVersionError if the template
    does not have that version.
    """
    refuse_without_script(project)
    return recorded_folder(project, recorded, spare_cache)


def refuse_without_script(project: Path) -> None:
    """Raises RecordedTemplateError for a project that cannot fetch its template."""
    if not (project / SCRIPT).is_file():
        raise RecordedTemplateError(f"{SCRIPT.as_posix()}, which fetches the recorded version, {_absence(project)}")


def _absence(project: Path) -> str:
    """Why the project does not have the script."""
    try:
        hidden = git(project, "ls-files", "-t", "--", SCRIPT.as_posix()).startswith(b"S ")
    except GitError:
        hidden = False
    return "is not checked out: run `git sparse-checkout add scripts`" if hidden else "is missing"


@contextmanager
def render(
    template: Path, recorded: Mapping[str, Any], run_copy: Callable[..., object] | None = None
) -> Iterator[Rendered]:
    """The files of the template with the recorded answers; `run_copy` takes the place of Copier's function.

    Raises RecordedTemplateError.
    """
    with TemporaryDirectory(prefix="protoserve-status-") as temporary:
        try:
            rendered = _render(template, Path(temporary), recorded, run_copy)
        except OSError as error:
            raise RecordedTemplateError(
                f"the template cannot be rendered in {temporary}, below TMPDIR: {os_reason(error)}"
            ) from None
        yield rendered


def _render(
    template: Path, temporary: Path, recorded: Mapping[str, Any], run_copy: Callable[..., object] | None
) -> Rendered:
    import copier
    import plumbum
    from copier.errors import CopierError
    from jinja2 import TemplateError

    from protoserve.project.copier_environment import copier_environment

    data = {name: value for name, value in recorded.items() if not name.startswith("_")}
    refused: dict[str, str] = {}
    source, folder = template, temporary / "render"
    if (template / ".git").exists():
        source = temporary / "template"
        copy_without_git(template, source)
    while True:
        try:
            # Without git, Copier does not ask it for a setting after each file.
            with warnings.catch_warnings(), copier_environment(), plumbum.local.env(PATH=""):
                warnings.simplefilter("ignore")
                (run_copy or copier.run_copy)(
                    str(source), folder, data=data, defaults=True, quiet=True, unsafe=True, skip_tasks=True
                )
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


def copy_without_git(template: Path, target: Path) -> None:
    """Copies a template's folder: Copier clones one with git, but takes one without git as it is."""
    ignored = shutil.ignore_patterns(".git", ".venv", ".*_cache", "__pycache__")
    shutil.copytree(template, target, symlinks=True, ignore=ignored, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    """Gives the file another name, which is quicker, or copies it if the file system cannot do that."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
