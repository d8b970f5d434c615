"""The project's modules that a servicer needs besides its own. They are read and never run."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from protoserve.project.adopt.servicer import Note, Servicer, Trees, short

Import = ast.Import | ast.ImportFrom


@dataclass(slots=True)
class NeededModules:
    """Each module with the place where it is first imported; `stubs` are imports of the old stubs elsewhere."""

    modules: list[Note] = field(default_factory=list)
    stubs: list[Note] = field(default_factory=list)


def needed_modules(trees: Trees, servicer: Servicer) -> NeededModules:
    """The project's modules that the servicer's module imports, also through others."""
    needed = NeededModules()
    start = PurePosixPath(servicer.file).parent
    files = [servicer.file]
    for file in files:  # the list grows
        for statement in (node for node in ast.walk(trees[file]) if isinstance(node, (ast.Import, ast.ImportFrom))):
            if _imports_stubs(statement):
                if file != servicer.file:
                    instead = "remove it: one process cannot load the old stubs and PACKAGE.contract"
                    needed.stubs.append(Note(file, statement.lineno, short(statement), instead))
                continue
            for module in _imported_modules(statement, file, trees):
                if module not in files:
                    files.append(module)
                    note = Note(file, statement.lineno, short(statement), _new_place(PurePosixPath(module), start))
                    needed.modules.append(note)
    return needed


def _imports_stubs(statement: Import) -> bool:
    names = [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        names.append(statement.module or "")
    return any(name.endswith(("_pb2", "_pb2_grpc")) for name in names)


def _imported_modules(statement: Import, file: str, trees: Trees) -> list[str]:
    """The project's files that an import loads, from beside the importing file, the root or src."""
    folder = PurePosixPath(file).parent
    bases = [folder, PurePosixPath(), PurePosixPath("src")]
    names = [alias.name for alias in statement.names]
    package = ""
    if isinstance(statement, ast.ImportFrom):
        package = statement.module or ""
        names = [f"{package}.{name}".strip(".") for name in names]
        if statement.level:
            bases = [PurePosixPath(*folder.parts[: len(folder.parts) - statement.level + 1])]
    for base in bases:
        modules = [module for name in names for module in _files_of(base, name, trees)]
        if package and len(modules) < len(names):  # a name that is not a module is in the package itself
            modules += _files_of(base, package, trees)
        if modules:
            return modules
    return []


def _files_of(base: PurePosixPath, name: str, trees: Trees) -> list[str]:
    path = base / name.replace(".", "/")
    return [file for file in (f"{path}.py", f"{path}/__init__.py") if file in trees]


def _new_place(module: PurePosixPath, start: PurePosixPath) -> str:
    """Where a module goes: into the package, at its path from the servicer's folder or from the root."""
    if module.parts[0] == "src":
        return "stays where it is: src/ is in the image"
    return f"{module}, as src/PACKAGE/{module.relative_to(start) if module.is_relative_to(start) else module}"
