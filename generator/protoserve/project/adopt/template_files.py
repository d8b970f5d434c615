"""The template's files put beside the author's: which are new, and what happens where both have one."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.emit.generated_files import Plan
from protoserve.platform.printing import listed, printable
from protoserve.platform.reading import files_below, read_bytes, read_if_exists
from protoserve.project.adopt import existing_project, old_files, python_source
from protoserve.schema.model import Contract

# An author's file that makes room for the template's keeps its name with this suffix.
ASIDE = ".before-adopt"
_KEPT = ("LICENSE",)
_MERGED = (".gitignore",)
# Settings that the template's tools would read before those in its pyproject.toml, and builds that would run before its
# own. They make room although the template has no file of that name.
_SETTINGS_AT_THE_TOP = (
    *("setup.py", "setup.cfg", "mypy.ini", ".mypy.ini", "buf.work.yaml", ".hadolint.yaml", ".hadolint.yml"),
    *("GNUmakefile", "makefile", "local.mk", "requirements.lock", "requirements-dev.lock", "requirements/train.txt"),
)
_RUFF_AND_PYTEST = ("ruff.toml", ".ruff.toml", "pytest.ini", ".pytest.ini", "pytest.toml", ".pytest.toml")
_SETTINGS_OF_TESTS = ("tests/tox.ini", "tests/setup.cfg")
_PLATFORM_FILES = re.compile(r"deploy/[^/]+/([^/]+\.mk|requirements-dev\.txt)")
# Files that the generator or a test of the template reads by such names.
_READ_BY_NAME = (
    ("schemas", "schemas/*.yaml", "are read as versions of the contract"),
    ("tests/requests", "*.json", "are read as sample requests"),
)

_LIBRARIES = ("google", "grpc", "grpc_health", "grpc_reflection", "grpc_status", "numpy")  # of the server


@dataclass(slots=True)
class TemplateFiles:
    """What is written, by path in the project.

    `aside` and `merged` hold the author's files, `removed` names of files that were moved aside and have no successor,
    `listed` files that the checks leave out.
    """

    new: dict[str, bytes] = field(default_factory=dict)
    aside: dict[str, bytes] = field(default_factory=dict)
    merged: dict[str, bytes] = field(default_factory=dict)
    removed: list[str] = field(default_factory=list)
    listed: list[str] = field(default_factory=list)

    @property
    def renamed(self) -> dict[str, str]:
        """The author's files that were moved aside: old names to new ones."""
        return {name.removesuffix(ASIDE): name for name in self.aside}

    def plan(self, project: Path) -> Plan:
        """The same as a plan, which is written completely or not at all."""
        return Plan(project, {**self.new, **self.aside, **self.merged}, tuple(self.removed))


def template_files(project: Path, new_project: Path, tracked: Sequence[str]) -> tuple[TemplateFiles, list[str]]:
    """Compares the files of a new project with the author's, which git lists; and the reasons why both do not fit."""
    files = TemplateFiles()
    in_the_way = []
    names = sorted(path.relative_to(new_project).as_posix() for path in new_project.rglob("*") if path.is_file())
    for name in names:
        target, content = project / name, (new_project / name).read_bytes()
        if not _exists(target):
            files.new[name] = content
            continue
        mine = read_if_exists(target, project)
        if mine is None or target.is_symlink():
            in_the_way.append(f"{name} (not a regular file)")
        elif mine == content or name in _KEPT:
            continue
        elif name.endswith((".py", ".pyi")):
            in_the_way.append(name)
        elif name in _MERGED:
            files.merged[name] = _add_missing_lines(mine, content)
        else:
            files.new[name], files.aside[f"{name}{ASIDE}"] = content, mine
    for name in _settings(project, names, tracked):
        files.aside[f"{name}{ASIDE}"] = read_bytes(project / name, project)
        files.removed.append(name)
    in_the_way += [name for name in files.aside if _exists(project / name)]
    for parent in {parent for name in files.new for parent in Path(name).parents}:
        if _exists(project / parent) and not (project / parent).is_dir():
            in_the_way.append(f"{parent.as_posix()} (a folder of the template)")
        elif (project / parent).is_symlink():
            in_the_way.append(f"{parent.as_posix()} (a link, and a folder of the template)")
    old = [name for name in tracked if name not in files.new and name not in files.removed]
    if "scripts/before_adopt.py" in names:  # a template of an earlier version reads no list
        files.listed = sorted(set(old_files.entries(project, [*old, *old_files.ignored_files(project)], names)))
        files.new[old_files.FILE] = old_files.text(files.listed).encode()
    if not in_the_way:
        return files, []
    ways = ", ".join(map(printable, sorted(in_the_way)))
    return files, [f"the template has files of these names, and yours would be lost: {ways}; rename and commit"]


def name_clashes(project: Path, new_project: Path, package: str, contract: Contract) -> Iterator[str]:
    """The author's files that would hide the template's modules or the new stubs, or be taken for the template's."""
    for name in (f"src/{package}", f"src/{package}.py", package, f"{package}.py"):
        if _exists(project / name):
            yield f"{name} exists, so the package cannot be {package}: try --package {package}_server"
    top_folder = contract.folder.partition("/")[0]
    for name in (f"{top_folder}.py", f"src/{top_folder}.py"):
        if _exists(project / name):
            yield f"{name} hides the package {top_folder} of the new stubs: rename it and commit"
    for name in (f"{root}{library}" for root in ("", "src/") for library in _LIBRARIES):
        if _exists(project / f"{name}.py") or _exists(project / name / "__init__.py"):
            yield f"{name} hides the library of that name from the template's server: rename it and commit"
    for root in ("", "src/"):
        name = f"{root}{contract.folder}/__init__.py"
        if (project / name).is_file() and _imports(existing_project.content(project, name)):
            yield (
                f"{name} has imports, and the new stubs are in that package: importing them would load the old stubs "
                "too, and one process cannot load both. Remove the imports and commit"
            )
    yield from _clashes_of_scripts_and_tests(project, new_project)
    for folder, pattern, why in _READ_BY_NAME:
        paths = files_below(project / folder)
        names = [path.relative_to(project).as_posix() for path in paths if path.match(pattern)]
        if names:
            yield f"{listed(names)}: files of these names {why}: rename and commit"
    models = sorted(path.name for path in (project / "artifacts").glob("[!.]*"))
    if models:
        yield (
            f"artifacts/ has {listed(models)}, and the template keeps the served model there: rename that folder, "
            "and commit if git has it"
        )


def _clashes_of_scripts_and_tests(project: Path, new_project: Path) -> Iterator[str]:
    for path in sorted((project / "scripts").glob("*.py")):
        if path.stem in sys.stdlib_module_names:
            yield f"scripts/{path.name} hides Python's {path.stem} from the template's scripts: rename it and commit"
    for script in sorted(path.name for path in (new_project / "scripts").glob("*.py")):
        for folder in ("src", "tests"):
            if _exists(project / folder / script):
                yield f"{folder}/{script} hides scripts/{script} from the template's tests: rename it and commit"
    name = "tests/__init__.py"
    if (project / name).is_file() and _imports(existing_project.content(project, name)):
        yield "tests/__init__.py has imports, which the template's tests would run: move them to conftest.py and commit"


def package_inits(tracked: list[str]) -> list[str]:
    """The `__init__.py` files in src; stubs may be in the author's packages."""
    return [name for name in tracked if name.startswith("src/") and name.endswith("/__init__.py")]


def _settings(project: Path, template: Sequence[str], tracked: Sequence[str]) -> Iterator[str]:
    """The author's settings and builds that would be read before the template's."""
    folders = {f"{folder}/".removeprefix("./") for name in template for folder in _folders(name)}
    for name in tracked:
        folder, base = name[: name.rfind("/") + 1], name[name.rfind("/") + 1 :]
        precedes = (
            name in _SETTINGS_AT_THE_TOP
            or name in _SETTINGS_OF_TESTS
            or _PLATFORM_FILES.fullmatch(name) is not None
            or (folder in folders and (base in _RUFF_AND_PYTEST or (base == "pyproject.toml" and folder)))
        )
        if precedes and name not in template and (project / name).is_file() and not (project / name).is_symlink():
            yield name


def _folders(name: str) -> Iterator[str]:
    """A path's folders, "." among them."""
    return (parent.as_posix() for parent in Path(name).parents)


def _imports(source: bytes) -> bool:
    try:
        tree = python_source.parse(source)
    except python_source.UNPARSABLE:
        return True
    return any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(tree))


def _exists(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _add_missing_lines(author: bytes, template: bytes) -> bytes:
    """The author's lines, then the template's that they lack, without its comments."""
    known = set(author.splitlines())
    missing = [line for line in template.splitlines() if line not in known and line and not line.startswith(b"#")]
    if not missing:
        return author
    end = b"" if author.endswith(b"\n") or not author else b"\n"
    return b"\n".join([author + end, b"# Of the template.", *missing, b""])
