"""What carries a version's requests to the next version and the replies back: all but what only the author knows.

For two versions of a contract this makes a class with a method for each conversion. What cannot be derived is an
abstract method: the author's class, in `PACKAGE/upgrade/`, cannot be made without it, to mypy and to Python alike.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from protoserve.codegen import carrying, fields
from protoserve.codegen.formatting import LINE_LENGTH
from protoserve.codegen.proto import HEADER
from protoserve.contract import names
from protoserve.contract.model import Contract, Enum, Field, Message, Method

SEED_INIT = '''"""What carries callers of older versions to the newest one: a module a version, all yours."""
'''


@dataclass(frozen=True, slots=True)
class Needed:
    """A method that the author must write: its signature, and what it is for in words."""

    name: str
    signature: str
    why: str


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The class from one version to the next: its methods as Python, and what the author must add."""

    older: Contract
    newer: Contract
    methods: tuple[str, ...]
    needed: tuple[Needed, ...]

    @property
    def module(self) -> str:
        return f"{self.older.version}_to_{self.newer.version}"


def upgrade(older: Contract, newer: Contract) -> Upgrade:
    """What carries `older`, the version before `newer`, over."""
    maker = _Maker(older, newer)
    for method in older.methods:
        maker.add(method)
    return Upgrade(older, newer, tuple(maker.methods), tuple(maker.needed))


def kept(older: Contract, newer: Contract, method: Method) -> Method | None:
    """The method of the newer version that answers `method` of the older one; None where the author has to."""
    found = next((item for item in newer.methods if item.name == method.name), None)
    return found if found is not None and found.streaming == method.streaming else None


def render(made: Upgrade, package: str) -> str:
    """`PACKAGE/contract/OLDER_to_NEWER.py`; not yet formatted."""
    return "\n".join(_module(made, package)) + "\n"


def seed(made: Upgrade) -> str:
    """`PACKAGE/upgrade/OLDER.py`, which is the author's from then on."""
    old, new = made.older.version, made.newer.version
    return f'''"""How callers of {old} are answered by a model that speaks {new}.

This file is yours. {old}'s requests become {new}'s, and {new}'s replies {old}'s, by the methods of `Carried` in
`contract/{made.module}.py`, which `make generate` keeps up to date: fields of the same name and type are carried over
already. What cannot be is abstract there and must be written here: `make generate`, the type checker and the server
say what. Override any other method of `Carried` to carry over more, or otherwise.
"""

from collections.abc import Mapping
from typing import ClassVar, final

from ..contract.{made.module} import Carried


@final
class Upgrade(Carried):
    """{old}'s requests as {new}'s, {new}'s replies as {old}'s."""

    # Fields of requests that {old} calls otherwise, for what the model says of them: {{"{new}'s": "{old}'s"}}.
    renamed: ClassVar[Mapping[str, str]] = {{}}
'''


def unwritten(steps: Iterable[Upgrade], project: Path, package: str) -> Iterator[str]:
    """What the author must still write, a line each with the signature and what it is for."""
    for made in steps:
        file = f"src/{package}/upgrade/{made.older.version}.py"
        try:
            text = (project / file).read_text(encoding="utf-8")
        except OSError:
            text = ""
        for item in made.needed:
            if not re.search(rf"^\s+def {item.name}\(", text, re.MULTILINE):
                yield f"{file}: write `def {item.name}(self, {item.signature}`. {item.why}"


class _Maker:
    """Writes the methods of one class; each helper once, when it is first needed."""

    def __init__(self, older: Contract, newer: Contract) -> None:
        self.older, self.newer = older, newer
        self.methods: list[str] = []
        self.needed: list[Needed] = []
        self._made: dict[str, str] = {}
        self._names = {"renamed"}
        for method in older.methods:
            self._names |= self._own(method)

    def _own(self, method: Method) -> set[str]:
        name = names.snake(method.name)
        return {name} if kept(self.older, self.newer, method) is None else {f"{name}_request", f"{name}_response"}

    def add(self, method: Method) -> None:
        """Both directions of a method, or what answers it where the newer version has none."""
        newer = kept(self.older, self.newer, method)
        name = names.snake(method.name)
        if newer is None:
            self._alone(method, name)
            return
        self._message(f"{name}_request", "request", self.older, method.request, self.newer, newer.request)
        self._message(f"{name}_response", "response", self.newer, newer.response, self.older, method.response)

    def _alone(self, method: Method, name: str) -> None:
        old, new = self.older.version, self.newer.version
        request, response = f"{old}.{method.request.name}", f"{old}.{method.response.name}"
        if method.streaming:
            signature = f"model: Model, request: {request}, /) -> Iterator[{response}]"
        else:
            signature = f"model: Model, batch: Sequence[{request}], /) -> Sequence[{response}]"
        other = any(item.name == method.name for item in self.newer.methods)
        form = "answers otherwise: one of the two is a stream" if other else "is not there any more"
        why = (
            f"In {new} {method.name} {form}. Answer its callers by a method that the model keeps for them, or refuse "
            f'them: `raise Retired("call ... of {new} instead")`.'
        )
        self._abstract(name, signature, why)

    def _abstract(self, name: str, signature: str, why: str) -> None:
        self.needed.append(Needed(name, signature, why))
        lines = ["    @abstractmethod", f"    def {name}(self, {signature}:", _docstring(why, 8), ""]
        self.methods.append("\n".join(lines))

    def _free(self, name: str) -> str:
        """The name, or one with underscores behind it where a method is called so already."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def _message(
        self, name: str, value: str, source: Contract, given: Message, target: Contract, wanted: Message
    ) -> None:
        """The method `name`, from a message of `source` to one of `target`."""
        at = len(self.methods)
        self.methods.append("")  # helpers come below
        have = {field.name: field for field in given.fields}
        arguments, carried, said = [], [], []
        for field in wanted.fields:
            found = have.get(field.name)
            why = None if found is None else carrying.obstacle(source, found, target, field)
            if found is not None and why is None:
                carried.append(field.name)
                arguments.append(f"{field.name}={self._carry(source, found, target, field, f'{value}.{field.name}')}")
            elif found is not None or self._must(field):
                if found is not None:
                    carried.append(field.name)
                why = why or f"{source.version} has no such field"
                arguments.append(f"{field.name}={self._ask(name, value, source, given, target, wanted, field, why)}")
        dropped = [field.name for field in given.fields if all(field.name != other.name for other in wanted.fields)]
        if dropped:
            said.append(f"{target.version} has no {', '.join(dropped)}.")
        result = f"{target.version}.{wanted.name}({', '.join(arguments)})"
        for oneof in wanted.oneofs:
            members = [field.name for field in wanted.oneofs[oneof] if field.name in carried]
            trouble = carrying.choice(given, wanted, oneof, members)
            if trouble is not None:
                result = self._settle(name, value, source, given, target, wanted, oneof, trouble, result)
        doc = " ".join([f"{given.name} of {source.version} as {target.version}'s {wanted.name}.", *said])
        head = f"    def {name}(self, {value}: {source.version}.{given.name}, /) -> {target.version}.{wanted.name}:"
        self.methods[at] = "\n".join([head, _docstring(doc, 8), f"        return {result}", ""])

    @staticmethod
    def _must(field: Field) -> bool:
        """Whether a message cannot be made without the field."""
        if field.repeated or field.is_map:
            return bool(field.min_items)
        return field.required and field.default is None and field.oneof is None

    def _ask(
        self,
        name: str,
        value: str,
        source: Contract,
        given: Message,
        target: Contract,
        wanted: Message,
        field: Field,
        why: str,
    ) -> str:
        """A call of the method by which the author gives one field."""
        asked = self._free(f"{name}_{field.name}")
        kind = _qualified(target, field)
        text = f"The {field.name} of {target.version}'s {wanted.name}: {why}."
        self._abstract(asked, f"{value}: {source.version}.{given.name}, /) -> {kind}", text)
        return f"self.{asked}({value})"

    def _settle(
        self,
        name: str,
        value: str,
        source: Contract,
        given: Message,
        target: Contract,
        wanted: Message,
        oneof: str,
        trouble: str,
        result: str,
    ) -> str:
        """A call of the method by which the author sets a oneof of a message that is made otherwise."""
        asked = self._free(f"{name}_{oneof}")
        members = ", ".join(field.name for field in wanted.oneofs[oneof])
        wants = "Exactly one" if wanted.oneofs[oneof][0].required else "At most one"
        kind = f"{target.version}.{wanted.name}"
        text = f"{wants} of {members} must be set in the reply, and in what is carried over {trouble}."
        self._abstract(asked, f"{value}: {source.version}.{given.name}, carried: {kind}, /) -> {kind}", text)
        return f"self.{asked}({value}, {result})"

    def _carry(self, source: Contract, given: Field, target: Contract, wanted: Field, value: str) -> str:
        """The expression for a field that can be carried over."""
        helper = self._helper(source, given, target)
        if given.repeated:
            return value if helper is None else f"[self.{helper}(item) for item in {value}]"
        if given.is_map:
            return value if helper is None else f"{{key: self.{helper}(item) for key, item in {value}.items()}}"
        one = value if helper is None else f"self.{helper}({value})"
        if not carrying.absent(given):
            return one
        otherwise = "None"
        if wanted.default is not None:
            otherwise = fields.literal(target, wanted, wanted.default)
            if target.enum(wanted.type) is not None:
                otherwise = f"{target.version}.{otherwise}"
        if one == otherwise or (helper is None and otherwise == "None"):
            return one
        return f"{one} if {value} is not None else {otherwise}"

    def _helper(self, source: Contract, field: Field, target: Contract) -> str | None:
        """The method that carries over the field's enum or message; None for a scalar."""
        if field.scalar is not None:
            return None
        key = f"{names.snake(field.type)}_to_{target.version}"
        if key not in self._made:
            name = self._made[key] = self._free(key)
            enum, other = source.enum(field.type), target.enum(field.type)
            if enum is not None and other is not None:
                self._enum(name, source, enum, target, other)
            else:
                given, wanted = source.message(field.type), target.message(field.type)
                assert given is not None  # a sound contract has every type that it names
                assert wanted is not None
                self._message(name, "value", source, given, target, wanted)
        return self._made[key]

    def _enum(self, name: str, source: Contract, enum: Enum, target: Contract, other: Enum) -> None:
        old, new = source.version, target.version
        head = f"    def {name}(self, value: {old}.{enum.name}, /) -> {new}.{enum.name}:"
        doc = _docstring(f"{enum.name} of {old} as {new}'s, by the names of its values.", 8)
        known = {value.name.upper() for value in other.values}
        lost = [value.name.upper() for value in enum.values if value.name.upper() not in known]
        body = [f"        return {new}.{enum.name}[value.name]"]
        if lost:
            asked = self._free(f"{name}_else")
            body = [f"        if value.name in {new}.{enum.name}.__members__:", f"    {body[0]}"]
            body.append(f"        return self.{asked}(value)")
        self.methods.append("\n".join([head, doc, *body, ""]))
        if lost:
            text = f"What stands in {new} for {', '.join(lost)}, which its {enum.name} has not."
            self._abstract(asked, f"value: {old}.{enum.name}, /) -> {new}.{enum.name}", text)


def _qualified(contract: Contract, field: Field) -> str:
    """The annotation of a field outside of its version's module."""
    if field.scalar is None:
        field = replace(field, type=f"{contract.version}.{field.type}")
    return fields.annotation(contract, field).replace("checks.Json", "Json")


def _docstring(text: str, indent: int) -> str:
    body = text.replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    body = body[:-1] + '\\"' if body.endswith('"') else body
    space = " " * indent
    if len(body) + indent + 6 <= LINE_LENGTH:
        return f'{space}"""{body}"""'
    first, *rest = textwrap.wrap(body, LINE_LENGTH - indent - 3, break_long_words=False, break_on_hyphens=False)
    return "\n".join([f'{space}"""{first}', *(f"{space}{line}" for line in rest), f'{space}"""'])


def _module(made: Upgrade, package: str) -> Iterator[str]:
    old, new = made.older.version, made.newer.version
    yield f'"""What of {old} is carried over to {new}, and back: all but what only the author of both can know.\n'
    yield f'{HEADER}\n"""\n'
    yield from _imports(made, package)
    yield "\nclass Carried(ABC):" if made.needed else "\nclass Carried:"
    yield _docstring(
        f"{old}'s requests as {new}'s, {new}'s replies as {old}'s; `{package}.upgrade.{old}` completes it.", 4
    )
    yield ""
    yield "    renamed: ClassVar[Mapping[str, str]] = {}"
    yield _docstring(f"What {old} calls fields of requests, by their paths in {new}; both without indices.", 4)
    yield ""
    yield from made.methods


def _imports(made: Upgrade, package: str) -> Iterable[str]:
    """What is not used, the formatter takes out again."""
    return (
        "from __future__ import annotations\n",
        "from abc import ABC, abstractmethod",
        "from collections.abc import Iterator, Mapping, Sequence",
        "from datetime import UTC, datetime, timedelta",
        "from typing import TYPE_CHECKING, Any, ClassVar\n",
        "import numpy as np",
        "from numpy.typing import NDArray\n",
        f"from . import {made.older.version}, {made.newer.version}",
        "from .checks import Json, Retired\n",
        *(("if TYPE_CHECKING:", "    from ..model import Model\n") if _asks_model(made) else ()),
    )


def _asks_model(made: Upgrade) -> bool:
    return any(item.signature.startswith("model: Model") for item in made.needed)
