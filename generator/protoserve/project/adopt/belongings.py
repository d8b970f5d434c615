"""What a servicer needs besides its own text: modules of the project, and files that it opens. Read, never run."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from protoserve.project.adopt.servicer import Note, Servicer, short

_OUT = "out of it: one process cannot have the old stubs and PACKAGE.contract"
_STAYS = "stays where it is: src/ is in the image"
_CODE = (".py", ".pyi", ".proto")
Import = ast.Import | ast.ImportFrom


@dataclass(slots=True)
class Belongings:
    """Each with the place where it is first imported or opened; `stubs` are imports of them in those modules."""

    modules: list[Note] = field(default_factory=list)
    stubs: list[Note] = field(default_factory=list)
    files: list[Note] = field(default_factory=list)


def belongings(root: Path, trees: Iterable[tuple[str, ast.Module]], servicer: Servicer) -> Belongings:
    """What goes along with a servicer of the project in `root`, through modules that import modules, too."""
    known = dict(trees)
    found = Belongings()
    imports = sorted(_used_imports(known[servicer.file], servicer.code), key=lambda item: item.lineno)
    waiting = [(servicer.file, item) for item in imports]
    opened: list[tuple[str, ast.AST]] = [(servicer.file, node) for node in servicer.code]
    places = {servicer.file: PurePosixPath("model.py")}  # where what is moved goes, from src/PACKAGE on
    for file, statement in waiting:  # which grows
        if _of_stubs(statement):
            if file != servicer.file:
                found.stubs.append(Note(file, statement.lineno, short(ast.unparse(statement)), _OUT))
            continue
        for module, place in _loaded(statement, file, known):
            if module in places:
                continue
            level = statement.level if isinstance(statement, ast.ImportFrom) else 0
            around = places[file].parent.joinpath(*[".."] * (level - 1)) if level else PurePosixPath()
            places[module] = PurePosixPath(*(part for part in _plain(around / place).parts if part != ".."))
            instead = _STAYS if module.startswith("src/") else f"{module}, as src/PACKAGE/{places[module]}"
            found.modules.append(Note(file, statement.lineno, short(ast.unparse(statement)), instead))
            waiting += [(module, item) for item in ast.walk(known[module]) if isinstance(item, Import)]
            opened.append((module, known[module]))
    found.files = list(_files(root, opened))
    return found


def _used_imports(tree: ast.Module, code: Iterable[ast.AST]) -> Iterator[Import]:
    """The imports in the code itself, and those of the module whose names it uses."""
    used: set[str] = set()
    for node in code:
        for part in ast.walk(node):
            if isinstance(part, ast.Name):
                used.add(part.id)
            elif isinstance(part, Import):
                yield part
    waiting: list[ast.stmt] = list(tree.body)
    for statement in waiting:  # which grows: imports may stand below `try` and `if`
        if isinstance(statement, (ast.If, ast.Try)):
            waiting += statement.body + statement.orelse
            waiting += [inner for handler in getattr(statement, "handlers", ()) for inner in handler.body]
        elif isinstance(statement, Import):
            bound = {alias.asname or alias.name.partition(".")[0] for alias in statement.names}
            if bound & (used | {"*"}):
                yield statement


def _of_stubs(statement: Import) -> bool:
    said = [alias.name for alias in statement.names]
    if isinstance(statement, ast.ImportFrom):
        said.append(statement.module or "")
    return any(name.endswith(("_pb2", "_pb2_grpc")) for name in said)


def _loaded(statement: Import, file: str, known: Mapping[str, ast.Module]) -> list[tuple[str, str]]:
    """The project's files that an import loads, each with its path from the folder in which Python finds it."""
    folder = PurePosixPath(file).parent
    wanted: list[tuple[list[str], list[str]]]
    if isinstance(statement, ast.Import):
        wanted = [(alias.name.split("."), []) for alias in statement.names]
    else:
        module = statement.module.split(".") if statement.module else []
        wanted = [(module, [alias.name for alias in statement.names])]
    bases = [folder, PurePosixPath(), PurePosixPath("src")]
    if isinstance(statement, ast.ImportFrom) and statement.level:
        bases = [folder.joinpath(*[".."] * (statement.level - 1))]
    for base in bases:
        found: dict[str, str] = {}
        for parts, names in wanted:
            inner = [(*parts, name) for name in names]
            there = [path for path in (_module(base, item, known) for item in inner) if path is not None]
            around = _module(base, tuple(parts), known) if len(there) < len(inner) or not inner else None
            for path in (*there, around):
                if path is not None:
                    found[path] = PurePosixPath(path).relative_to(_plain(base)).as_posix()
        if found:
            return list(found.items())
    return []


def _module(base: PurePosixPath, parts: tuple[str, ...], known: Mapping[str, ast.Module]) -> str | None:
    """The file of a module below a folder of the project."""
    path = _plain(base.joinpath(*parts)).as_posix() if parts else ""
    return next((name for name in (f"{path}.py", f"{path}/__init__.py") if name in known), None)


def _plain(path: PurePosixPath) -> PurePosixPath:
    """The path with `..` taken out; one that leads out of the project leads nowhere."""
    parts: list[str] = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        else:
            parts.append(part)
    return PurePosixPath(*parts)


def _files(root: Path, opened: Iterable[tuple[str, ast.AST]]) -> Iterator[Note]:
    """What lies in the project at a path that the code says, each once."""
    told: list[PurePosixPath] = []
    for file, node in opened:
        said = sorted(_paths(node), key=lambda item: (item[0], -len(item[1])))
        for line, text, sure in said:
            path = _there(root, file, text)
            if path is None or (not sure and "/" not in text and (root / path).is_dir()):
                continue
            if any(path == other or path in other.parents for other in told):
                continue
            told.append(path)
            name = f"{path.name}/" if (root / path).is_dir() else path.name
            yield Note(file, line, path.as_posix(), f"artifacts/{name}, by train.py; or src/PACKAGE/{name}")


def _paths(node: ast.AST) -> Iterator[tuple[int, str, bool]]:
    """Line and text of what may be a path, and whether it is put together as one."""
    docs = {id(item.value) for item in ast.walk(node) if isinstance(item, ast.Expr)}
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, str) and id(part) not in docs:
            yield part.lineno, part.value, False
        elif isinstance(part, ast.JoinedStr):
            yield part.lineno, "".join(_texts(part.values)).lstrip("/"), True
        elif isinstance(part, ast.BinOp) and isinstance(part.op, ast.Div):
            yield part.lineno, "/".join(_texts(_divided(part))), True
        elif isinstance(part, ast.Call):
            joins = ast.unparse(part.func).endswith(("join", "joinpath", "Path"))
            yield part.lineno, "/".join(_texts(part.args)), joins


def _divided(node: ast.expr) -> list[ast.expr]:
    """The parts of `HERE / "models" / "a.bin"`."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
        return [*_divided(node.left), *_divided(node.right)]
    return [node]


def _texts(parts: Iterable[ast.expr]) -> Iterator[str]:
    """The constant texts among the parts."""
    yield from (part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str))


def _there(root: Path, file: str, text: str) -> PurePosixPath | None:
    """What a text names in the project, from the file's folder or from the project's; None for no file or folder."""
    if not text.strip("./") or not text.isprintable() or text.endswith(_CODE):
        return None
    top = root.resolve()
    for base in (top / PurePosixPath(file).parent, top):
        try:
            path = (base / text).resolve()
            there = path.exists()
        except (OSError, RuntimeError):  # too long for a name, or links in a circle
            return None
        if there and path != top and path.is_relative_to(top) and ".git" not in path.parts:
            return PurePosixPath(path.relative_to(top).as_posix())
    return None
