"""What a project made by hand requires at run time, compared with the requirements of the template."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from protoserve.project.adopt.servicer import Note

MODEL, SERVER, TOOLS = "requirements/model.txt", "requirements/server.txt", "requirements/dev.txt"
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
            return self.text


def declared(project: Path, listed: Sequence[str]) -> list[Declared]:
    """The requirements in requirements.in, else requirements.txt, and in pyproject.toml; the first of each name."""
    first = "requirements.in" if "requirements.in" in listed else "requirements.txt"
    by_name: dict[str, Declared] = {}
    for item in (*_in_requirements(project, first, listed), *_in_pyproject(project, listed)):
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
        text = (project / file).read_text(encoding="utf-8", errors="replace")
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
    text = (project / file).read_text(encoding="utf-8", errors="replace")
    try:
        requirements = tomllib.loads(text).get("project", {}).get("dependencies", ())
    except tomllib.TOMLDecodeError:
        return
    lines = text.splitlines()
    for requirement in map(str, requirements):
        number = next((number for number, line in enumerate(lines, 1) if requirement in line), 1)
        yield Declared(file, number, requirement)
