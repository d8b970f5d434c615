"""What a hand-written servicer does, and where that goes: read from its source, which is never run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from protoserve.schema import reserved_names
from protoserve.schema.model import Contract

_ABORT = "raise InvalidRequest(text, field=...) where the request is wrong; any other exception is INTERNAL"
# What handlers do with their context, and what the server does in its place.
_CONTEXT = {
    "abort": _ABORT,
    "abort_with_status": _ABORT,
    "set_code": _ABORT,
    "set_details": _ABORT,
    "is_active": "gone: a request whose caller has left is not computed, and a stream is closed",
    "cancelled": "gone: a request whose caller has left is not computed, and a stream is closed",
    "done": "gone: a request whose caller has left is not computed, and a stream is closed",
    "time_remaining": "gone: a request whose deadline has passed is not computed",
    "add_callback": "gone: close what a stream holds in a `finally` of its generator",
    "add_done_callback": "gone: close what a stream holds in a `finally` of its generator",
    "write": "yield the response",
    "invocation_metadata": "no counterpart: a model sees the request alone; x-request-id is in the server's log",
    "peer": "no counterpart: a model sees the request alone",
    "auth_context": "no counterpart: a model sees the request alone",
    "send_initial_metadata": "no counterpart: replies are messages alone",
    "set_trailing_metadata": "no counterpart: replies are messages alone",
    "set_compression": "no counterpart",
}
# What handlers do with messages that are dataclasses in model.py.
_MESSAGES = {
    "HasField": "`x.NAME is not None`",
    "WhichOneof": "look which member is not None",
    "CopyFrom": "assign the message",
    "MergeFrom": "give the fields to the constructor",
    "ClearField": "assign None, or what an unset field is",
    "ListFields": "dataclasses.fields",
    "SerializeToString": "gone: the server writes the bytes",
    "ParseFromString": "gone: the server reads the bytes",
    "FromString": "gone: the server reads the bytes",
    "MessageToDict": "dataclasses.asdict",
    "MessageToJson": "json.dumps of dataclasses.asdict",
    "ToDatetime": "gone: timestamps are datetimes",
    "FromDatetime": "gone: timestamps are datetimes",
    "ToTimedelta": "gone: durations are timedeltas",
    "FromTimedelta": "gone: durations are timedeltas",
}
# What starts a server by hand; matched against the last part of what is called.
_SERVING = {
    "add_insecure_port": "the setting PORT, by default the answer to `port`",
    "add_secure_port": "the setting PORT, by default the answer to `port`",
    "HealthServicer": 'the server\'s own health: "", the service, and `liveness`',
    "enable_server_reflection": "the server's own reflection",
    "wait_for_termination": "the server's own lifecycle",
    "signal": "the server's own SIGTERM: it drains and exits 0",
    "add_signal_handler": "the server's own SIGTERM: it drains and exits 0",
}


@dataclass(frozen=True, slots=True)
class Note:
    """A place in the author's code, what stands there, and what takes its place."""

    file: str
    line: int
    what: str
    instead: str

    @property
    def where(self) -> str:
        return f"{self.file}:{self.line}"


@dataclass(slots=True)
class Servicer:
    """A class that implements the service; `missing` are methods of the service that it has not.

    `code` is what goes into model.py, of the class and of its module.
    """

    name: str
    file: str
    line: int
    methods: list[Note] = field(default_factory=list)
    helpers: list[Note] = field(default_factory=list)
    context: list[Note] = field(default_factory=list)
    messages: list[Note] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    code: list[ast.AST] = field(default_factory=list)


def servicers(contract: Contract, files: Iterable[tuple[str, ast.Module]]) -> list[Servicer]:
    """Every class below `files` that derives from the service's servicer, also through another; stubs have none.

    Of several only those that implement a method.
    """
    trees = list(files)
    bases = {f"{contract.service}Servicer"}
    found: dict[int, Servicer] = {}
    grew = True
    while grew:
        before = len(found)
        for file, tree in trees:
            called = bases | _renamed(tree, bases)
            for node in ast.walk(tree):
                derives = isinstance(node, ast.ClassDef) and any(_last(item) in called for item in node.bases)
                if isinstance(node, ast.ClassDef) and derives and id(node) not in found:
                    found[id(node)] = _servicer(contract, file, tree, node)
                    bases.add(node.name)
        grew = len(found) > before
    made = list(found.values())
    return [item for item in made if item.methods] or made


def _renamed(tree: ast.Module, known: set[str]) -> set[str]:
    """What a module calls the classes that it imports under another name."""
    imports = (node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom))
    return {alias.asname for node in imports for alias in node.names if alias.name in known and alias.asname}


def serving(files: Iterable[tuple[str, ast.Module]], contract: Contract) -> list[Note]:
    """Where a server is made and run by hand."""
    added = f"add_{contract.service}Servicer_to_server"
    notes = []
    for file, tree in files:
        for node in ast.walk(tree):
            if not isinstance(node, ast.Call):
                continue
            name, whole = _last(node.func), ast.unparse(node.func)
            instead = _SERVING.get(name, "")
            if re.fullmatch(r"(?:grpc\.)?(?:aio\.)?server", whole) and "." in whole:
                instead = "python -m PACKAGE.server: one model thread, batches, limits by setting"
            elif name == added:
                instead = "the server finds `Model` in model.py"
            elif name == "signal" and whole != "signal.signal":
                instead = ""
            if instead:
                notes.append(Note(file, node.lineno, f"{whole}(...)", instead))
    return sorted(notes, key=lambda note: (note.file, note.line))


def parse(root: Path, files: Iterable[str]) -> tuple[list[tuple[str, ast.Module]], list[str]]:
    """The trees of Python files, stubs aside, and the names of those that are no Python."""
    trees, broken = [], []
    for name in files:
        if re.search(r"_pb2(?:_grpc)?\.pyi?$", name):
            continue
        try:
            trees.append((name, ast.parse((root / name).read_bytes(), name)))
        except (SyntaxError, ValueError, OSError):
            broken.append(name)
    return trees, broken


def _servicer(contract: Contract, file: str, tree: ast.Module, node: ast.ClassDef) -> Servicer:
    made = Servicer(node.name, file, node.lineno)
    rpcs = {method.name: method for method in contract.methods}
    used: set[str] = set()
    for item in node.body:
        if not isinstance(item, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Assign, ast.AnnAssign)):
            continue
        made.code.append(item)
        used |= {part.id for part in ast.walk(item) if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load)}
        if isinstance(item, (ast.Assign, ast.AnnAssign)):
            made.helpers.append(Note(file, item.lineno, short(ast.unparse(item)), "an attribute of Model"))
            continue
        kind = "async def" if isinstance(item, ast.AsyncFunctionDef) else "def"
        what = f"{kind} {item.name}"
        method = rpcs.pop(item.name, None)
        if method is not None:
            request, response = method.request.name, method.response.name
            taken = f"request: {request}) -> Iterator[{response}]"
            if not method.streaming:
                taken = f"batch: Sequence[{request}]) -> Sequence[{response}]"
            made.methods.append(
                Note(file, item.lineno, what, f"Model.{reserved_names.snake(method.name)}(self, {taken}")
            )
            made.context += _uses(file, item, _context_of(item), _CONTEXT)
        elif item.name == "__init__":
            made.helpers.append(Note(file, item.lineno, what, "Model.__init__(self, artifact: Path)"))
            made.helpers += _kept(file, item)
        else:
            made.helpers.append(Note(file, item.lineno, what, "a method of Model, or a function of model.py"))
        made.messages += _uses(file, item, None, _MESSAGES)
    made.missing = list(rpcs)
    made.code += node.bases
    for helper in _globals(tree, node, used):
        made.code.append(helper)
        made.helpers.append(_moved(file, helper))
        made.messages += _uses(file, helper, None, _MESSAGES)
    made.messages.sort(key=lambda note: note.line)
    return made


def _context_of(function: ast.FunctionDef | ast.AsyncFunctionDef) -> str | None:
    arguments = [*function.args.posonlyargs, *function.args.args]
    return arguments[2].arg if len(arguments) > 2 else None


def _uses(file: str, function: ast.AST, owner: str | None, known: dict[str, str]) -> Iterator[Note]:
    """Calls of methods with known names: of `owner`, or of anything where there is none."""
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        name = _last(node.func)
        of_owner = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) == owner
        if owner is None and name in known:
            yield Note(file, node.lineno, f"{name}(...)", known[name])
        elif owner is not None and of_owner:
            code = next((ast.unparse(arg) for arg in node.args if "StatusCode." in ast.unparse(arg)), "")
            said = f"{owner}.{name}({code or '...'})"
            yield Note(file, node.lineno, said, known.get(name, "no counterpart"))


def _kept(file: str, function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[Note]:
    """What `__init__` keeps on the object, a model for example."""
    for node in ast.walk(function):
        if not isinstance(node, (ast.Assign, ast.AnnAssign)):
            continue
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                value = "" if node.value is None else f" = {ast.unparse(node.value)}"
                said = short(f"self.{target.attr}{value}")
                yield Note(file, node.lineno, said, "Model.__init__: load it from `artifact`")


def _globals(tree: ast.Module, servicer: ast.ClassDef, used: set[str]) -> list[ast.stmt]:
    """What of the module's top level the class uses, and what that uses, besides imports."""
    defined: dict[str, ast.stmt] = {}
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)) and node is not servicer:
            defined[node.name] = node
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            defined |= {part.id: node for target in targets for part in ast.walk(target) if isinstance(part, ast.Name)}
    wanted = [name for name in defined if name in used]
    for name in wanted:
        inner = {part.id for part in ast.walk(defined[name]) if isinstance(part, ast.Name)}
        wanted += [other for other in defined if other in inner and other not in wanted]
    return sorted({id(defined[name]): defined[name] for name in wanted}.values(), key=lambda item: item.lineno)


def _moved(file: str, node: ast.stmt) -> Note:
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
        kind = {ast.ClassDef: "class", ast.AsyncFunctionDef: "async def"}.get(type(node), "def")
        return Note(file, node.lineno, f"{kind} {node.name}", "model.py")
    return Note(file, node.lineno, short(ast.unparse(node)), "model.py, or Model.__init__ if it loads something")


def _last(node: ast.expr) -> str:
    """The last part of a dotted name."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def short(text: str) -> str:
    """The first line of a statement, cut where it is long."""
    line = text.splitlines()[0]
    return line if len(line) <= 60 else f"{line[:57]}..."
