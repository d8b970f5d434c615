"""The files from before the adoption that the template's checks would read: before-adopt.toml lists them."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path, PurePosixPath

from protoserve.platform.git import git_paths
from protoserve.project.adopt.existing_project import STUB, content

FILE = "before-adopt.toml"
_HEADER = """\
# Files from before `protoserve adopt`: `make check`, pre-commit and CI leave them out, and pytest does not run them.
# Delete a line, and the checks apply to its file. The patterns are those of ruff's `exclude`, which reads the list.
"""
# mypy and buf read what lies in these folders even if git ignores it; ruff does not.
_READ_IF_IGNORED = {"src": (".py", ".pyi"), "scripts": (".py", ".pyi"), "tests": (".py", ".pyi"), "proto": (".proto",)}
_RUFF_SUFFIXES = (".py", ".pyi", ".ipynb")
RUFF_SETTINGS = ("ruff.toml", ".ruff.toml", "pyproject.toml")
# ruff formats the Python in Markdown.
_PYTHON_BLOCK = re.compile(rb"^[ \t>]*(?:```|~~~)[ \t]*\{?\.?py", re.MULTILINE)
_SPECIAL_CHARACTERS = re.compile(r"([*?\[{}\\])")
_UNDECODABLE = re.compile("[\udc80-\udcff]+")


def ignored_files(project: Path) -> list[str]:
    """The files that git ignores, and that mypy or buf would read nevertheless."""
    command = ("ls-files", "-z", "--others", "--ignored", "--exclude-standard", "--", *_READ_IF_IGNORED)
    names = (name for name in git_paths(project, *command) if "/site-packages/" not in name)
    return [name for name in names if name.endswith(_READ_IF_IGNORED[name.partition("/")[0]])]


def text(entries: Iterable[str]) -> str:
    """The content of before-adopt.toml."""
    lines = "".join(f"    {_pattern(entry)},\n" for entry in sorted(set(entries)))
    return f"{_HEADER}extend-exclude = [\n{lines}]\n"


def entries(project: Path, old: Collection[str], template: Collection[str]) -> Iterator[str]:
    """The files among `old` that a check of the template reads; `template` are the template's own files.

    A folder with ruff's settings is an entry itself, since ruff would take them for its files.
    """
    template_folders = {parent.as_posix() for name in template for parent in PurePosixPath(name).parents}
    settled = {
        PurePosixPath(name).parent.as_posix() for name in old if PurePosixPath(name).name in RUFF_SETTINGS
    } - template_folders
    for name in old:
        folders = [parent.as_posix() for parent in PurePosixPath(name).parents]
        outermost = next((folder for folder in reversed(folders) if folder in settled), None)
        if outermost is not None:
            yield outermost
        elif (project / name).is_dir() or _is_checked(project, name):  # a submodule, or a link to a folder
            yield name


def _is_checked(project: Path, name: str) -> bool:
    path = PurePosixPath(name)
    if STUB.search(path.name):
        return path.parts[0] in _READ_IF_IGNORED  # of mypy; ruff reads no stubs
    if path.suffix == ".proto":
        return path.parts[0] == "proto"
    if path.suffix == ".md":
        return bool(_PYTHON_BLOCK.search(content(project, name)))
    return path.suffix in _RUFF_SUFFIXES or path.name in RUFF_SETTINGS


def _pattern(entry: str) -> str:
    """An entry as a TOML string: a glob that fits this path only."""
    escaped = _UNDECODABLE.sub("*", _SPECIAL_CHARACTERS.sub(r"[\1]", entry))
    return json.dumps(f"./{escaped}", ensure_ascii=False).replace("\x7f", "\\u007f")
