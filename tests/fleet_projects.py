"""A fleet of projects in bare repositories over three releases of a template, with planted drift, and what a status
must say of each.

    fleet = make_fleet(folder, 200)     # Fleet: the template's URL, the projects, fleet.yaml

A few projects are made by Copier and the generator, one for each release and set of answers. The others are what the
same tools make of other answers: a token stands for what differs between two projects in their names, answers,
schemas and generated files, always in as many characters, so that the token is replaced and nothing else changes. That
this is so is checked by whoever asks a lone `protoserve status` about one of them: it compares each file with what the
tools make.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import cycle, groupby, islice
from pathlib import Path
from typing import Any

import yaml

from releases import Work, commit, git, make_project, make_template

OLDEST, OLDER, NEWEST = "v1.0.0", "v1.1.0", "v2.0.0"
RELEASES = (OLDEST, OLDER, NEWEST)
ANSWERS_FILE = ".copier-answers.yml"
# What stands for the number of a project, and for its port, in the projects that are made by the tools.
_TOKEN, _PORT = "qzxw", "9471"
_PACKAGE = f"fleet_{_TOKEN}"
_OUTCOMES = f"src/{_PACKAGE}/server/core/outcomes.py"
# The row of a project of which nothing can be known.
_REPOSITORY = "repository"
# The lists of a row's details that name what is not as it should be.
_COMPARED = ("refused", "missing", "unknown", "differ", "unmerged", "rejected", "breaking")
_COMPARED += ("edited", "deleted", "blocked", "rules", "excepted")
# Every row is as it should be.
ALL_OK = dict.fromkeys(("template", "answers", "generated", "conflicts", "contract", "files", "policy"), "ok")

# --- projects as the tools make them


@dataclass(frozen=True)
class Flavour:
    """Answers of a project beside its name, package and port."""

    name: str
    answers: Mapping[str, str]


SIGNATURE = Flavour(
    "signature",
    {"framework": "python", "schema": f"amount_{_TOKEN}: float64, country: string -> score: float64"},
)
KUBERNETES = Flavour(
    "kubernetes",
    {"framework": "python", "schema": f"text_{_TOKEN}: string -> scores: float32[2]", "platforms": "[kubernetes]"},
)
TABULAR = Flavour("tabular", {"framework": "sklearn", "schema": "tabular"})
# A stable contract in a release, and then a limit that is narrower. Other projects have no release.
BROKEN_CONTRACT = Flavour("broken contract", {"framework": "python", "schema": "tabular"})

Files = dict[str, tuple[str, bytes]]  # mode and content by path


@dataclass(frozen=True)
class Commit:
    """All files of a project at one commit, and the tag of that commit if it is a release."""

    files: Files
    tag: str = ""


Base = tuple[Commit, ...]
MakeTemplate = Callable[[Path, Mapping[str, str]], Path]


def _make_base(template: str, folder: Path, home: Path, flavour: Flavour, release: str) -> Base:
    """The commits of a project that the tools make."""
    answers = {"project_name": f"Fleet {_TOKEN}", "package": _PACKAGE, "port": _PORT, **flavour.answers}
    work = make_project(Path(template), folder, release, home, source=template, **answers)
    if flavour is not BROKEN_CONTRACT:
        return (Commit(_committed_files(work)),)
    work.edit("schema.yaml", "status: draft", "status: stable")
    _generate(work)
    stable = Commit(_committed_files(work), tag="model-1.0.0")
    git(work.path, "tag", stable.tag)
    work.edit("schema.yaml", "          maximum: 30\n", "          maximum: 20\n")
    _generate(work, "--accept-breaking")
    return (stable, Commit(_committed_files(work)))


def _generate(work: Work, *options: str) -> None:
    work.run(sys.executable, "scripts/generate.py", *options)
    work.commit()


def _committed_files(work: Work) -> Files:
    files = {}
    for line in git(work.path, "ls-files", "--stage", "-z").split("\0"):
        if line:
            attributes, _, name = line.partition("\t")
            files[name] = (attributes.split()[0], (work.path / name).read_bytes())
    return files


# --- drift


@dataclass(frozen=True)
class Kind:
    """A kind of drift: how it gets into a project, and what a status must say of it.

    `states` are those of the rows that are not ok beside `template`. `details` are lists of a row's details, exactly,
    or None for a list that must not be empty. `unknown` is why nothing of the project can be known, as the row
    `repository` names it, which is then the only one. `conflicts` says that an update to the newest release has
    conflicts, `shared` that the projects of this kind are folders of one repository.
    """

    name: str
    plant: Callable[[Files], None] = lambda files: None
    states: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[tuple[str, str], tuple[str, ...] | None] = field(default_factory=dict)
    releases: tuple[str, ...] = RELEASES
    flavours: tuple[Flavour, ...] = (SIGNATURE, KUBERNETES, TABULAR)
    port: int = 9000
    unknown: str = ""
    conflicts: bool = False
    reachable: bool = True
    shared: bool = False


def _replace(name: str, old: str, new: str) -> Callable[[Files], None]:
    """Replaces a text that must be in the file."""

    def plant(files: Files) -> None:
        mode, content = files[name]
        assert old.encode() in content, f"{name} has no {old!r}"
        files[name] = (mode, content.replace(old.encode(), new.encode(), 1))

    return plant


def _append(name: str, text: str) -> Callable[[Files], None]:
    def plant(files: Files) -> None:
        mode, content = files[name]
        files[name] = (mode, content + text.encode())

    return plant


def _delete(name: str) -> Callable[[Files], None]:
    return lambda files: files.__delitem__(name)


def _foreign(files: Files) -> None:
    """The answers name a template that would run a program; nobody lists it in `templates`."""
    mode, content = files[ANSWERS_FILE]
    lines = content.decode().splitlines(keepends=True)
    foreign = [f"_src_path: {_FOREIGN}\n" if line.startswith("_src_path:") else line for line in lines]
    files[ANSWERS_FILE] = (mode, "".join(foreign).encode())


_FOREIGN = "FOREIGN"  # replaced by the URL of the foreign template
_MARKERS = "<<<<<<< before updating\nmine\n=======\ntheirs\n>>>>>>> after updating\n"
_SAME_LINE = ("the server failed to answer this request", "no luck today")  # v1.1.0 changes this line

KINDS = (
    Kind("clean", releases=(NEWEST,)),
    Kind("old version", releases=(OLDEST,)),
    Kind("old version", releases=(OLDER,)),
    Kind(
        "edited file",
        _append("Makefile", "\nmine:\n\techo mine\n"),
        {"files": "edited"},
        {("files", "edited"): ("Makefile",)},
    ),
    Kind("deleted file", _delete("buf.yaml"), {"files": "edited"}, {("files", "deleted"): ("buf.yaml",)}),
    Kind("clean", releases=(NEWEST,)),
    Kind("old version", releases=(OLDEST,)),
    Kind("old version", releases=(OLDER,)),
    Kind(
        "wrong answer",
        _replace(ANSWERS_FILE, "python_version: '3.12'\n", "python_version: '3.9'\n"),
        {"answers": "todo"},
        {("answers", "refused"): ("python_version",)},
    ),
    Kind(
        "broken policy: answer",
        states={"policy": "todo"},
        details={("policy", "rules"): ("answers.port",)},
        releases=(OLDER, NEWEST),
        port=7000,
    ),
    Kind(
        "broken policy: file",
        _append("Dockerfile", "\n# mine\n"),
        {"policy": "todo", "files": "edited"},
        {("policy", "rules"): ("files.unedited",), ("files", "edited"): ("Dockerfile",)},
        releases=(NEWEST,),
    ),
    Kind("clean", releases=(NEWEST,)),
    Kind("old version", releases=(OLDEST,)),
    Kind("old version", releases=(OLDER,)),
    Kind(
        "stale generated file: schema edited",
        _replace("schema.yaml", "doc: ", "doc: New. "),
        {"generated": "todo"},
        {("generated", "differ"): None},
    ),
    Kind(
        "stale generated file: edited itself",
        _append(f"proto/{_PACKAGE}/v1/prediction.proto", "// mine\n"),
        {"generated": "todo"},
        {("generated", "differ"): (f"proto/{_PACKAGE}/v1/prediction.proto",)},
    ),
    Kind("in a shared repository", shared=True),
    Kind(
        "conflict: markers are committed",
        _append("README.md", _MARKERS),
        {"conflicts": "todo", "files": "edited"},
        {("conflicts", "unmerged"): ("README.md",), ("files", "edited"): ("README.md",)},
        releases=(NEWEST,),
    ),
    Kind(
        "conflict: an update makes one",
        _replace(_OUTCOMES, *_SAME_LINE),
        {"files": "edited"},
        {("files", "edited"): (_OUTCOMES,)},
        releases=(OLDEST,),
        conflicts=True,
    ),
    Kind("unreachable", unknown="unreachable", reachable=False),
    Kind("foreign template", _foreign, unknown="foreign template"),
    Kind("no answers file", _delete(ANSWERS_FILE), unknown="no answers file"),
    Kind(
        "broken contract",
        states={"contract": "todo"},
        details={("contract", "breaking"): None},
        flavours=(BROKEN_CONTRACT,),
        releases=(NEWEST,),
    ),
    Kind("a later policy refuses it", releases=(OLDEST,), port=7000),
    Kind("broken policy, but excepted", details={("policy", "excepted"): None}, releases=(NEWEST,), port=7000),
)
EXCEPTED = KINDS[-1]


@dataclass(frozen=True)
class Planted:
    """A project of the fleet: its kind of drift, its release, and where it is: `folder` is "" for the root."""

    number: int
    kind: Kind
    release: str
    flavour: Flavour
    url: str
    folder: str = ""

    @property
    def name(self) -> str:
        """What a fleet calls it."""
        return f"{self.url}#{self.folder}" if self.folder else self.url

    @property
    def repository(self) -> Path:
        """The bare repository, which does not exist for a project that cannot be reached."""
        return Path(self.url.removeprefix("file://"))

    @property
    def title(self) -> str:
        """The answer `project_name`."""
        return self.of_this_project(f"Fleet {_TOKEN}")

    @property
    def where(self) -> str:
        """What a line about the project begins with."""
        return f"{self.number:04} ({self.kind.name}, {self.release}, {self.flavour.name})"

    @property
    def states(self) -> dict[str, str]:
        """The state of each row, exactly."""
        if self.kind.unknown:
            return {_REPOSITORY: "unknown"}
        template = "ok" if self.release == NEWEST else "todo"
        return {**ALL_OK, "template": template, **self.kind.states}

    @property
    def verdict(self) -> str:
        """That of the project in a fleet's status."""
        states = self.states.values()
        return next((state for state in ("unknown", "todo") if state in states), "ok")

    @property
    def details(self) -> dict[tuple[str, str], list[str] | None]:
        """By row and kind of detail: the list, or None for one that is only known not to be empty."""
        if self.kind.unknown:
            return {(_REPOSITORY, self.kind.unknown): None}
        return {
            place: names if names is None else [self.of_this_project(name) for name in names]
            for place, names in self.kind.details.items()
        }

    def differences(self, rows: list[dict[str, Any]]) -> list[str]:
        """A line for each row, as JSON has it, that is not what is planted: what was missed, and what is false."""
        missing = self.states.keys() - {row["name"] for row in rows}
        lines = [f"{self.where}: no row {name}" for name in sorted(missing)]
        for row in rows:
            name, state = row["name"], row["state"]
            if state != self.states.get(name):
                lines.append(f"{self.where}: {name} is {state}, not {self.states.get(name)}")
            for kind in (*_COMPARED, self.kind.unknown):
                planted = self.details.get((name, kind), [])
                listed = [line.partition(":")[0] for line in row["details"].get(kind, [])]
                if listed != planted if planted is not None else not listed:
                    lines.append(f"{self.where}: {kind} of {name} are {listed}, not {planted}")
        return lines

    def of_this_project(self, text: str) -> str:
        """The text with the names and the port of this project."""
        return self.substituted(text.encode()).decode()

    def substituted(self, content: bytes) -> bytes:
        """A file or path with the names and the port of this project."""
        number = f"{self.number:04}".encode()
        content = content.replace(_minute(_PACKAGE), _minute(_PACKAGE.replace(_TOKEN, number.decode())))
        for token in (_TOKEN, _TOKEN.upper()):
            content = content.replace(token.encode(), number)
        return content.replace(_PORT.encode(), b"%d" % (self.kind.port + self.number % 1000))


@cache
def _minute(package: str) -> bytes:
    """When the job for updates runs: template-update.yml derives the minute from the package."""
    return b'cron: "%d 5 ' % (int(hashlib.md5(package.encode()).hexdigest()[:7], 16) % 60)


@dataclass(frozen=True)
class Fleet:
    """A template of three releases, and projects that follow it.

    `trace` is a file that exists if the foreign template was executed.
    """

    folder: Path
    home: Path
    template: str
    projects: tuple[Planted, ...]
    trace: Path

    @property
    def file(self) -> Path:
        """The path of fleet.yaml."""
        return self.folder / "fleet.yaml"


def plan(folder: Path, count: int) -> Iterator[Planted]:
    """The projects of a fleet: the kinds in turn, and of each kind its releases and flavours in turn."""
    releases = [cycle(kind.releases) for kind in KINDS]
    flavours = [cycle(kind.flavours) for kind in KINDS]
    for number, index in enumerate(islice(cycle(range(len(KINDS))), count)):
        kind = KINDS[index]
        name = "shared" if kind.shared else f"{number:04}"
        place = (f"file://{folder}/projects/{name}.git", f"services/{number:04}" if kind.shared else "")
        yield Planted(number, kind, next(releases[index]), next(flavours[index]), *place)


def make_fleet(
    folder: Path, count: int, make_template: Callable[[Path, Mapping[str, str]], Path] = make_template
) -> Fleet:
    """A fleet of that many projects in a new folder; len(KINDS) have every kind of drift.

    `make_template` makes three releases of a template with these policies in or below a new folder, and returns the
    repository: a function of releases.py or small_template.py.
    """
    folder.mkdir(parents=True)
    home = folder / "home"
    home.mkdir()
    projects = tuple(plan(folder, count))
    template = _make_template(folder, projects, make_template)
    fleet = Fleet(folder, home, template, projects, folder / "executed")
    foreign = _make_foreign_template(fleet)
    bases = _make_bases(fleet)
    (folder / "projects").mkdir()
    for repository in dict.fromkeys(project.repository for project in projects if project.kind.reachable):
        _make_repository(repository, _commits_of(repository, fleet, bases, foreign))
    fleet.file.write_text(_fleet_yaml(fleet), encoding="utf-8")
    return fleet


def policies(projects: tuple[Planted, ...]) -> dict[str, str]:
    """policy.yaml by the release that brings it."""
    port = {"minimum": 8000, "maximum": 9999, "why": "the mesh routes these"}
    excepted = [
        {"project": project.title, "rule": "answers.port", "until": "2099-12-31", "why": "moves with the old gateway"}
        for project in projects
        if project.kind is EXCEPTED
    ]
    first: dict[str, object] = {"answers": {"properties": {"port": port}}}
    second = {**first, "files": {"unedited": ["Dockerfile"], "why": "the base image is audited"}}
    if excepted:
        second["exceptions"] = excepted
    return {OLDER: yaml.safe_dump(first, sort_keys=False), NEWEST: yaml.safe_dump(second, sort_keys=False)}


def _make_template(folder: Path, projects: tuple[Planted, ...], make: MakeTemplate) -> str:
    """The URL of a bare repository with the template's releases."""
    work = folder / "work"
    work.mkdir()
    repository = make(work / "models", policies(projects))
    git(folder, "clone", "--quiet", "--bare", str(repository), str(folder / "models.git"))
    return f"file://{folder}/models.git"


def _make_foreign_template(fleet: Fleet) -> str:
    """The URL of a template with a task, a migration and a generator that all leave a trace."""
    folder = fleet.folder / "work" / "foreign"
    (folder / "template").mkdir(parents=True)
    (folder / "generator").mkdir()
    command = [sys.executable, "-c", f"open({str(fleet.trace)!r}, 'a')"]
    settings = {"_subdirectory": "template", "_tasks": [command], "_migrations": [{"command": command}]}
    (folder / "copier.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    (folder / "generator" / "run.py").write_text(f"open({str(fleet.trace)!r}, 'a')\n", encoding="utf-8")
    git(folder, "init", "--quiet", "--initial-branch=main")
    for release in RELEASES:
        (folder / "template" / "README.md").write_text(release, encoding="utf-8")
        commit(folder, release)
        git(folder, "tag", release)
    return f"file://{folder}"


def _make_bases(fleet: Fleet) -> dict[tuple[str, str], Base]:
    """The projects that the tools make, by flavour and release."""
    wanted = {(project.flavour.name, project.release): project.flavour for project in fleet.projects}

    def make(place: tuple[str, str]) -> Base:
        folder = fleet.folder / "work" / "-".join(place).replace(" ", "-")
        return _make_base(fleet.template, folder, fleet.home, wanted[place], place[1])

    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(zip(wanted, pool.map(make, wanted), strict=True))


def _commits_of(
    repository: Path, fleet: Fleet, bases: Mapping[tuple[str, str], Base], foreign: str
) -> Iterator[Commit]:
    """The commits of a repository: those of its project's base, and one with what its author did.

    In a repository with several projects all is in one commit.
    """
    projects = [project for project in fleet.projects if project.repository == repository]
    together: Files = {}
    for project in projects:
        base = bases[project.flavour.name, project.release]
        last = dict(base[-1].files)
        project.kind.plant(last)
        if not project.folder:
            yield from (replace(commit, files=_of(project, commit.files, foreign)) for commit in base)
        together.update(_of(project, last, foreign))
    yield Commit(together)


def _of(project: Planted, files: Files, foreign: str) -> Files:
    """The files with the names of a project, in its folder."""
    folder = f"{project.folder}/" if project.folder else ""
    return {
        folder + project.of_this_project(name): (
            mode,
            project.substituted(content).replace(_FOREIGN.encode(), foreign.encode()),
        )
        for name, (mode, content) in files.items()
    }


def _make_repository(path: Path, commits: Iterator[Commit]) -> None:
    """A bare repository with these commits; one that changes nothing is left out."""
    git(path.parent, "init", "--quiet", "--bare", "--initial-branch=main", str(path))
    different = [next(same) for _, same in groupby(commits, key=lambda commit: commit.files)]
    stream = b"".join(part for commit in different for part in _import(commit))
    subprocess.run(["git", "-C", str(path), "fast-import", "--quiet"], input=stream, check=True)


def _import(commit: Commit) -> Iterator[bytes]:
    """The commit as `git fast-import` reads it."""
    yield b"commit refs/heads/main\ncommitter T <t@example.com> 1767225600 +0000\n" + _data(b"work") + b"deleteall\n"
    for name, (mode, content) in commit.files.items():
        yield f"M {mode} inline {name}\n".encode() + _data(content)
    if commit.tag:
        yield f"reset refs/tags/{commit.tag}\nfrom refs/heads/main\n\n".encode()


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)


def _fleet_yaml(fleet: Fleet) -> str:
    projects: list[object] = []
    for project in fleet.projects:
        folder = {"folder": project.folder} if project.folder else {}
        if folder or project.number % 3 == 0:
            labels = ["eu" if project.number % 2 else "us"]
            projects.append({"url": project.url, "branch": "main", "owner": "risk", "labels": labels, **folder})
        else:
            projects.append(project.url)
    return yaml.safe_dump({"templates": [fleet.template], "projects": projects}, sort_keys=False)
