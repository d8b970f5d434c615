"""What a hand-written servicer does, and where that goes in model.py. Its source is read and never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.schema.model import Contract

# The project's Python files, parsed, by their paths.
Trees = Mapping[str, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef

_INVALID = "raise InvalidRequest(text, field=...) if the request is wrong; any other exception is INTERNAL"
_GONE = "not needed: the server stops work for callers who have left"
# What replaces a call of the context that handlers get; any other call has no counterpart.
_CONTEXT = {
    **dict.fromkeys(("abort", "abort_with_status", "set_code", "set_details"), _INVALID),
    **dict.fromkeys(("is_active", "cancelled", "done", "time_remaining"), _GONE),
    "write": "yield the response",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A line of the author's code: what is there, and what replaces it or where it goes."""

    file: str
    line: int
    what: str
    instead: str

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Servicer:
    """A class that implements the service. `missing` are the service's methods that it lacks."""

    name: str
    file: str
    line: int
    methods: list[Note] = field(default_factory=list)
    helpers: list[Note] = field(default_factory=list)
    context: list[Note] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def parse(root: Path, files: Iterable[str]) -> tuple[dict[str, ast.Module], list[str]]:
    """The trees of the Python files except stubs, and the names of the files that Python cannot parse."""
    trees, unreadable = {}, []
    for name in files:
        if re.search(r"_pb2(?:_grpc)?\.pyi?$", name):
            continue
        try:
            trees[name] = ast.parse((root / name).read_bytes(), name)
        except (SyntaxError, ValueError, OSError):
            unreadable.append(name)
    return trees, unreadable


def servicers(contract: Contract, trees: Trees) -> list[Servicer]:
    """The classes that derive from the service's servicer, directly or through another class.

    If some of them implement a method, only those.
    """
    bases = {f"{contract.service}Servicer"}
    classes: dict[ast.ClassDef, Servicer] = {}
    while True:
        new = [
            (file, node)
            for file, tree in trees.items()
            for node in ast.walk(tree)
            if isinstance(node, ast.ClassDef) and node not in classes and _derives(node, bases | _aliases(tree, bases))
        ]
        if not new:
            break
        for file, node in new:
            classes[node] = _servicer(contract, file, node)
            bases.add(node.name)
    return [servicer for servicer in classes.values() if servicer.methods] or list(classes.values())


def _short(statement: ast.AST) -> str:
    """The first line of a statement, shortened to 60 characters."""
    line = ast.unparse(statement).splitlines()[0]
    return line if len(line) <= 60 else f"{line[:57]}..."


def _derives(node: ast.ClassDef, bases: set[str]) -> bool:
    return any(_last(base) in bases for base in node.bases)


def _aliases(tree: ast.Module, names: set[str]) -> set[str]:
    """What a module calls the classes of these names that it imports under another name."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {alias.asname for node in imports for alias in node.names if alias.name in names and alias.asname}


def _servicer(contract: Contract, file: str, node: ast.ClassDef) -> Servicer:
    servicer = Servicer(node.name, file, node.lineno)
    rpcs = {method.name: method for method in contract.methods}
    for item in node.body:
        if isinstance(item, (ast.Assign, ast.AnnAssign)):
            servicer.helpers.append(Note(file, item.lineno, _short(item), "an attribute of Model"))
        elif isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            kind = "async def" if isinstance(item, ast.AsyncFunctionDef) else "def"
            what = f"{kind} {item.name}"
            method = rpcs.pop(item.name, None)
            if method is not None:
                request, response = method.request.name, method.response.name
                signature = f"request: {request}) -> Iterator[{response}]"
                if not method.streaming:
                    signature = f"batch: Sequence[{request}]) -> Sequence[{response}]"
                instead = f"Model.{method.attribute}(self, {signature}"
                servicer.methods.append(Note(file, item.lineno, what, instead))
                servicer.context += _context_calls(file, item)
            elif item.name == "__init__":
                servicer.helpers.append(Note(file, item.lineno, what, "Model.__init__(self, artifact: Path)"))
            else:
                servicer.helpers.append(Note(file, item.lineno, what, "a method of Model, or a function of model.py"))
    servicer.missing = list(rpcs)
    return servicer


def _context_calls(file: str, function: Function) -> Iterator[Note]:
    """Calls of the context, the third parameter of a handler."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    if len(parameters) < 3:
        return
    context = parameters[2].arg
    for call in _calls(function):
        if isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == context:
            code = next((ast.unparse(arg) for arg in call.args if "StatusCode." in ast.unparse(arg)), "...")
            instead = _CONTEXT.get(call.func.attr, "no counterpart: a model gets the request alone")
            yield Note(file, call.lineno, f"{context}.{call.func.attr}({code})", instead)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Call))


def _last(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""
