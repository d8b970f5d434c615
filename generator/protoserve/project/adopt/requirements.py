"""What a project made by hand requires at run time, compared with the requirements of the template."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from protoserve.project.adopt import existing_project, python_source
from protoserve.project.adopt.servicer import Note

MODEL, SERVER, TOOLS = "requirements/model.txt", "requirements/server.txt", "requirements/dev.txt"
_NAME_AND_VERSION = re.compile(r"([A-Za-z0-9][\w.-]*) \S.*")
_INCLUDE = re.compile(r"(?:-r|--requirement)[ =]?\s*(\S+)")


class Declared(NamedTuple):
    """A requirement as it is written in a file."""

    file: str
    line: int
    text: str

    @property
    def key(self) -> str:
        """The name; the text itself of a requirement without a name, such as a URL."""
        try:
            return canonicalize_name(Requirement(self.text).name)
        except InvalidRequirement:
            named = _NAME_AND_VERSION.fullmatch(self.text)  # as Poetry has it: pandas ^2.1
            return canonicalize_name(named[1]) if named else self.text


def declared(project: Path, listed: Sequence[str]) -> list[Declared]:
    """The requirements in requirements.in, else requirements.txt, and in files of builds; the first of each name."""
    first = "requirements.in" if "requirements.in" in listed else "requirements.txt"
    by_name: dict[str, Declared] = {}
    builds = (*_in_pyproject(project, listed), *_in_setup_cfg(project, listed), *_in_setup_py(project, listed))
    for item in (*_in_requirements(project, first, listed), *builds):
        by_name.setdefault(item.key, item)
    return list(by_name.values())


def to_bring_over(old: Sequence[Declared], new_project: Path, renamed: Mapping[str, str]) -> list[Note]:
    """The requirements that the new project lacks; `renamed` has the new names of files that were moved aside."""
    new = {item.key for file in (MODEL, SERVER, TOOLS) for item in _in_requirements(new_project, file, [file])}
    lacking = (item for item in old if item.key not in new)
    return [Note(renamed.get(item.file, item.file), item.line, item.text, MODEL) for item in lacking]


def _in_requirements(project: Path, first: str, listed: Sequence[str]) -> Iterator[Declared]:
    """The lines of a requirements file and of those that it includes, without options and hashes."""
    files = [first] if first in listed else []
    for file in files:  # the list grows
        text = existing_project.text(project, file)
        for number, line in enumerate(text.splitlines(), 1):
            line = re.split(r"(?:^|\s)#|\s--|\s\\$", line)[0].strip()
            include = _INCLUDE.fullmatch(line)
            if include is not None:
                other = (PurePosixPath(file).parent / include[1]).as_posix()
                files += [other] if other in listed and other not in files else []
            elif line and not line.startswith("-"):
                yield Declared(file, number, line)


def _in_pyproject(project: Path, listed: Sequence[str]) -> Iterator[Declared]:
    file = "pyproject.toml"
    if file not in listed:
        return
    text = existing_project.text(project, file)
    try:
        content = tomllib.loads(text)
        requirements = [*map(str, content.get("project", {}).get("dependencies", ()))]
        of_poetry = content.get("tool", {}).get("poetry", {}).get("dependencies", {})
        versions = {name: version for name, version in of_poetry.items() if name != "python"}
    except (tomllib.TOMLDecodeError, AttributeError, TypeError, RecursionError):
        return
    for requirement in requirements:
        yield Declared(file, _line(text, requirement), requirement)
    for name, version in versions.items():
        yield Declared(file, _line(text, name), f"{name} {version}" if isinstance(version, str) else name)


def _in_setup_cfg(project: Path, listed: Sequence[str]) -> Iterator[Declared]:
    file = "setup.cfg"
    if file not in listed:
        return
    text = existing_project.text(project, file)
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return
    for requirement in parser.get("options", "install_requires", fallback="").splitlines():
        if requirement.strip():
            yield Declared(file, _line(text, requirement.strip()), requirement.strip())


def _in_setup_py(project: Path, listed: Sequence[str]) -> Iterator[Declared]:
    """The texts that are written in the call of setup(); the file is not run."""
    file = "setup.py"
    if file not in listed:
        return
    try:
        tree = python_source.parse(existing_project.content(project, file))
    except python_source.UNPARSABLE:
        return
    keywords = (node for node in ast.walk(tree) if isinstance(node, ast.keyword) and node.arg == "install_requires")
    for part in (part for keyword in keywords for part in ast.walk(keyword.value)):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield Declared(file, part.lineno, part.value)


def _line(text: str, part: str) -> int:
    """The number of the first line with this part, 1 if there is none."""
    return next((number for number, line in enumerate(text.splitlines(), 1) if part in line), 1)
