"""What a schema has for the sake of a foreign .proto: options, exact names, names in JSON, and messages in messages."""

from __future__ import annotations

from dataclasses import replace

from protoserve.compat.change import Break, Changes, Directions
from protoserve.compat.rules.field_pair import FieldPair
from protoserve.compat.rules.value_text import shown
from protoserve.schema.model import Contract, Enum, EnumValue, Message, Options, Where

# Options that decide how generated code of some language is called, what type it has, or how it calls.
_IN_CODE = (
    *("java_package", "java_outer_classname", "java_multiple_files", "go_package", "objc_class_prefix"),
    *("csharp_namespace", "swift_prefix", "php_class_prefix", "php_namespace", "php_metadata_namespace"),
    *("ruby_package", "cc_generic_services", "java_generic_services", "py_generic_services"),
    *("jstype", "ctype", "idempotency_level"),
)


def compare_options(was: Options | None, now: Options | None, path: str, where: Where, changes: Changes) -> None:
    """Reports each option that differs; `path` is that of what has the options."""
    before, after = dict(was or ()), dict(now or ())
    place = f"{path}.options".lstrip(".")
    for name in sorted({*before, *after}):
        if before.get(name) != after.get(name):
            difference = f"`{name}` is {shown(after.get(name))}, was {shown(before.get(name))}"
            breaks = {Break.SOURCE} if name in _IN_CODE else set()
            why = f"{difference}: {'generated code in other languages changes' if breaks else 'the same on the wire'}"
            changes.add(f"{place}.{name}", where, "option-changed", breaks, why, "keep it as it was" if breaks else "")
    if before == after and was != now:
        changes.add(place, where, "option-changed", (), "written differently, with the same meaning")


def compare_name_style(old: Contract, new: Contract, where: Where, changes: Changes) -> None:
    """Reports a change of `names`; what follows from it for values of enums is reported there."""
    if old.exact != new.exact:
        style = "names are exact" if new.exact else "names have protoserve's style"
        changes.add("names", where, "names-changed", (), f"{style} now; what changes with it is reported where it is")


def compare_place(
    old: Contract, was: Message | Enum, new: Contract, now: Message | Enum, path: str, changes: Changes
) -> None:
    """Reports a message or an enum that has another name in the .proto, or is in another file, and is still the same.

    Another name is that of another message around it, or of the package of an imported file.
    """
    before, after = old.full_name(was), new.full_name(now)
    if not was.file and not now.file:  # a change of the package is reported for all at once
        before, after = was.in_proto, now.in_proto
    if before != after and was.name == now.name:
        why = f"it is {after} in the .proto, was {before}: the same on the wire, another name in code"
        changes.add(path, now.where, "type-moved", {Break.SOURCE}, why, f"keep the name {before}")
    elif before == after and was.file != now.file:
        why = f"{after} is in {_file(now)}, was in {_file(was)}: the same on the wire, another import in code"
        changes.add(path, now.where, "type-moved", {Break.SOURCE}, why, f"leave it in {_file(was)}")


def _file(kind: Message | Enum) -> str:
    return kind.file or "the file of the service"


def compare_json_name(pair: FieldPair) -> None:
    """Reports another name of a field in JSON."""
    was, now = pair.before.json_name, pair.after.json_name
    if was != now:
        why = f"`json_name` is {shown(now)}, was {shown(was)}: JSON has the field under it"
        pair.report("json-name-changed", {Break.JSON}, why, "keep it as it was", key="json_name")


def compare_zero(before: Enum, after: Enum, used: Directions, path: str, changes: Changes) -> None:
    """Reports that 0 has become a value, as with `names: exact` alone, or has stopped being one."""
    if before.exact == after.exact:
        return
    if after.exact:
        breaks = used & {Break.RESPONSE}
        why = "replies may hold 0, which they never did" if breaks else "0 is a value that requests may hold"
        changes.add(path, after.where, "zero-is-a-value", breaks, why, "keep 0 out of replies: `names: standard`")
    else:
        breaks = used & {Break.REQUEST}
        why = "requests with 0, which a caller who sets nothing sends, are refused" if breaks else "no reply holds 0"
        changes.add(path, after.where, "zero-is-no-value", breaks, why, "keep 0 a value: `names: exact`")


def with_same_names(before: Enum, after: Enum) -> tuple[Enum, Enum]:
    """Two enums of which one has the names of the .proto, with those names in both; others as they are."""
    if before.exact == after.exact and before.in_proto.rpartition(".")[2] == after.in_proto.rpartition(".")[2]:
        return before, after
    return _with_proto_names(before), _with_proto_names(after)


def _with_proto_names(enum: Enum) -> Enum:
    if enum.exact:
        return enum
    zero = EnumValue(enum.value_in_proto("unspecified"), 0, where=enum.where)
    values = (replace(value, name=enum.value_in_proto(value.name)) for value in enum.values)
    kept = replace(enum.reserved, names=tuple(enum.value_in_proto(name) for name in enum.reserved.names))
    return replace(enum, exact=True, values=(zero, *values), reserved=kept)
