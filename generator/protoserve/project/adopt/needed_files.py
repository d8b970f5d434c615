"""What a servicer needs besides its own code: the project's modules and data files. They are read and never run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from protoserve.project.adopt.servicer import Note, Servicer, Trees, short

_CODE = (".py", ".pyi", ".proto")
Import = ast.Import | ast.ImportFrom


@dataclass(slots=True)
class NeededFiles:
    """Each file with the place where it is first imported or named; `stubs` are imports of the old stubs elsewhere."""

    modules: list[Note] = field(default_factory=list)
    stubs: list[Note] = field(default_factory=list)
    data: list[Note] = field(default_factory=list)


def needed_files(root: Path, trees: Trees, servicer: Servicer) -> NeededFiles:
    """The project's modules that the servicer's module imports, also through others, and the data files they name."""
    needed = NeededFiles()
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
    code: list[tuple[str, ast.AST]] = [(servicer.file, node) for node in servicer.code]
    needed.data = list(_data_files(root, [*code, *((file, trees[file]) for file in files[1:])]))
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


def _data_files(root: Path, code: Iterable[tuple[str, ast.AST]]) -> Iterator[Note]:
    """The files and folders of the project whose path is in the code, each once."""
    named: set[PurePosixPath] = set()
    for file, node in code:
        for line, text in sorted(_paths(node), key=lambda item: item[0]):
            path = _existing(root, file, text)
            if path is not None and path not in named:
                named.add(path)
                name = f"{path.name}/" if (root / path).is_dir() else path.name
                yield Note(file, line, path.as_posix(), f"artifacts/{name}, by train.py; or src/PACKAGE/{name}")


def _paths(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of what may be a path: a string, or the strings of `HERE / "models" / "a.bin"` and of a call."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part.lineno, part.value
        elif isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div):
            yield part.lineno, "/".join(_strings(_operands(part)))
        elif isinstance(part, ast.Call):
            yield part.lineno, "/".join(_strings(part.args))


def _operands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [*_operands(node.left), node.right]
    return [node]


def _strings(nodes: Iterable[ast.expr]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _existing(root: Path, file: str, text: str) -> PurePosixPath | None:
    """What a text names in the project, from the file's folder or the root; None for a bare word."""
    if not text.isprintable() or text.endswith(_CODE) or not ("/" in text or "." in text.strip(".")):
        return None
    top = root.resolve()
    for base in (top / PurePosixPath(file).parent, top):
        try:
            path = (base / text).resolve()
            exists = path.exists()
        except (OSError, RuntimeError):  # the name is too long, or links form a circle
            return None
        if exists and path != top and path.is_relative_to(top) and ".git" not in path.parts:
            return PurePosixPath(path.relative_to(top).as_posix())
    return None
