"""The template at the version that a project records: its folder, and its files as they come from it."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from protoserve.platform import answers
from protoserve.platform.errors import ProtoserveError

SCRIPT = Path("scripts") / "generate.py"
_REFUSED = re.compile(r"(?:question ['\"]|Invalid choice for ')(\w+)['\"](?:: |)(.*)", re.DOTALL)


class RecordedError(ProtoserveError):
    """The recorded version cannot be had; the message says why."""


class GoneError(RecordedError):
    """The template cannot be reached, or has no such version."""


@dataclass(frozen=True, slots=True)
class Render:
    """The files of a fresh render below `folder`; its answers, and those that the questions refuse, with the reason."""

    folder: Path
    answers: dict[str, Any]
    refused: dict[str, str]


def template_folder(project: Path) -> Path:
    """The folder of the recorded version, from the cache of the project's own scripts/generate.py.

    It is fetched where it is not there yet. Raises RecordedError; GoneError where the script found none.
    """
    script = project / SCRIPT
    specification = importlib.util.spec_from_file_location("_protoserve_generate", script)
    if not script.is_file() or specification is None or specification.loader is None:
        raise RecordedError(f"{SCRIPT.as_posix()}, which fetches the recorded version, is missing")
    module = importlib.util.module_from_spec(specification)
    before = sys.dont_write_bytecode
    sys.dont_write_bytecode = True  # a status writes nothing into the project
    try:
        specification.loader.exec_module(module)
        try:
            return Path(module.find_template())
        except getattr(module, "GeneratorError", ()) as error:
            raise GoneError(" ".join(str(error).split())) from None
    except RecordedError:
        raise
    except (Exception, SystemExit) as error:  # the script is of another version, or edited: anything may come out of it
        raise RecordedError(" ".join(str(error).split()) or type(error).__name__) from None
    finally:
        sys.dont_write_bytecode = before


@contextmanager
def rendered(template: Path, recorded: dict[str, Any]) -> Iterator[Render]:
    """The files of the template with the recorded answers. Raises RecordedError."""
    import copier
    from copier.errors import CopierError
    from jinja2 import TemplateError

    data = {name: value for name, value in recorded.items() if not name.startswith("_")}
    refused: dict[str, str] = {}
    with TemporaryDirectory(prefix="protoserve-status-") as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # Without git, Copier takes the folder as it is, and makes no clone of it.
        source, folder = Path(temporary) / "template", Path(temporary) / "render"
        shutil.copytree(template, source, symlinks=True, ignore=_hidden_at(template), copy_function=_link)
        while True:
            try:
                copier.run_copy(str(source), folder, data=data, defaults=True, quiet=True, unsafe=True, skip_tasks=True)
                break
            except (CopierError, ValueError, TypeError) as error:
                # Copier has no type of its own for an answer that is refused: the others are looked at without it.
                found = _REFUSED.search(str(error))
                if found is None or found[1] not in data:
                    raise RecordedError(" ".join(str(error).split())) from None
                refused[found[1]] = " ".join(found[2].split()) or "it is not of the question's type"
                del data[found[1]]
            except TemplateError as error:
                raise RecordedError(f"the template cannot be rendered: {error}") from None
        yield Render(folder, answers.load(folder), refused)


def _link(source: str, target: str) -> None:
    """The file under another name where the file system can do that, which is quicker than a copy."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _hidden_at(top: Path) -> Any:
    def ignored(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if name.startswith(".")} if Path(folder) == top else {"__pycache__"}

    return ignored
