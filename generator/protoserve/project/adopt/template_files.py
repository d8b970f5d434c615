"""The template's files put beside the author's: which are new, and what happens where both have one."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.emit.generated_files import Plan
from protoserve.project.adopt import AdoptError
from protoserve.schema.model import Contract

# An author's file that makes room for the template's keeps its name with this suffix.
ASIDE = ".before-adopt"
_KEPT = ("LICENSE",)
_MERGED = (".gitignore",)


@dataclass(slots=True)
class TemplateFiles:
    """What is written, by path in the project. `aside` and `merged` hold the author's files."""

    new: dict[str, bytes] = field(default_factory=dict)
    aside: dict[str, bytes] = field(default_factory=dict)
    merged: dict[str, bytes] = field(default_factory=dict)

    @property
    def renamed(self) -> dict[str, str]:
        """The author's files that were moved aside: old names to new ones."""
        return {name.removesuffix(ASIDE): name for name in self.aside}

    def plan(self, project: Path) -> Plan:
        """The same as a plan, which is written completely or not at all."""
        return Plan(project, {**self.new, **self.aside, **self.merged}, ())


def template_files(project: Path, new_project: Path) -> TemplateFiles:
    """Compares the files of a new project with the author's. Raises AdoptError where the author's would be lost."""
    files = TemplateFiles()
    in_the_way = []
    for path in sorted(item for item in new_project.rglob("*") if item.is_file()):
        name, content = path.relative_to(new_project).as_posix(), path.read_bytes()
        target = project / name
        if not _exists(target):
            files.new[name] = content
        elif not target.is_file() or target.is_symlink():
            in_the_way.append(f"{name} (not a regular file)")
        elif target.read_bytes() == content or name in _KEPT:
            continue
        elif name.endswith((".py", ".pyi")):
            in_the_way.append(name)
        elif name in _MERGED:
            files.merged[name] = _add_missing_lines(target.read_bytes(), content)
        else:
            files.new[name], files.aside[f"{name}{ASIDE}"] = content, target.read_bytes()
    in_the_way += [name for name in files.aside if _exists(project / name)]
    for parent in {parent for name in files.new for parent in Path(name).parents}:
        if _exists(project / parent) and not (project / parent).is_dir():
            in_the_way.append(f"{parent.as_posix()} (a folder of the template)")
    if in_the_way:
        names = ", ".join(sorted(in_the_way))
        raise AdoptError(f"the template has files of these names, and yours would be lost: {names}; rename and commit")
    return files


def check_names(project: Path, package: str, contract: Contract) -> None:
    """Raises AdoptError if one of the author's modules would hide the template's package or the new stubs."""
    for name in (f"src/{package}", f"src/{package}.py", package, f"{package}.py"):
        if _exists(project / name):
            raise AdoptError(f"{name} exists, so the package cannot be {package}: try --package {package}_server")
    top_folder = contract.folder.partition("/")[0]
    for name in (f"{top_folder}.py", f"src/{top_folder}.py"):
        if _exists(project / name):
            raise AdoptError(f"{name} hides the package {top_folder} of the new stubs: rename it and commit")
    for root in ("", "src/"):
        name = f"{root}{contract.folder}/__init__.py"
        if (project / name).is_file() and _imports((project / name).read_bytes()):
            raise AdoptError(
                f"{name} has imports, and the new stubs are in that package: importing them would load the old stubs "
                "too, and one process cannot load both. Remove the imports and commit"
            )


def package_inits(listed: list[str]) -> list[str]:
    """The `__init__.py` files in src; stubs may be in the author's packages."""
    return [name for name in listed if name.startswith("src/") and name.endswith("/__init__.py")]


def _imports(source: bytes) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
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
