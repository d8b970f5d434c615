"""Which classes a name or an expression stands for, over all files of a project, by reading alone."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

# The project's Python files, parsed, by their paths.
Trees = Mapping[str, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTION_TYPES = (ast.FunctionDef, ast.AsyncFunctionDef)
_MAX_VALUES = 1000  # that are followed from one expression: more lead nowhere in code that was written by hand


class Class(NamedTuple):
    """A class and its file."""

    file: str
    node: ast.ClassDef


class _Value(NamedTuple):
    """An expression and the file that its names are looked up in."""

    file: str
    expression: ast.expr


class _Parameter(NamedTuple):
    """A function's parameter, which stands for what the function's calls give to it."""

    function: str
    name: str
    position: int


@dataclass(slots=True)
class _Names:
    """What the names of a file, or of all files, may stand for."""

    classes: dict[str, list[Class]] = field(default_factory=lambda: defaultdict(list))
    values: dict[str, list[_Value]] = field(default_factory=lambda: defaultdict(list))
    parameters: dict[str, list[_Parameter]] = field(default_factory=lambda: defaultdict(list))
    imported: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def has(self, name: str) -> bool:
        return name in self.classes or name in self.values or name in self.parameters


class Definitions:
    """The classes, values and imports of a project's files, by name.

    Scopes are not told apart: a name stands for all that any function of its file gives it. So `classes` may yield too
    many; the caller chooses by what a class defines.
    """

    def __init__(self, trees: Trees) -> None:
        self._files = {file: _Names() for file in trees}
        self._everywhere = _Names()
        self._calls: dict[str, list[tuple[str, ast.Call]]] = defaultdict(list)
        for file, tree in trees.items():
            for node in ast.walk(tree):
                self._add(file, node)

    def calls(self, function: str) -> Iterator[tuple[str, ast.Call]]:
        """The calls of a function of this name, also by another name that its file gives to it."""
        for name, calls in self._calls.items():
            for file, call in calls:
                if name == function or function in self._originals(file, name):
                    yield file, call

    def classes(self, file: str, expression: ast.expr) -> list[Class]:
        """The classes of the project that an expression of this file names, or may have an instance of."""
        return self._reach(file, expression)[1]

    def ancestors(self, start: Class) -> list[Class]:
        """The class, then those of the project that it derives from."""
        line = [start]
        for each in line:  # the list grows
            for base in each.node.bases:
                line += [other for other in self.classes(each.file, base) if other not in line]
        return line

    def descendants(self, base: str) -> list[Class]:
        """The classes that derive, directly or not, from one of this name that the project does not define."""
        candidates = self._possible_descendants(base)
        return [each for each in candidates if self._derives(each, base)]

    def _possible_descendants(self, base: str) -> list[Class]:
        """The classes that derive from a class of this name, as far as names alone say."""
        names, candidates = {base}, dict[ast.ClassDef, Class]()
        everywhere = self._everywhere
        while True:
            known = len(names)
            names |= {name for name, originals in everywhere.imported.items() if originals & names}
            names |= {
                name
                for name, values in everywhere.values.items()
                if any(last_name(value.expression) in names for value in values)
            }
            for each in (each for classes in everywhere.classes.values() for each in classes):
                if each.node not in candidates and any(
                    name in names for item in each.node.bases for name in _names(item)
                ):
                    candidates[each.node] = each
                    names.add(each.node.name)
            if len(names) == known:
                return list(candidates.values())

    def _derives(self, start: Class, base: str) -> bool:
        expressions = ((each.file, item) for each in self.ancestors(start) for item in each.node.bases)
        return any(base in self._reach(file, item)[0] for file, item in expressions)

    def _reach(self, file: str, expression: ast.expr) -> tuple[set[str], list[Class]]:
        """All names that an expression leads to through assignments, calls and imports, and the classes among them."""
        names: set[str] = set()
        classes: dict[ast.ClassDef, Class] = {}
        seen: set[tuple[str, str]] = set()
        values = [_Value(file, expression)]
        for value in islice(values, _MAX_VALUES):  # the list grows
            for name in _names(value.expression):
                if (value.file, name) in seen:
                    continue
                seen.add((value.file, name))
                names |= {name, *self._imported_as(value.file, name)}
                defined, more = self._lookup(value.file, name)
                classes |= {each.node: each for each in defined}
                values += more
        return names, list(classes.values())

    def _lookup(self, file: str, name: str) -> tuple[list[Class], list[_Value]]:
        """What a name stands for in its file, else what the files that it may be imported from define."""
        own = self._files[file]
        if own.has(name):
            given = [value for parameter in own.parameters.get(name, ()) for value in self._arguments(parameter)]
            return own.classes.get(name, []), [*own.values.get(name, ()), *given]
        originals = own.imported.get(name, {name})
        classes = [each for original in originals for each in self._everywhere.classes.get(original, ())]
        return classes, [value for original in originals for value in self._everywhere.values.get(original, ())]

    def _arguments(self, parameter: _Parameter) -> Iterator[_Value]:
        """What the calls of its function give to a parameter."""
        for file, call in islice(self._calls.get(parameter.function, ()), _MAX_VALUES):
            for argument in call.args[parameter.position : parameter.position + 1]:
                yield _Value(file, argument)
            for item in call.keywords:
                if item.arg == parameter.name:
                    yield _Value(file, item.value)

    def _imported_as(self, file: str, name: str) -> set[str]:
        """The names under which a name was imported: into its file, or into the one that this file has it from."""
        own = self._files[file]
        if own.has(name):
            return set()
        originals = own.imported.get(name, {name})
        return originals | {other for original in originals for other in self._everywhere.imported.get(original, ())}

    def _originals(self, file: str, function: str) -> set[str]:
        """What a file calls by another name: the imported name, or the one that was assigned."""
        known = self._files[file]
        assigned = {last_name(value.expression) for value in known.values.get(function, ())}
        return known.imported.get(function, set()) | assigned

    def _add(self, file: str, node: ast.AST) -> None:
        if isinstance(node, ast.Call):
            self._calls[last_name(node.func)].append((file, node))
        elif isinstance(node, ast.ClassDef):
            for names in (self._files[file], self._everywhere):
                names.classes[node.name].append(Class(file, node))
        elif isinstance(node, _FUNCTION_TYPES):
            self._add_function(file, node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._add_target(file, target, node.value)
        elif isinstance(node, ast.For | ast.AsyncFor):
            self._add_target(file, node.target, node.iter)
        elif isinstance(node, ast.AnnAssign):
            self._add_target(file, node.target, _unquoted(node.annotation) if node.value is None else node.value)
        elif isinstance(node, ast.NamedExpr):
            self._add_target(file, node.target, node.value)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._add_target(file, node.optional_vars, node.context_expr)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                for names in (self._files[file], self._everywhere):
                    names.imported[alias.asname or alias.name].add(alias.name)

    def _add_function(self, file: str, function: Function) -> None:
        """Its name stands for what it returns, its parameters for their annotations and for what they are given."""
        for part in ast.walk(function):
            if isinstance(part, ast.Return | ast.Yield) and part.value is not None:
                self._add_value(file, function.name, part.value)
        parameters = [*function.args.posonlyargs, *function.args.args]
        if parameters and parameters[0].arg in ("self", "cls"):
            del parameters[0]
        own = self._files[file]
        for position, parameter in enumerate(parameters):
            own.parameters[parameter.arg].append(_Parameter(function.name, parameter.arg, position))
            if parameter.annotation is not None:
                own.values[parameter.arg].append(_Value(file, _unquoted(parameter.annotation)))

    def _add_target(self, file: str, target: ast.expr, value: ast.expr) -> None:
        """Each name of a target, which may be a tuple, stands for all of the value."""
        for part in ast.walk(target):
            if isinstance(part, ast.Name | ast.Attribute) and isinstance(part.ctx, ast.Store):
                self._add_value(file, last_name(part), value)

    def _add_value(self, file: str, name: str, value: ast.expr) -> None:
        self._files[file].values[name].append(_Value(file, value))
        self._everywhere.values[name].append(_Value(file, value))


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name, "" for any other expression."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _names(expression: ast.expr) -> Iterator[str]:
    """The names in an expression, and each part of dotted ones: the first may be a class."""
    return (last_name(node) for node in ast.walk(expression) if isinstance(node, ast.Name | ast.Attribute))


def _unquoted(annotation: ast.expr) -> ast.expr:
    """An annotation, read if it is a string."""
    if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
        try:
            return ast.parse(annotation.value, mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return annotation
    return annotation
