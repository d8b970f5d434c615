"""Reads `fleet.yaml`. Everything wrong in it is reported at once, each with its place."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from protoserve.fleet.model import Fleet, Project
from protoserve.fleet.trust import identity
from protoserve.platform.errors import ProtoserveError
from protoserve.platform.git import SourceError, refuse_source
from protoserve.platform.git.sources import address, is_url
from protoserve.platform.reading import read_text
from protoserve.platform.yaml_tree import Mapping, Node, Scalar, YamlError, parse
from protoserve.schema.errors import Problem, SchemaError
from protoserve.schema.mapping_reader import Problems, Section, TooManyProblems, described, shown

DEFAULT = Path("fleet.yaml")
MOST_PROJECTS = 10_000
_MAX_BYTES = 4 * 2**20
_MOST_TEMPLATES = 100
_MOST_LABELS = 50
_LONGEST_WORD = 200
_LONGEST_SOURCE = 4096
_EXAMPLE = "write `templates: [URL]` and `projects:` with a list of URLs"
_KEYS = ("url", "path", "branch", "folder", "owner", "labels")
_MEANT = {"name": "a project is named by its url and folder", "repo": "write url", "label": "write labels: [NAME]"}
# What git allows in a branch's name (https://git-scm.com/docs/git-check-ref-format), less what no team uses.
_BRANCH = re.compile(r"(?!-)(?!.*(?:\.\.|@\{|//|/\.|\.lock(?:/|$)))[^\s~^:?*\[\\\x00-\x1f\x7f]+(?<![/.])")


class FleetFileError(SchemaError):
    """`fleet.yaml` cannot be used; its lines have the form FILE:LINE:COLUMN: PATH: what is wrong; what to do."""


def load(file: Path) -> Fleet:
    """The fleet that a file describes. Paths in it count from its folder.

    Raises FleetFileError for what is wrong in it, and ProtoserveError if it cannot be read.
    """
    text = _text(file)
    if not text.strip():
        raise FleetFileError(str(file), [Problem(1, 1, "", "the file is empty", _EXAMPLE)])
    try:
        tree = parse(text)
    except YamlError as error:
        faults = [Problem(f.place.line, f.place.column, "", f.message, f.remedy) for f in error.faults]
        raise FleetFileError(str(file), faults) from None
    problems = Problems()
    try:
        fleet = _Reader(file, problems).read(tree)
    except TooManyProblems:
        fleet = None
    if fleet is None or problems.items:
        raise FleetFileError(str(file), problems.items)
    return fleet


def _text(file: Path) -> str:
    try:
        return read_text(file, most=_MAX_BYTES)
    except FileNotFoundError:
        remedy = "write one (docs/fleet.md), or give its path"
        raise ProtoserveError(f"{file} does not exist, and it lists the projects of a fleet: {remedy}") from None


class _Reader:
    """Collects the parts of one file."""

    def __init__(self, file: Path, problems: Problems) -> None:
        self._file, self._problems = file, problems
        self._folder = Path(os.path.abspath(file)).parent
        self._entries: dict[tuple[str, str, str], Node] = {}  # of each project: its repository, branch and folder

    def read(self, tree: Node) -> Fleet | None:
        """The fleet; None if there is none, which is then reported."""
        if not isinstance(tree, Mapping):
            self._problems.add(tree.place, "", f"fleet.yaml must be a mapping, not {described(tree)}", _EXAMPLE)
            return None
        top = Section(tree, "", self._problems)
        top.allow(("templates", "projects"))
        for key in ("templates", "projects"):
            if key not in top:
                top.report(None, f"{key!r} is missing", _EXAMPLE)
        templates = tuple(self._templates(top))
        return Fleet(self._file, templates, tuple(self._projects(top)))

    def _templates(self, top: Section) -> Iterator[str]:
        items = top.items("templates", "URLs")
        if items is not None and not items:
            top.report("templates", "'templates' lists no template", "list those whose code may be run")
        if items is not None and len(items) > _MOST_TEMPLATES:
            top.report("templates", f"'templates' lists more than {_MOST_TEMPLATES}", "list fewer")
            return
        for number, item in enumerate(items or ()):
            if source := self._source(item, f"templates[{number}]"):
                yield self._address(source)

    def _projects(self, top: Section) -> Iterator[Project]:
        items = top.items("projects", "URLs")
        if items is not None and not items:
            top.report("projects", "'projects' is empty", "list the URLs of the projects' repositories")
        count = 0
        for number, item in enumerate(items or ()):
            for project in self._entry(item, f"projects[{number}]"):
                count += 1
                if count > MOST_PROJECTS:
                    top.report("projects", f"there are more than {MOST_PROJECTS} projects", "split fleet.yaml")
                    return
                if self._is_new(project, item, f"projects[{number}]"):
                    yield project

    def _is_new(self, project: Project, node: Node, path: str) -> bool:
        key = (identity(project.address), project.branch, project.folder)
        if key not in self._entries:
            self._entries[key] = node
            return True
        first = self._entries[key]
        if first is node:  # a pattern that also matches a link to the folder
            return False
        message = f"{project.name} is listed twice (first on line {first.place.line})"
        self._problems.add(node.place, path, message, "keep one of the two, or give them different folders")
        return False

    def _entry(self, node: Node, path: str) -> Iterator[Project]:
        """The projects of one item of the list: several where it is a pattern."""
        if not isinstance(node, Mapping):
            if source := self._source(node, path):
                yield Project(source, self._address(source))
            return
        section = Section(node, path, self._problems)
        section.allow(_KEYS, _MEANT)
        if ("url" in section) == ("path" in section):
            section.report(None, "a project needs either 'url' or 'path'", "write one of them")
            return
        labels, folder = tuple(self._labels(section)), self._sub_folder(section)
        branch, owner = self._branch(section), self._word(section, "owner")
        if "url" in section:
            source = self._source(section.node_of("url"), f"{path}.url")
            sources = [source] if source else []
        else:
            sources = self._matching(section)
        for source in sources:
            yield Project(source, self._address(source), branch, folder, owner, labels)

    def _source(self, node: Node | None, path: str) -> str:
        """A URL or path; "" for one that is refused, and then reported."""
        assert node is not None
        if not isinstance(node, Scalar) or not isinstance(node.value, str) or not node.text.strip():
            self._problems.add(node.place, path, f"must be a URL or a path, not {described(node)}", "write a URL")
            return ""
        text = node.text.strip()
        try:
            refuse_source(text, self._folder, "it")
        except SourceError as error:
            message, _, refused = str(error).removeprefix("it ").partition(", not ")
            self._problems.add(node.place, path, message, f"write one of these in place of {refused}")
            return ""
        return text

    def _matching(self, section: Section) -> list[str]:
        """The folders that a pattern matches, sorted, as paths from fleet.yaml."""
        pattern = section.text("path")
        if not pattern:
            return []
        if len(pattern) > _LONGEST_SOURCE:
            section.report("path", f"'path' is longer than {_LONGEST_SOURCE} characters", "shorten it")
            return []
        whole = str(self._path(pattern))
        matched = sorted(path for path in glob.iglob(whole) if os.path.isdir(path))
        if not matched:
            section.report("path", f"no folder matches {shown(pattern)}", "a path starts at the folder of fleet.yaml")
        absolute = os.path.isabs(os.path.expanduser(pattern))
        return [path if absolute else os.path.relpath(path, self._folder) for path in matched]

    def _address(self, source: str) -> str:
        return address(source) if is_url(source) else str(self._path(source))

    def _path(self, text: str) -> Path:
        return Path(os.path.normpath(self._folder / os.path.expanduser(text)))

    def _sub_folder(self, section: Section) -> str:
        text = section.text("folder")
        if text is None:
            return ""
        folder = PurePosixPath(text)
        parts = {part.casefold() for part in folder.parts}
        if folder.is_absolute() or {"..", ".git"} & parts or "\\" in text or len(text) > _LONGEST_SOURCE:
            section.report("folder", "'folder' must be a path in the repository", "write it as services/churn")
            return ""
        return "" if str(folder) == "." else str(folder)

    def _branch(self, section: Section) -> str:
        text = section.text("branch")
        if text is None:
            return ""
        if len(text) > _LONGEST_WORD or not _BRANCH.fullmatch(text):
            section.report("branch", f"'branch' must be the name of a branch, not {shown(text)}", "write it as main")
            return ""
        return text.removeprefix("refs/heads/")

    def _word(self, section: Section, key: str) -> str:
        text = section.text(key) or ""
        if len(text) > _LONGEST_WORD:
            section.report(key, f"{key!r} is longer than {_LONGEST_WORD} characters", "shorten it")
        return text

    def _labels(self, section: Section) -> Iterator[str]:
        items = section.items("labels", "words") or ()
        if len(items) > _MOST_LABELS:
            section.report("labels", f"a project has at most {_MOST_LABELS} labels", "take some out")
            return
        for number, item in enumerate(items):
            path = f"{section.path}.labels[{number}]"
            if not isinstance(item, Scalar) or item.value is None or not item.text.strip():
                self._problems.add(item.place, path, f"must be a word, not {described(item)}", "write a word")
            elif len(item.text) > _LONGEST_WORD:
                self._problems.add(item.place, path, f"is longer than {_LONGEST_WORD} characters", "shorten it")
            else:
                yield item.text.strip()
