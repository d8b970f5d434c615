"""Which classes a name or an expression stands for, over all files of a project, by reading alone."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# The project's Python files, parsed, by their paths.
Trees = Mapping[str, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Class(NamedTuple):
    """A class and its file."""

    file: str
    node: ast.ClassDef


class _Value(NamedTuple):
    """An expression and the file that its names are looked up in."""

    file: str
    expression: ast.expr


@dataclass(slots=True)
class _Names:
    """What the names of a file, or of all files, may stand for."""

    classes: dict[str, list[Class]] = field(default_factory=lambda: defaultdict(list))
    values: dict[str, list[_Value]] = field(default_factory=lambda: defaultdict(list))
    imported: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))


class Definitions:
    """The classes, values and imports of a project's files, by name.

    Scopes are not told apart: a name stands for all that any function of its file gives it. So `classes` may yield too
    many; the caller chooses by what a class defines.
    """

    def __init__(self, trees: Trees) -> None:
        self._trees = trees
        self._files = {file: _Names() for file in trees}
        self._everywhere = _Names()
        self._arguments: dict[str, list[tuple[str, ast.Call]]] = defaultdict(list)
        for file, tree in trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call):
                    self._arguments[last_name(node.func)].append((file, node))
        for file, tree in trees.items():
            for node in ast.walk(tree):
                self._add(file, node)

    def calls(self, function: str) -> Iterator[tuple[str, ast.Call]]:
        """The calls of a function of this name, also by another name that its file gives to it."""
        for file, tree in self._trees.items():
            for node in ast.walk(tree):
                if isinstance(node, ast.Call) and function in {last_name(node.func), *self._originals(file, node.func)}:
                    yield file, node

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

    def derives(self, start: Class, base: str) -> bool:
        """Whether a class derives, directly or not, from one of this name that the project does not define."""
        expressions = ((each.file, item) for each in self.ancestors(start) for item in each.node.bases)
        return any(base in self._reach(file, item)[0] for file, item in expressions)

    def _reach(self, file: str, expression: ast.expr) -> tuple[set[str], list[Class]]:
        """All names that an expression leads to through assignments, calls and imports, and the classes among them."""
        names: set[str] = set()
        classes: dict[ast.ClassDef, Class] = {}
        seen: set[tuple[str, str]] = set()
        values = [_Value(file, expression)]
        for value in values:  # the list grows
            for name in _names(value.expression):
                if (value.file, name) in seen:
                    continue
                seen.add((value.file, name))
                names |= {name, *self._files[value.file].imported.get(name, ())}
                for item in self._lookup(value.file, name):
                    if isinstance(item, Class):
                        classes[item.node] = item
                    else:
                        values.append(item)
        return names, list(classes.values())

    def _originals(self, file: str, function: ast.expr) -> set[str]:
        """What a file calls by another name: the imported name, or the one that was assigned."""
        name, known = last_name(function), self._files[file]
        return known.imported.get(name, set()) | {last_name(value.expression) for value in known.values.get(name, ())}

    def _lookup(self, file: str, name: str) -> list[Class | _Value]:
        """What a name stands for in its file, else what the files that it may be imported from define."""
        own = self._files[file]
        local: list[Class | _Value] = [*own.classes.get(name, ()), *own.values.get(name, ())]
        if local:
            return local
        originals = own.imported.get(name, {name})
        return [
            item
            for original in originals
            for item in (*self._everywhere.classes.get(original, ()), *self._everywhere.values.get(original, ()))
        ]

    def _add(self, file: str, node: ast.AST) -> None:
        if isinstance(node, ast.ClassDef):
            for names in (self._files[file], self._everywhere):
                names.classes[node.name].append(Class(file, node))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            results = (part.value for part in ast.walk(node) if isinstance(part, ast.Return | ast.Yield) and part.value)
            for result in results:
                self._add_value(file, node.name, result)
            self._add_parameters(file, node)
        elif isinstance(node, ast.Assign):
            for target in node.targets:
                self._add_value(file, last_name(target), node.value)
        elif isinstance(node, ast.AnnAssign | ast.NamedExpr) and node.value is not None:
            self._add_value(file, last_name(node.target), node.value)
        elif isinstance(node, ast.withitem) and node.optional_vars is not None:
            self._add_value(file, last_name(node.optional_vars), node.context_expr)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                self._files[file].imported[alias.asname or alias.name].add(alias.name)

    def _add_parameters(self, file: str, function: Function) -> None:
        """What the calls of a function give to its parameters, and their annotations."""
        parameters = [*function.args.posonlyargs, *function.args.args]
        if parameters and parameters[0].arg in ("self", "cls"):
            del parameters[0]
        for position, parameter in enumerate(parameters):
            if parameter.annotation is not None:
                self._files[file].values[parameter.arg].append(_Value(file, parameter.annotation))
            for place, call in self._arguments.get(function.name, ()):
                given = [item.value for item in call.keywords if item.arg == parameter.arg]
                given += call.args[position : position + 1]
                self._files[file].values[parameter.arg] += [_Value(place, argument) for argument in given]

    def _add_value(self, file: str, name: str, value: ast.expr) -> None:
        if name:
            self._files[file].values[name].append(_Value(file, value))
            self._everywhere.values[name].append(_Value(file, value))


def last_name(node: ast.expr) -> str:
    """The last part of a dotted name, "" for any other expression."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _names(expression: ast.expr) -> Iterator[str]:
    """The names in an expression: of a dotted one the last part, and the first, which may be a class."""
    return (last_name(node) for node in ast.walk(expression) if isinstance(node, ast.Name | ast.Attribute))
