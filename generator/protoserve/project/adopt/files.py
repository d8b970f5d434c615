"""The files of the template beside those of the author: what is new, and what happens where both have one."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.emit.generated_files import Plan
from protoserve.project.adopt import AdoptError
from protoserve.schema.model import Contract

# An author's file whose place the template needs stays under its name with this behind it.
ASIDE = ".before-adopt"
_KEPT = ("LICENSE",)
_JOINED = (".gitignore",)


@dataclass(slots=True)
class Adoption:
    """What is written, by path from the project: `aside` and `joined` are the author's, `kept` stays as it is."""

    new: dict[str, bytes] = field(default_factory=dict)
    aside: dict[str, bytes] = field(default_factory=dict)
    joined: dict[str, bytes] = field(default_factory=dict)
    kept: list[str] = field(default_factory=list)

    def plan(self, project: Path) -> Plan:
        """The same as a plan that is written all or not at all."""
        return Plan(project, {**self.new, **self.aside, **self.joined}, ())


def adoption(project: Path, made: Path) -> Adoption:
    """What becomes of the files of a new project in `made`. Raises AdoptError where the author's code is in the way."""
    found = Adoption()
    in_the_way = []
    for path in sorted(item for item in made.rglob("*") if item.is_file()):
        name, content = path.relative_to(made).as_posix(), path.read_bytes()
        target = project / name
        if not _there(target):
            found.new[name] = content
        elif not target.is_file() or target.is_symlink():
            in_the_way.append(f"{name} (no regular file)")
        elif target.read_bytes() == content or name in _KEPT:
            found.kept.append(name)
        elif name.endswith((".py", ".pyi")):
            in_the_way.append(name)
        elif name in _JOINED:
            found.joined[name] = _join(target.read_bytes(), content)
        else:
            found.new[name], found.aside[f"{name}{ASIDE}"] = content, target.read_bytes()
    taken = [name for name in found.aside if _there(project / name)]
    for parent in {parent for name in found.new for parent in Path(name).parents}:
        if _there(project / parent) and not (project / parent).is_dir():
            in_the_way.append(f"{parent.as_posix()} (a folder of the template)")
    if in_the_way or taken:
        named = ", ".join(sorted([*in_the_way, *taken]))
        raise AdoptError(
            f"the template has files of these names, and yours would be lost: {named}; rename yours, commit"
        )
    return found


def check_names(project: Path, package: str, contract: Contract) -> None:
    """Raises AdoptError where Python would find the author's module in place of ours, or ours in place of theirs."""
    for name in (f"src/{package}", f"src/{package}.py", package, f"{package}.py"):
        if _there(project / name):
            other = f"--package {package}_server"
            raise AdoptError(
                f"{name} exists, and the template's package is to be called {package}: {other}, for example"
            )
    first = contract.folder.partition("/")[0]
    for name in (f"{first}.py", f"src/{first}.py"):
        if _there(project / name):
            raise AdoptError(f"{name} hides the package {first}, in which the new stubs lie: rename it, commit")
    for root in ("", "src/"):
        folder = f"{root}{contract.folder}/__init__.py"
        if (project / folder).is_file() and _imports((project / folder).read_bytes()):
            raise AdoptError(
                f"{folder} imports something, and the new stubs lie in that package: importing them would load the old "
                "stubs too, which one process cannot. Leave that file without imports, commit"
            )


def inits(listed: list[str]) -> list[str]:
    """The author's packages in `src`, in which stubs may lie as well."""
    return [name for name in listed if name.startswith("src/") and name.endswith("/__init__.py")]


def _imports(source: bytes) -> bool:
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True
    return any(isinstance(node, (ast.Import, ast.ImportFrom)) for node in ast.walk(tree))


def _there(path: Path) -> bool:
    return path.exists() or path.is_symlink()


def _join(theirs: bytes, ours: bytes) -> bytes:
    """The author's lines, and below them those of the template that are missing."""
    known = set(theirs.splitlines())
    missing = [line for line in ours.splitlines() if line not in known and line and not line.startswith(b"#")]
    if not missing:
        return theirs
    end = b"" if theirs.endswith(b"\n") or not theirs else b"\n"
    return b"\n".join([theirs + end, b"# Of the template.", *missing, b""])
