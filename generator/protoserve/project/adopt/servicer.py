"""What a hand-written servicer does, and where that goes in model.py. Its source is read and never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.platform.reading import read_bytes
from protoserve.project.adopt import python_source
from protoserve.project.adopt.definitions import Class, Definitions, Function, Trees, last_name
from protoserve.project.adopt.existing_project import MAX_BYTES, STUB
from protoserve.schema.model import Contract, Method

_ABORTED = "raise InvalidRequest(text, field=...) or RequestRefused(code, text); any other exception is INTERNAL"
_HANDLERS = tuple(
    f"{request}_{response}_rpc_method_handler" for request in ("unary", "stream") for response in ("unary", "stream")
)
_GONE = "not needed: the server stops work for callers who have left"
# What replaces a call of the context that handlers get; any other call has no counterpart.
_CONTEXT = {
    **dict.fromkeys(("abort", "abort_with_status", "set_code", "set_details"), _ABORTED),
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


_OF_A_SERVER = re.compile(rb"grpc|[Ss]ervicer")
_MAX_BYTES_OF_ALL = 64 * 2**20


@dataclass(slots=True)
class Servicer:
    """A class that implements the service. `missing` are methods that it lacks, `defined` all names in its body."""

    name: str
    file: str
    line: int
    methods: list[Note] = field(default_factory=list)
    helpers: list[Note] = field(default_factory=list)
    context: list[Note] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    defined: set[str] = field(default_factory=set)


def parse(root: Path, files: Iterable[str]) -> tuple[dict[str, ast.Module], list[str]]:
    """The trees of the Python files except stubs, and the names of those that Python cannot parse, or that are more
    than is searched; files that may have a server come first."""
    sources, unreadable, size = {}, [], 0
    for name in (name for name in files if not STUB.search(name)):
        try:
            sources[name] = read_bytes(root / name, most=min(MAX_BYTES, _MAX_BYTES_OF_ALL - size))
            size += len(sources[name])
        except OSError:
            unreadable.append(name)
    trees, left = {}, python_source.MAX_TOKENS
    for name in sorted(sources, key=lambda name: not _OF_A_SERVER.search(sources[name])):
        left -= python_source.tokens(sources[name])
        try:
            if left < 0:
                raise ValueError("there is too much to search")
            trees[name] = python_source.parse(sources[name], name)
        except python_source.UNPARSABLE:
            unreadable.append(name)
    return {name: trees[name] for name in sources if name in trees}, unreadable


def servicers(contract: Contract, trees: Trees, only: str | None = None) -> list[Servicer]:
    """The classes that derive from the service's servicer, or are given to the function that adds one to a server.

    If some of them implement a method, only those. `only` is a file: the classes in it, and if none of these is such a
    class, those that have a method of the service.
    """
    definitions = Definitions(trees)
    candidates = {each.node: each for each in (*_derived(contract, definitions), *_added(contract, definitions))}
    chosen = list(candidates.values())
    if only is not None:
        chosen = [each for each in chosen if each.file == only] or [
            Class(only, node)
            for node in ast.walk(trees[only])
            if isinstance(node, ast.ClassDef) and _has(contract, node)
        ]
    described = [_servicer(contract, each.file, each.node) for each in chosen]
    described = [servicer for servicer in described if servicer.methods] or described
    _keep_missing_of_all(described)
    return sorted(described, key=lambda servicer: (list(trees).index(servicer.file), servicer.line))


def _derived(contract: Contract, definitions: Definitions) -> list[Class]:
    """The classes that derive from the servicer in the stubs, and their bases with a method of the service."""
    derived = definitions.descendants(f"{contract.service}Servicer")
    bases = (base for each in derived for base in definitions.ancestors(each) if _has(contract, base.node))
    return [*derived, *bases]


def _added(contract: Contract, definitions: Definitions) -> list[Class]:
    """The classes with a method of the service whose objects are added to a server, and their ancestors with one.

    A method may also be added by itself, by `grpc.unary_unary_rpc_method_handler(servicer.Predict)`.
    """
    classes = []
    adders = (f"add_{contract.service}Servicer_to_server", *_HANDLERS)
    for file, call in (each for adder in adders for each in definitions.calls(adder)):
        given = [item.value for item in call.keywords if item.arg in ("servicer", "behavior")] + call.args[:1]
        for each in (each for argument in given for each in definitions.classes(file, argument)):
            classes += [ancestor for ancestor in definitions.ancestors(each) if _has(contract, ancestor.node)]
    return classes


def _has(contract: Contract, node: ast.ClassDef) -> bool:
    """Whether a class has a method of the service."""
    return any(name in _defined(node) for name in (method.name for method in contract.methods))


def _defined(node: ast.ClassDef) -> set[str]:
    """The names of a class's functions, and those that its body assigns."""
    functions = {item.name for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)}
    targets = (target for item in node.body if isinstance(item, ast.Assign) for target in item.targets)
    return functions | {last_name(target) for target in targets}


def _keep_missing_of_all(servicers: list[Servicer]) -> None:
    """A method that another of these classes has is not missing: one may be the base of the other."""
    for servicer in servicers:
        servicer.missing = [name for name in servicer.missing if not any(name in other.defined for other in servicers)]


def _short(statement: ast.AST) -> str:
    """The first line of a statement, shortened to 60 characters."""
    line = _unparsed(statement).splitlines()[0]
    return line if len(line) <= 60 else f"{line[:57]}..."


def _servicer(contract: Contract, file: str, node: ast.ClassDef) -> Servicer:
    servicer = Servicer(node.name, file, node.lineno, defined=_defined(node))
    rpcs = {method.name: method for method in contract.methods}
    for item in node.body:
        if isinstance(item, ast.Assign) and last_name(item.targets[0]) in rpcs:
            servicer.methods.append(_method(file, item, _short(item), rpcs.pop(last_name(item.targets[0]))))
        elif isinstance(item, (ast.Assign, ast.AnnAssign)):
            servicer.helpers.append(Note(file, item.lineno, _short(item), "an attribute of Model"))
        elif isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef)):
            kind = "async def" if isinstance(item, ast.AsyncFunctionDef) else "def"
            what = f"{kind} {item.name}"
            method = rpcs.pop(item.name, None)
            if method is not None:
                servicer.methods.append(_method(file, item, what, method))
                servicer.context += _context_calls(file, item)
            elif item.name == "__init__":
                servicer.helpers.append(Note(file, item.lineno, what, "Model.__init__(self, artifact: Path)"))
            else:
                servicer.helpers.append(Note(file, item.lineno, what, "a method of Model, or a function of model.py"))
    servicer.missing = [method.name for method in rpcs.values() if method.served]
    return servicer


def _method(file: str, item: ast.stmt, what: str, method: Method) -> Note:
    if not method.served:
        return Note(file, item.lineno, what, "nothing: `served: false` in schema.yaml")
    request, response = method.request.name, method.response.name
    name = f"Model.{method.attribute}"
    if isinstance(item, ast.AsyncFunctionDef) and _awaits(item):
        reply = f"AsyncIterator[{response}]" if method.streaming else response
        return Note(file, item.lineno, what, f"async {name}(self, request: {request}) -> {reply}")
    signature = f"request: {request}) -> Iterator[{response}]"
    if not method.streaming:
        signature = f"batch: Sequence[{request}]) -> Sequence[{response}]"
    return Note(file, item.lineno, what, f"{name}(self, {signature}")


def _awaits(function: ast.AsyncFunctionDef) -> bool:
    """Whether a handler awaits anything but its context: under grpc.aio all are async, whatever they do."""
    context = _context_name(function)
    for part in ast.walk(function):
        if isinstance(part, ast.AsyncFor | ast.AsyncWith):
            return True
        if isinstance(part, ast.Await):
            call = part.value.func if isinstance(part.value, ast.Call) else part.value
            if not (isinstance(call, ast.Attribute) and _unparsed(call.value) == context):
                return True
    return False


def _context_name(function: Function) -> str:
    """The third parameter of a handler; empty if it has fewer."""
    parameters = [*function.args.posonlyargs, *function.args.args]
    return parameters[2].arg if len(parameters) > 2 else ""


def _context_calls(file: str, function: Function) -> Iterator[Note]:
    """Calls of the context of a handler."""
    context = _context_name(function)
    for call in _calls(function):
        if context and isinstance(call.func, ast.Attribute) and _unparsed(call.func.value) == context:
            code = next((text for text in map(_unparsed, call.args) if "StatusCode." in text), "...")
            instead = _CONTEXT.get(call.func.attr, "no counterpart: a model gets the request alone")
            yield Note(file, call.lineno, f"{context}.{call.func.attr}({code})", instead)


def _calls(node: ast.AST) -> Iterator[ast.Call]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Call))


def _unparsed(node: ast.AST) -> str:
    """The source of a node, "..." if it is nested too deeply."""
    try:
        return ast.unparse(node)
    except RecursionError:
        return "..."
