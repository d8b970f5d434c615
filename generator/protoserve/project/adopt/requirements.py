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
    def parsed(self) -> Requirement | None:
        """None for a requirement without a name, such as a URL."""
        try:
            return Requirement(self.text)
        except InvalidRequirement:
            return None

    @property
    def key(self) -> str:
        return canonicalize_name(self.parsed.name) if self.parsed is not None else self.text


def declared(project: Path, listed: Sequence[str]) -> list[Declared]:
    """The requirements in requirements.in, else requirements.txt, and in pyproject.toml; the first of each name."""
    first = "requirements.in" if "requirements.in" in listed else "requirements.txt"
    by_name: dict[str, Declared] = {}
    for item in (*_in_requirements(project, first, listed), *_in_pyproject(project, listed)):
        by_name.setdefault(item.key, item)
    return list(by_name.values())


def to_bring_over(old: Sequence[Declared], new_project: Path, renamed: Mapping[str, str]) -> list[Note]:
    """The requirements that the new project lacks, and those that contradict it.

    `renamed` has the new names of the author's files that were moved aside.
    """
    new: dict[str, Declared] = {}
    for file in (MODEL, SERVER, TOOLS):
        for item in _in_requirements(new_project, file, [file]):
            new.setdefault(item.key, item)
    notes = []
    for item in old:
        counterpart = new.get(item.key)
        place = renamed.get(item.file, item.file)
        if counterpart is None:
            notes.append(Note(place, item.line, item.text, MODEL))
        elif counterpart.file != TOOLS and _contradict(item, counterpart):
            instead = f"drop it: {counterpart.file} requires {counterpart.text}"
            notes.append(Note(place, item.line, item.text, instead))
    return notes


def _contradict(pinned: Declared, bound: Declared) -> bool:
    """Whether an exact pin is outside of the other requirement's bounds."""
    if pinned.parsed is None or bound.parsed is None:
        return False
    versions = [item.version for item in pinned.parsed.specifier if item.operator == "==" and "*" not in item.version]
    return any(not bound.parsed.specifier.contains(version, prereleases=True) for version in versions)


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
