"""What a schema has for the sake of a foreign .proto: options, exact names, names in JSON, and messages in messages."""

from __future__ import annotations

from dataclasses import replace

from protoserve.compat.change import Break, Changes, Directions
from protoserve.schema.model import Contract, Enum, EnumValue, Field, Message, Options, Where

# Options that decide how generated code of some language is called, what type it has, or how it calls.
_IN_CODE = (
    *("java_package", "java_outer_classname", "java_multiple_files", "go_package", "objc_class_prefix"),
    *("csharp_namespace", "swift_prefix", "php_class_prefix", "php_namespace", "php_metadata_namespace"),
    *(
        "ruby_package",
        "cc_generic_services",
        "java_generic_services",
        "py_generic_services",
        "jstype",
        "ctype",
        "idempotency_level",
    ),
)


def judge_options(was: Options | None, now: Options | None, path: str, where: Where, found: Changes) -> None:
    """Tells each option that is another, or is there on one side alone; `path` is that of what has them."""
    before, after = dict(was or ()), dict(now or ())
    place = f"{path}.options".lstrip(".")
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            said = f"`{name}` is {_shown(after.get(name))}, was {_shown(before.get(name))}"
            breaks = {Break.SOURCE} if name in _IN_CODE else set()
            why = f"{said}: generated code in other languages is another" if breaks else f"{said}: the same on the wire"
            found.add(f"{place}.{name}", where, "option-changed", breaks, why, "keep it as it was" if breaks else "")
    if before == after and was != now:
        found.add(place, where, "option-changed", (), "written differently, with the same meaning")


def _shown(value: bool | str | None) -> str:
    return "not given" if value is None else str(value).lower() if isinstance(value, bool) else value


def judge_names(old: Contract, new: Contract, where: Where, found: Changes) -> None:
    """Tells a change of `names`; what follows from it for values of enums is told there."""
    if old.exact != new.exact:
        style = "names are exact" if new.exact else "names have protoserve's style"
        found.add("names", where, "names-changed", (), f"{style} now; what differs by it is told where it is")


def judge_place(was: Message | Enum, now: Message | Enum, path: str, found: Changes) -> None:
    """Tells a message or an enum that has gone into another message or out of it, under one name in Python."""
    if was.name == now.name and was.in_proto != now.in_proto:
        why = f"it is {now.in_proto} in the .proto, was {was.in_proto}: the same on the wire, another name in code"
        found.add(path, now.where, "type-moved", {Break.SOURCE}, why, f"keep the name {was.in_proto}")


def judge_json_name(was: Field, now: Field, path: str, found: Changes) -> None:
    if was.json_name != now.json_name:
        why = f"`json_name` is {_shown(now.json_name)}, was {_shown(was.json_name)}: JSON has the field under it"
        found.add(f"{path}.json_name", now.where, "json-name-changed", {Break.JSON}, why, "keep it as it was")


def judge_zero(before: Enum, after: Enum, used: Directions, path: str, found: Changes) -> None:
    """Tells that 0 has become a value, which it is with exact names alone, or is none any more."""
    if before.exact == after.exact:
        return
    if after.exact:
        breaks = used & {Break.RESPONSE}
        why = "replies may hold 0, which they never did" if breaks else "0 is a value that requests may hold"
        found.add(path, after.where, "zero-is-a-value", breaks, why, "keep 0 out of replies: `names: standard`")
    else:
        breaks = used & {Break.REQUEST}
        why = "requests with 0, which a caller who sets nothing sends, are refused" if breaks else "no reply holds 0"
        found.add(path, after.where, "zero-is-no-value", breaks, why, "keep 0 a value: `names: exact`")


def alike(before: Enum, after: Enum) -> tuple[Enum, Enum]:
    """Two enums of which one has the names of the .proto, with those names in both; others as they are."""
    if before.exact == after.exact and before.in_proto.rpartition(".")[2] == after.in_proto.rpartition(".")[2]:
        return before, after
    return _exact(before), _exact(after)


def _exact(enum: Enum) -> Enum:
    if enum.exact:
        return enum
    zero = EnumValue(enum.value_in_proto("unspecified"), 0, where=enum.where)
    values = (replace(value, name=enum.value_in_proto(value.name)) for value in enum.values)
    kept = replace(enum.reserved, names=tuple(enum.value_in_proto(name) for name in enum.reserved.names))
    return replace(enum, exact=True, values=(zero, *values), reserved=kept)
