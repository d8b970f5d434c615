"""What carries a version's requests to the next version and the replies back: all but what only the author knows.

For two versions of a contract this makes a class with a method for each conversion. What cannot be derived is an
abstract method: the author's class, in `PACKAGE/upgrade/`, cannot be made without it, to mypy and to Python alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from protoserve.emit import convertible, field_code
from protoserve.emit.proto import HEADER
from protoserve.emit.python_templates import render
from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Enum, Field, Message, Method
from protoserve.wire import is_required, may_be_none

SEED_INIT = '''"""What carries callers of older versions to the newest one: a module a version, all yours."""
'''


@dataclass(frozen=True, slots=True)
class Needed:
    """A method that the author must write: its signature, and what it is for in words."""

    name: str
    signature: str
    why: str


@dataclass(frozen=True, slots=True)
class CarriedMethod:
    """A method of the class `Carried`; `signature` is what follows `self, ` in its head, without the colon."""

    name: str
    signature: str
    doc: str = ""
    body: tuple[str, ...] = ()
    is_abstract: bool = False


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The class from one version to the next: its methods, and what the author must add.

    `lost` are the fields of the older version's requests that the newer one has no place for.
    """

    older: Contract
    newer: Contract
    methods: tuple[CarriedMethod, ...]
    needed: tuple[Needed, ...]
    lost: tuple[str, ...]

    @property
    def module(self) -> str:
        return f"{self.older.version}_to_{self.newer.version}"


def upgrade(older: Contract, newer: Contract) -> Upgrade:
    """What carries `older`, the version before `newer`, over."""
    maker = _Maker(older, newer)
    for method in older.methods:
        maker.add(method)
    return Upgrade(older, newer, tuple(maker.methods), tuple(maker.needed), tuple(maker.lost))


def kept(older: Contract, newer: Contract, method: Method) -> Method | None:
    """The method of the newer version that answers `method` of the older one; None where the author has to."""
    found = next((item for item in newer.methods if item.name == method.name), None)
    return found if found is not None and found.streaming == method.streaming else None


def render_upgrade(upgrade: Upgrade, package: str) -> str:
    """`PACKAGE/contract/OLDER_to_NEWER.py`; not yet formatted."""
    return render(
        "upgrade",
        header=HEADER,
        package=package,
        old=upgrade.older.version,
        new=upgrade.newer.version,
        methods=upgrade.methods,
        needed=upgrade.needed,
        renamed=_renamed(upgrade.older, upgrade.newer),
        asks_model=any(item.signature.startswith("model: Model") for item in upgrade.needed),
    )


def render_seed(upgrade: Upgrade) -> str:
    """`PACKAGE/upgrade/OLDER.py`, which is the author's from then on."""
    return render("upgrade_seed", old=upgrade.older.version, new=upgrade.newer.version)


def notes(steps: Iterable[Upgrade]) -> Iterator[str]:
    """What callers of older versions send for nothing, a line a version."""
    for made in steps:
        if made.lost:
            old, new = made.older.version, made.newer.version
            yield f"{new} has no place for {', '.join(made.lost)} of {old}: what {old}'s callers say there is ignored"


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


@dataclass(frozen=True, slots=True)
class _Conversion:
    """The method `name`, from the message `given` of `source`, which it calls `value`, to `wanted` of `target`."""

    name: str
    value: str
    source: Contract
    given: Message
    target: Contract
    wanted: Message

    @property
    def parameter(self) -> str:
        return f"{self.value}: {self.source.version}.{self.given.name}"

    @property
    def result(self) -> str:
        return f"{self.target.version}.{self.wanted.name}"


class _Maker:
    """Writes the methods of one class; each helper once, when it is first needed."""

    def __init__(self, older: Contract, newer: Contract) -> None:
        self.older, self.newer = older, newer
        self.methods: list[CarriedMethod] = []
        self.needed: list[Needed] = []
        self.lost: list[str] = []
        self._made: dict[str, str] = {}
        self._names = {"renamed"}
        for method in older.methods:
            self._names |= self._own(method)

    def _own(self, method: Method) -> set[str]:
        name = reserved_names.snake(method.name)
        return {name} if kept(self.older, self.newer, method) is None else {f"{name}_request", f"{name}_response"}

    def add(self, method: Method) -> None:
        """Both directions of a method, or what answers it where the newer version has none."""
        newer = kept(self.older, self.newer, method)
        name = reserved_names.snake(method.name)
        if newer is None:
            self._alone(method, name)
            return
        old, new = self.older, self.newer
        self._message(_Conversion(f"{name}_request", "request", old, method.request, new, newer.request))
        self._message(_Conversion(f"{name}_response", "response", new, newer.response, old, method.response))

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
        self.methods.append(CarriedMethod(name, signature, why, is_abstract=True))

    def _free(self, name: str) -> str:
        """The name, or one with underscores behind it where a method is called so already."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def _message(self, made: _Conversion) -> None:
        """The method that makes a message of another one."""
        at = len(self.methods)
        self.methods.append(CarriedMethod(made.name, f"{made.parameter}, /) -> {made.result}"))  # helpers come below
        pairs = convertible.pairs(made.given.fields, made.wanted.fields, rising=made.target is self.newer)
        arguments = []
        for field in made.wanted.fields:
            found = pairs.get(field.name)
            why = f"{made.source.version} has no such field"
            if found is not None:
                why = convertible.obstacle(made.source, found, made.target, field) or ""
            if not why and found is not None:
                value = self._carry(made, found, field)
            elif found is not None or self._must(field):
                value = self._ask(made, field, why)
            else:
                continue
            arguments.append(f"{field.name}={value}")
        result = f"{made.result}({', '.join(arguments)})"
        for oneof, members in made.wanted.oneofs.items():
            given = [pairs[member.name] for member in members if member.name in pairs]
            trouble = convertible.choice(made.given, members, given)
            if trouble is not None:
                result = self._settle(made, oneof, trouble, result)
        doc = f"{made.given.name} of {made.source.version} as {made.target.version}'s {made.wanted.name}."
        dropped = [field.name for field in made.given.fields if field not in pairs.values()]
        if dropped:
            doc += f" {made.target.version} has no {', '.join(dropped)}."
            if made.target is self.newer:
                self.lost += [f"{made.given.name}.{name}" for name in dropped]
        self.methods[at] = replace(self.methods[at], doc=doc, body=(f"return {result}",))

    @staticmethod
    def _must(field: Field) -> bool:
        """Whether a message cannot be made without the field."""
        if field.repeated or field.is_map:
            return bool(field.min_items)
        return is_required(field) and field.default is None

    def _ask(self, made: _Conversion, field: Field, why: str) -> str:
        """A call of the method by which the author gives one field."""
        asked = self._free(f"{made.name}_{field.name}")
        text = f"The {field.name} of {made.target.version}'s {made.wanted.name}: {why}."
        self._abstract(asked, f"{made.parameter}, /) -> {_qualified(made.target, field)}", text)
        return f"self.{asked}({made.value})"

    def _settle(self, made: _Conversion, oneof: str, trouble: str, result: str) -> str:
        """A call of the method by which the author sets a oneof of a message that is made otherwise."""
        asked = self._free(f"{made.name}_{oneof}")
        members = made.wanted.oneofs[oneof]
        wants = "Exactly one" if members[0].required else "At most one"
        listed = ", ".join(field.name for field in members)
        text = f"{wants} of {listed} must be set in the result, and in what is carried over {trouble}."
        self._abstract(asked, f"{made.parameter}, carried: {made.result}, /) -> {made.result}", text)
        return f"self.{asked}({made.value}, {result})"

    def _carry(self, made: _Conversion, given: Field, wanted: Field) -> str:
        """The expression for a field that can be carried over."""
        target, value = made.target, f"{made.value}.{given.name}"
        helper = self._helper(made.source, given, target)
        if given.repeated:
            return value if helper is None else f"[self.{helper}(item) for item in {value}]"
        if given.is_map:
            return value if helper is None else f"{{key: self.{helper}(item) for key, item in {value}.items()}}"
        one = value if helper is None else f"self.{helper}({value})"
        if not may_be_none(given):
            return one
        otherwise = "None"
        if wanted.default is not None:
            otherwise = field_code.literal(target, wanted, wanted.default)
            if target.enum(wanted.type) is not None:
                otherwise = f"{target.version}.{otherwise}"
        if one == otherwise or (helper is None and otherwise == "None"):
            return one
        return f"{one} if {value} is not None else {otherwise}"

    def _helper(self, source: Contract, field: Field, target: Contract) -> str | None:
        """The method that carries over the field's enum or message; None for a scalar."""
        if field.scalar is not None:
            return None
        key = f"{reserved_names.snake(field.type)}_to_{target.version}"
        if key not in self._made:
            name = self._made[key] = self._free(key)
            enum, other = source.enum(field.type), target.enum(field.type)
            if enum is not None and other is not None:
                self._enum(name, source, enum, target, other)
            else:
                given, wanted = source.message(field.type), target.message(field.type)
                assert given is not None  # a sound contract has every type that it names
                assert wanted is not None
                self._message(_Conversion(name, "value", source, given, target, wanted))
        return self._made[key]

    def _enum(self, method: str, source: Contract, enum: Enum, target: Contract, other: Enum) -> None:
        old, new = source.version, target.version
        signature = f"value: {old}.{enum.name}, /) -> {new}.{enum.name}"
        doc = f"{enum.name} of {old} as {new}'s, by the names of its values."
        pairs = convertible.pairs(enum.values, other.values, rising=target is self.newer)
        renamed = {was.name.upper(): name.upper() for name, was in pairs.items() if was.name.upper() != name.upper()}
        lost = [value.name.upper() for value in enum.values if value not in pairs.values()]
        name, body = "value.name", []
        if renamed:
            name, body = "name", [f"name = {renamed!r}.get(value.name, value.name)"]
        if lost:
            asked = self._free(f"{method}_else")
            body += [
                f"if {name} not in {new}.{enum.name}.__members__:",
                f"    return self.{asked}(value)",
            ]
        body.append(f"return {new}.{enum.name}[{name}]")
        self.methods.append(CarriedMethod(method, signature, doc, tuple(body)))
        if lost:
            text = f"What stands in {new} for {', '.join(lost)}, which its {enum.name} has not."
            self._abstract(asked, signature, text)


def _qualified(contract: Contract, field: Field) -> str:
    """The annotation of a field outside of its version's module."""
    if field.scalar is None:
        field = replace(field, type=f"{contract.version}.{field.type}")
    return field_code.annotation(contract, field)


def _renamed(older: Contract, newer: Contract) -> dict[str, str]:
    """The paths of fields of requests that were renamed, as the schema says it."""
    found: dict[str, str] = {}
    for method in older.methods:
        above = kept(older, newer, method)
        if above is not None:
            found.update(_paths(older, method.request, newer, above.request, "", "", ()))
    return found


def _paths(
    older: Contract, was: Message, newer: Contract, now: Message, old: str, new: str, above: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Pairs of the newer and the older path, below `new` and `old`; a message within itself is not gone into again."""
    pairs = convertible.pairs(was.fields, now.fields, rising=True)
    for field in now.fields:
        before = pairs.get(field.name)
        if before is None:
            continue
        if f"{new}{field.name}" != f"{old}{before.name}":
            yield f"{new}{field.name}", f"{old}{before.name}"
        inner, outer = newer.message(field.type), older.message(before.type)
        if inner is not None and outer is not None and inner.name not in above:
            below = (*above, inner.name)
            yield from _paths(older, outer, newer, inner, f"{old}{before.name}.", f"{new}{field.name}.", below)
