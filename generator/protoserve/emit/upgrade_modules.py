"""What carries a version's requests to the next version and the replies back: all but what only the author knows.

For two versions of a contract this makes a class with a method for each conversion. What cannot be derived is an
abstract method: the author's class, in `PACKAGE/upgrade/`, cannot be made without it, to mypy and to Python alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from protoserve.emit import field_code, value_compatibility
from protoserve.emit.proto import HEADER
from protoserve.emit.python_templates import render
from protoserve.platform.reading import read_if_exists
from protoserve.schema import reserved_names
from protoserve.schema.model import Contract, Enum, Field, Message, Method
from protoserve.wire import is_required, may_be_none

SEED_INIT = '''"""What carries callers of older versions to the newest one: a module for each version, all yours."""
'''


@dataclass(frozen=True, slots=True)
class CarriedMethod:
    """A method of the class `Carried`; the author must write one that is abstract, and `doc` says what it is for.

    `signature` is what follows `self, ` in its head, without the colon.
    """

    name: str
    signature: str
    doc: str = ""
    body: tuple[str, ...] = ()
    is_abstract: bool = False


@dataclass(frozen=True, slots=True)
class Upgrade:
    """The class from one version to the next.

    `lost_fields` are the fields of the older version's requests that the newer version does not have.
    """

    older: Contract
    newer: Contract
    methods: tuple[CarriedMethod, ...]
    lost_fields: tuple[str, ...]

    @property
    def module(self) -> str:
        """The name of its module."""
        return f"{self.older.version}_to_{self.newer.version}"

    @property
    def abstract_methods(self) -> tuple[CarriedMethod, ...]:
        """The methods that the author must write."""
        return tuple(method for method in self.methods if method.is_abstract)


def derive_upgrade(older: Contract, newer: Contract) -> Upgrade:
    """The upgrade from `older` to `newer`, the version that follows it."""
    builder = _Builder(older, newer)
    for method in older.served_methods:
        builder.add_method(method)
    return Upgrade(older, newer, tuple(builder.methods), tuple(builder.lost_fields))


def counterpart(newer: Contract, method: Method) -> Method | None:
    """The method of the newer version that answers `method` of an older one; None where the author has to."""
    return next(
        (item for item in newer.served_methods if (item.name, item.streaming) == (method.name, method.streaming)), None
    )


def render_upgrade(upgrade: Upgrade, package: str) -> str:
    """`PACKAGE/contract/OLDER_to_NEWER.py`; not yet formatted."""
    return render(
        "upgrade",
        header=HEADER,
        package=package,
        old=upgrade.older.version,
        new=upgrade.newer.version,
        methods=upgrade.methods,
        is_abstract=bool(upgrade.abstract_methods),
        renamed=_renamed(upgrade.older, upgrade.newer),
        asks_model=any(item.signature.startswith("model: Model") for item in upgrade.abstract_methods),
    )


def render_seed(upgrade: Upgrade) -> str:
    """`PACKAGE/upgrade/OLDER.py`, which is the author's from then on."""
    return render("upgrade_seed", old=upgrade.older.version, new=upgrade.newer.version)


def describe_lost_fields(upgrades: Iterable[Upgrade]) -> Iterator[str]:
    """What callers of older versions send in vain, a line for each version."""
    for upgrade in upgrades:
        if upgrade.lost_fields:
            old, new, fields = upgrade.older.version, upgrade.newer.version, ", ".join(upgrade.lost_fields)
            yield f"{new} does not have {fields} of {old}: what {old}'s callers send there is ignored"


def describe_missing_methods(upgrades: Iterable[Upgrade], project: Path, package: str) -> Iterator[str]:
    """What the author must still write, a line for each method with its signature and what it is for."""
    for upgrade in upgrades:
        file = f"src/{package}/upgrade/{upgrade.older.version}.py"
        text = (read_if_exists(project / file, project) or b"").decode(errors="replace")
        for method in upgrade.abstract_methods:
            if not re.search(rf"^\s+def {method.name}\(", text, re.MULTILINE):
                yield f"{file}: write `def {method.name}(self, {method.signature}`. {method.doc}"


@dataclass(frozen=True, slots=True)
class _Conversion:
    """The method `name` of an upgrade, which makes a message of another one; `parameter` is what it calls that one."""

    name: str
    parameter: str
    source: Contract
    source_message: Message
    target: Contract
    target_message: Message

    @property
    def typed_parameter(self) -> str:
        return f"{self.parameter}: {self.source.version}.{self.source_message.name}"

    @property
    def result(self) -> str:
        return f"{self.target.version}.{self.target_message.name}"


class _Builder:
    """Builds the methods of one upgrade; each helper once, when it is first needed."""

    def __init__(self, older: Contract, newer: Contract) -> None:
        self.older, self.newer = older, newer
        self.methods: list[CarriedMethod] = []
        self.lost_fields: list[str] = []
        self._helpers: dict[str, str] = {}
        self._names = {"renamed"}
        for method in older.served_methods:
            self._names |= self._names_for(method)

    def _names_for(self, method: Method) -> set[str]:
        name = method.attribute
        return {name} if counterpart(self.newer, method) is None else {f"{name}_request", f"{name}_response"}

    def add_method(self, method: Method) -> None:
        """Both directions of a method, or what answers it where the newer version does not have it."""
        newer = counterpart(self.newer, method)
        name = method.attribute
        if newer is None:
            self._add_unanswered(method, name)
            return
        old, new = self.older, self.newer
        self._add_conversion(_Conversion(f"{name}_request", "request", old, method.request, new, newer.request))
        self._add_conversion(_Conversion(f"{name}_response", "response", new, newer.response, old, method.response))

    def _add_unanswered(self, method: Method, name: str) -> None:
        old, new = self.older.version, self.newer.version
        request, response = f"{old}.{method.request.name}", f"{old}.{method.response.name}"
        if method.streaming:
            signature = f"model: Model, request: {request}, /) -> Iterator[{response}]"
        else:
            signature = f"model: Model, batch: Sequence[{request}], /) -> Sequence[{response}]"
        same = next((item for item in self.newer.methods if item.name == method.name), None)
        form = "does not exist any more"
        if same is not None:
            form = "answers differently: one of the two is a stream" if same.served else "is not served any more"
        why = (
            f"In {new} {method.name} {form}. Answer its callers by a method that the model keeps for them, or refuse "
            f'them: `raise Retired("call ... of {new} instead")`.'
        )
        self._add_abstract(name, signature, why)

    def _add_abstract(self, name: str, signature: str, purpose: str) -> None:
        self.methods.append(CarriedMethod(name, signature, purpose, is_abstract=True))

    def _unused_name(self, name: str) -> str:
        """The name, with underscores appended where a method has it already."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def _add_conversion(self, conversion: _Conversion) -> None:
        """The method that makes a message of another one."""
        at = len(self.methods)
        signature = f"{conversion.typed_parameter}, /) -> {conversion.result}"
        self.methods.append(CarriedMethod(conversion.name, signature))  # its helpers come below it
        pairs = value_compatibility.match_by_name(
            conversion.source_message.fields, conversion.target_message.fields, to_newer=conversion.target is self.newer
        )
        arguments = []
        for field in conversion.target_message.fields:
            origin = pairs.get(field.name)
            why = f"{conversion.source.version} does not have this field"
            if origin is not None:
                why = value_compatibility.obstacle(conversion.source, origin, conversion.target, field) or ""
            if not why and origin is not None:
                value = self._convert_field(conversion, origin, field)
            elif origin is not None or self._must_be_set(field):
                value = self._ask_for_field(conversion, field, why)
            else:
                continue
            arguments.append(f"{field.attribute}={value}")
        result = f"{conversion.result}({', '.join(arguments)})"
        for oneof, members in conversion.target_message.oneofs.items():
            origins = [pairs[member.name] for member in members if member.name in pairs]
            obstacle = value_compatibility.oneof_obstacle(conversion.source_message, members, origins)
            if obstacle is not None:
                result = self._ask_for_oneof(conversion, oneof, obstacle, result)
        source, target = conversion.source_message, conversion.target_message
        doc = f"{source.name} of {conversion.source.version} as {conversion.target.version}'s {target.name}."
        dropped = [field.name for field in conversion.source_message.fields if field not in pairs.values()]
        if dropped:
            doc += f" {conversion.target.version} does not have {', '.join(dropped)}."
            if conversion.target is self.newer:
                self.lost_fields += [f"{conversion.source_message.name}.{name}" for name in dropped]
        self.methods[at] = replace(self.methods[at], doc=doc, body=(f"return {result}",))

    @staticmethod
    def _must_be_set(field: Field) -> bool:
        """Whether a message cannot be made without the field."""
        if field.repeated or field.is_map:
            return bool(field.min_items)
        return is_required(field) and field.default is None

    def _ask_for_field(self, conversion: _Conversion, field: Field, why: str) -> str:
        """A call of the method by which the author gives one field."""
        asked = self._unused_name(f"{conversion.name}_{field.name}")
        text = f"The {field.name} of {conversion.target.version}'s {conversion.target_message.name}: {why}."
        self._add_abstract(asked, f"{conversion.typed_parameter}, /) -> {_qualified(conversion.target, field)}", text)
        return f"self.{asked}({conversion.parameter})"

    def _ask_for_oneof(self, conversion: _Conversion, oneof: str, obstacle: str, result: str) -> str:
        """A call of the method by which the author sets a oneof in a message that is complete but for it."""
        asked = self._unused_name(f"{conversion.name}_{oneof}")
        members = conversion.target_message.oneofs[oneof]
        wants = "Exactly one" if members[0].required else "At most one"
        listed = ", ".join(field.name for field in members)
        text = f"{wants} of {listed} must be set in the result, and in what is carried over {obstacle}."
        self._add_abstract(
            asked, f"{conversion.typed_parameter}, carried: {conversion.result}, /) -> {conversion.result}", text
        )
        return f"self.{asked}({conversion.parameter}, {result})"

    def _convert_field(self, conversion: _Conversion, origin: Field, field: Field) -> str:
        """The expression for a field that can be carried over."""
        target, value = conversion.target, f"{conversion.parameter}.{origin.attribute}"
        helper = self._helper(conversion.source, origin, target)
        if origin.repeated:
            return value if helper is None else f"[self.{helper}(item) for item in {value}]"
        if origin.is_map:
            return value if helper is None else f"{{key: self.{helper}(item) for key, item in {value}.items()}}"
        one = value if helper is None else f"self.{helper}({value})"
        if not may_be_none(origin):
            return one
        otherwise = "None"
        if field.default is not None:
            otherwise = field_code.literal(target, field, field.default)
            if target.enum(field.type) is not None:
                otherwise = f"{target.version}.{otherwise}"
        if one == otherwise or (helper is None and otherwise == "None"):
            return one
        return f"{one} if {value} is not None else {otherwise}"

    def _helper(self, source: Contract, field: Field, target: Contract) -> str | None:
        """The method that carries over the field's enum or message; None for a scalar."""
        if field.scalar is not None:
            return None
        key = f"{reserved_names.snake(field.type)}_to_{target.version}"
        if key not in self._helpers:
            name = self._helpers[key] = self._unused_name(key)
            enum, other = source.enum(field.type), target.enum(field.type)
            if enum is not None and other is not None:
                self._add_enum(name, source, enum, target, other)
            else:
                source_message, target_message = source.message(field.type), target.message(field.type)
                assert source_message is not None  # a valid contract has every type that it names
                assert target_message is not None
                self._add_conversion(_Conversion(name, "value", source, source_message, target, target_message))
        return self._helpers[key]

    def _add_enum(self, method: str, source: Contract, enum: Enum, target: Contract, other: Enum) -> None:
        old, new = source.version, target.version
        signature = f"value: {old}.{enum.name}, /) -> {new}.{enum.name}"
        doc = f"{enum.name} of {old} as {new}'s, by the names of its values."
        pairs = value_compatibility.match_by_name(enum.values, other.values, to_newer=target is self.newer)
        renamed = {was.attribute: other.attribute(name) for name, was in pairs.items()}
        renamed = {was: name for was, name in renamed.items() if was != name}
        lost = [value.attribute for value in enum.values if value not in pairs.values()]
        name, body = "value.name", []
        if renamed:
            name, body = "name", [f"name = {renamed!r}.get(value.name, value.name)"]
        if lost:
            asked = self._unused_name(f"{method}_else")
            body += [
                f"if {name} not in {new}.{enum.name}.__members__:",
                f"    return self.{asked}(value)",
            ]
        body.append(f"return {new}.{enum.name}[{name}]")
        self.methods.append(CarriedMethod(method, signature, doc, tuple(body)))
        if lost:
            text = f"What stands in {new} for {', '.join(lost)}, which its {enum.name} does not have."
            self._add_abstract(asked, signature, text)


def _qualified(contract: Contract, field: Field) -> str:
    """The annotation of a field outside of its version's module."""
    if field.scalar is None:
        field = replace(field, type=f"{contract.version}.{field.type}")
    return field_code.annotation(contract, field)


def _renamed(older: Contract, newer: Contract) -> dict[str, str]:
    """The older path of each field of a request that `renamed_from` says was renamed, by its newer path."""
    older_paths: dict[str, str] = {}
    for method in older.served_methods:
        newer_method = counterpart(newer, method)
        if newer_method is not None:
            older_paths.update(_paths(older, method.request, newer, newer_method.request, "", "", ()))
    return older_paths


def _paths(
    older: Contract, was: Message, newer: Contract, now: Message, old: str, new: str, above: tuple[str, ...]
) -> Iterator[tuple[str, str]]:
    """Pairs of the newer and the older path, below `new` and `old`; a message within itself is not entered again."""
    pairs = value_compatibility.match_by_name(was.fields, now.fields, to_newer=True)
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
