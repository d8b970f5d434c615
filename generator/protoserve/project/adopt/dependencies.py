"""What a project made by hand wants installed, against the requirements of the template."""

from __future__ import annotations

import ast
import configparser
import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from protoserve.project.adopt.servicer import Note

RUNTIME = ("requirements/model.txt", "requirements/server.txt")
_TOOLS = "requirements/dev.txt"
_INCLUDE = re.compile(r"(?:-r|--requirement)[ =]?\s*(\S+)")


@dataclass(frozen=True, slots=True)
class Dependency:
    """A requirement as it stands in a file; `parsed` is None for what has no name, such as a bare URL."""

    file: str
    line: int
    text: str
    parsed: Requirement | None


def declared(project: Path, listed: Sequence[str]) -> list[Dependency]:
    """What requirements.txt (or the requirements.in it was made of), pyproject.toml and setup.* ask for at run time.

    Of setup.py, which is not run, that is what it writes out as a list.
    """
    found: dict[str, Dependency] = {}
    first = "requirements.in" if "requirements.in" in listed else "requirements.txt"
    for item in (
        *_of_requirements(project, first, listed),
        *_of_pyproject(project, listed),
        *_of_setup_cfg(project, listed),
        *_of_setup_py(project, listed),
    ):
        found.setdefault(_name(item), item)
    return list(found.values())


def missing(had: Sequence[Dependency], made: Path, aside: Mapping[str, bytes], behind: str) -> list[Note]:
    """What the requirements of the new project in `made` lack of it, and the pins that they contradict.

    Files of `aside` have `behind` behind their names by now.
    """
    new: dict[str, tuple[str, Requirement]] = {}
    for file in (*RUNTIME, _TOOLS):
        for item in _of_requirements(made, file, [file]):
            if item.parsed is not None:
                new.setdefault(_name(item), (file, item.parsed))
    notes = []
    for item in had:
        place = f"{item.file}{behind}" if f"{item.file}{behind}" in aside else item.file
        there = new.get(_name(item))
        if there is None:
            notes.append(Note(place, item.line, item.text, RUNTIME[0]))
        elif there[0] in RUNTIME and not _together(item.parsed, there[1]):
            notes.append(Note(place, item.line, item.text, f"{there[0]} has {there[1]}: the old version goes"))
    return notes


def _name(item: Dependency) -> str:
    return item.text if item.parsed is None else canonicalize_name(item.parsed.name)


def _together(old: Requirement | None, new: Requirement) -> bool:
    """Whether a version that the old one pins is one that the new one takes; what pins none is taken as such."""
    pinned = [] if old is None else [part.version for part in old.specifier if part.operator == "=="]
    return all("*" in version or new.specifier.contains(version, prereleases=True) for version in pinned)


def _dependency(file: str, line: int, text: str) -> Dependency:
    try:
        return Dependency(file, line, text, Requirement(text))
    except InvalidRequirement:
        return Dependency(file, line, text, None)


def _of_requirements(project: Path, file: str, listed: Sequence[str]) -> Iterator[Dependency]:
    """A file of requirements and those that it includes; options and hashes are left out."""
    waiting = [file] if file in listed else []
    for name in waiting:  # which grows
        text = (project / name).read_text(encoding="utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            line = re.split(r"(?:^|\s)#|\s--|\s\\$", line)[0].strip()
            include = _INCLUDE.fullmatch(line)
            if include is not None:
                other = (PurePosixPath(name).parent / include[1]).as_posix()
                waiting += [other] if other in listed and other not in waiting else []
            elif line and not line.startswith("-"):
                yield _dependency(name, number, line)


def _of_pyproject(project: Path, listed: Sequence[str], file: str = "pyproject.toml") -> Iterator[Dependency]:
    if file not in listed:
        return
    text = (project / file).read_text(encoding="utf-8", errors="replace")
    try:
        read: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    lines = text.splitlines()
    for wanted in read.get("project", {}).get("dependencies", ()):
        yield _dependency(file, _line(lines, str(wanted)), str(wanted))
    for name, version in read.get("tool", {}).get("poetry", {}).get("dependencies", {}).items():
        if name != "python":
            given = version if isinstance(version, str) else ""
            exact = f"=={given}" if re.fullmatch(r"\d[\w.]*", given) else given if given[:1] in "<>=!~" else ""
            yield _dependency(file, _line(lines, name), f"{name}{exact}")


def _of_setup_cfg(project: Path, listed: Sequence[str], file: str = "setup.cfg") -> Iterator[Dependency]:
    if file not in listed:
        return
    text = (project / file).read_text(encoding="utf-8", errors="replace")
    read = configparser.ConfigParser(interpolation=None)
    try:
        read.read_string(text)
    except configparser.Error:
        return
    lines = text.splitlines()
    for wanted in read.get("options", "install_requires", fallback="").splitlines():
        wanted = re.split(r"(?:^|\s)#", wanted)[0].strip()
        if wanted:
            yield _dependency(file, _line(lines, wanted), wanted)


def _of_setup_py(project: Path, listed: Sequence[str], file: str = "setup.py") -> Iterator[Dependency]:
    if file not in listed:
        return
    try:
        tree = ast.parse((project / file).read_bytes())
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "install_requires":
            for item in getattr(node.value, "elts", ()):
                if isinstance(item, ast.Constant) and isinstance(item.value, str):
                    yield _dependency(file, item.lineno, item.value)


def _line(lines: Sequence[str], text: str) -> int:
    """Where a text stands; 1 where it is written otherwise."""
    return next((number for number, line in enumerate(lines, 1) if text in line), 1)
