"""The fields of two messages that meet: which rule judges which keys, and fields that are new or gone."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Any

from protoserve.compat.change import Break, Changes, Directions
from protoserve.compat.matching import match
from protoserve.compat.rules import limits, oneofs, shapes, types
from protoserve.compat.rules.documentation import compare_documentation
from protoserve.compat.rules.field_pair import FieldPair, FieldRule, path_of
from protoserve.compat.rules.proto_options import compare_json_name, compare_options
from protoserve.compat.rules.reserved import compare_reserved, report_removed
from protoserve.compat.rules.value_text import shown
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import Kind
from protoserve.wire import Presence, is_message, presence

_LOSS = {
    Break.REQUEST: "what callers send in it is silently ignored",
    Break.RESPONSE: "callers who read it find it empty",
}


def compare_fields(
    old: Contract, new: Contract, before: Message, after: Message, used: Directions, changes: Changes
) -> None:
    """Reports every change of the fields, given the directions in which both messages are used."""
    matching = match(before.fields, after.fields)
    compare_reserved(before.reserved, after.reserved, after.where.path, after.where, changes)
    pairs = [FieldPair(old, new, was, now, path_of(after, now), used, changes) for was, now in matching.same]
    for pair in pairs:
        _apply_rules(pair)
    for was, now in matching.reused:
        why = f"the number {was.number} was that of `{was.name}`, and what callers send as one is read as the other"
        remedy = (
            f"if it is the same field, write `renamed_from: {was.name}`; if not, take another number and reserve "
            f"{was.number} and {was.name}"
        )
        breaks = {Break.WIRE, Break.JSON, *used}
        changes.add(path_of(after, now), now.where, "number-reused", breaks, why, remedy)
    for was in matching.removed:
        loss = "; ".join(_LOSS[way] for way in (Break.REQUEST, Break.RESPONSE) if way in used)
        report_removed(was, path_of(before, was), "field", after.reserved, after.where, used, loss, changes)
    for now in matching.added:
        _report_added(new, after, now, used, changes)
    oneofs.compare_oneofs(before, after, matching, used, changes)
    shapes.compare_dimension_names(pairs, used)


def _apply_rules(pair: FieldPair) -> None:
    for rule in ALWAYS:
        rule.compare(pair)
    if _same_form(pair):
        for rule in SAME_FORM:
            rule.compare(pair)
        if types.comparable(pair.before, pair.after):
            for rule in SAME_KIND_OF_VALUE:
                rule.compare(pair)


def _compare_name(pair: FieldPair) -> None:
    was, now = pair.before, pair.after
    if was.number != now.number or was.name == now.name:
        return  # with another number, the number is the change
    why = f"it was `{was.name}`: in protobuf's JSON, requests with the old name fail and replies have the new one"
    pair.report("field-renamed", {Break.JSON}, why, f"keep the name `{was.name}`; `source` can hold the model's name")


def _compare_number(pair: FieldPair) -> None:
    was, now = pair.before, pair.after
    if was.number != now.number:
        why = f"its number is {now.number}, was {was.number}: callers know the field by its number"
        pair.report("field-renumbered", {Break.WIRE, *pair.used}, why, f"write `number: {was.number}`")


def _compare_deprecated(pair: FieldPair) -> None:
    if pair.before.deprecated == pair.after.deprecated:
        return
    if pair.after.deprecated:
        pair.report("deprecated", (), "callers should stop using it")
    else:
        pair.report("not-deprecated", (), "it is no longer deprecated")


def _compare_field_options(pair: FieldPair) -> None:
    compare_options(pair.before.options, pair.after.options, pair.path, pair.after.where, pair.changes)


def _compare_field_documentation(pair: FieldPair) -> None:
    compare_documentation(pair.before, pair.after, pair.path, pair.after.where, pair.changes)


def _same_form(pair: FieldPair) -> bool:
    """Whether the field is one value, a list, a map or an array in both contracts, so that its values compare."""
    was, now = pair.before, pair.after
    before, after = presence(pair.old, was), presence(pair.new, now)
    both_shapes = was.shape is not None and now.shape is not None
    return before is after or {before, after} == _SINGULAR or (both_shapes and Presence.IMPLICIT not in (before, after))


_SINGULAR = {Presence.IMPLICIT, Presence.EXPLICIT}


def _compare_form(pair: FieldPair) -> None:
    if _same_form(pair):
        return
    why = f"it is {types.described(pair.after)}, was {types.described(pair.before)}"
    remedy = f"keep `{pair.before.name}` as it is, marked `deprecated: true`, and add a field of the new form"
    pair.report("cardinality-changed", {Break.WIRE, Break.JSON, *pair.used}, why, remedy)


def _compare_presence(pair: FieldPair) -> None:
    before, after = presence(pair.old, pair.before), presence(pair.new, pair.after)
    if before is after and is_message(pair.new, pair.after) and pair.before.labelled != pair.after.labelled:
        pair.report("presence-changed", (), "`optional` makes no difference to a message")
    if {before, after} != _SINGULAR:
        return
    why = "0 and not sent differed and are one now"
    if before is Presence.IMPLICIT:
        why = "0 and not sent were one and differ now"
    remedy = f"keep `presence: {before.value}` of the message"
    pair.report("presence-changed", {Break.WIRE, *pair.used}, why, remedy)


def _reads_as_zero(contract: Contract, field: Field) -> bool:
    """Whether a field that was not sent reads as 0, so that it makes no difference whether it is required."""
    return presence(contract, field) is Presence.IMPLICIT and field.shape is None


def _compare_required(pair: FieldPair) -> None:
    was, now = pair.before, pair.after
    if was.required == now.required or was.oneof is not None or now.oneof is not None:
        return  # the members of a oneof are judged together
    if _reads_as_zero(pair.old, was) and _reads_as_zero(pair.new, now):
        pair.report("required-changed", (), "without presence a missing value is 0 all the same", key="required")
    elif now.required:
        breaks = pair.used & {Break.REQUEST}
        why = "it is required now: requests without it are refused" if breaks else "replies always have it now"
        remedy = "write `required: false` or a `default`, and let the model do without it"
        pair.report("newly-required", breaks, why, remedy, key="required")
    else:
        breaks = pair.used & {Break.RESPONSE}
        why = "replies can leave it out now" if breaks else "requests can leave it out now"
        remedy = "keep it required, and let the model always give it"
        pair.report("no-longer-required", breaks, why, remedy, key="required")


def _compare_default(pair: FieldPair) -> None:
    was, now = pair.before, pair.after
    if _meaning(pair.old, was) == _meaning(pair.new, now) or was.required or now.required:
        return  # a field that was required, or is, has that as its change
    breaks = pair.used
    effect = "a message without the field means something else than it did"
    if was.default is None:
        breaks = pair.used & {Break.REQUEST}
        effect = "a request without the field has a value now" if breaks else "a value is there more often"
    why = f"`default` is {shown(now.default)}, was {shown(was.default)}: {effect}"
    remedy = "keep the default; a caller who sends nothing meant the old one"
    pair.report("default-changed", breaks, why, remedy, key="default")


def _meaning(contract: Contract, field: Field) -> Any:
    """What a default means, so that two ways of writing it are equal: an enum's number, a moment, seconds."""
    value = field.default
    enum = contract.enum(field.type)
    if value is None:
        return None
    if enum is not None:
        return next((item.number for item in enum.values if item.name == value), value)
    kind = field.scalar.kind if field.scalar else None
    if kind is Kind.TIMESTAMP:
        return datetime.fromisoformat(str(value))
    if kind is Kind.DURATION:
        return float(str(value).removesuffix("s"))
    return "NaN" if value != value else (type(value) is bool, value)  # True is not 1


def _compare_promise(pair: FieldPair, key: str) -> None:
    """What is documented and not checked: to say it for the first time breaks nobody, to change it does."""
    was, now = getattr(pair.before, key), getattr(pair.after, key)
    if was == now:
        return
    difference = f"`{key}` is {shown(now)}, was {shown(was)}"
    rule = key.replace("_", "-")
    if was is None:
        pair.report(f"{rule}-told", (), f"{difference}: documented for the first time", key=key)
        return
    remedy = f"keep the {key.replace('_', ' ')}, and give the other one in a new field"
    pair.report(f"{rule}-changed", pair.used, f"{difference}: the same value means something else", remedy, key=key)


def _report_added(contract: Contract, message: Message, field: Field, used: Directions, changes: Changes) -> None:
    path = path_of(message, field)
    if field.oneof is not None:
        return  # judged with its oneof
    needed = field.required or bool((field.repeated or field.is_map) and field.min_items)
    if _reads_as_zero(contract, field):
        enum = contract.enum(field.type)
        needed = not limits.takes_zero(field, enum=enum is not None and not enum.exact)
    breaks = used & {Break.REQUEST} if needed else frozenset()
    if not breaks:
        changes.add(path, field.where, "field-added", (), "new; callers who do not know it can ignore it")
        return
    why = "new, and required: requests of callers who do not know it are refused"
    remedy = "write `required: false` or a `default`" if field.required else "let it be empty: no `min_items`"
    changes.add(path, field.where, "required-field-added", breaks, why, remedy)


ALWAYS = (
    FieldRule("name", ("name", "renamed_from"), "JSON has fields by name", _compare_name),
    FieldRule("number", ("number",), "the wire has fields by number", _compare_number),
    FieldRule("documentation", ("doc", "example", "source"), "only people read it", _compare_field_documentation),
    FieldRule("deprecated", ("deprecated",), "callers should stop using a field", _compare_deprecated),
    FieldRule("options", ("options",), "some options change code in other languages", _compare_field_options),
    FieldRule("json-name", ("json_name",), "JSON has the field under it", compare_json_name),
    FieldRule("form", ("repeated", "key"), "one value, a list and a map are read differently", _compare_form),
    FieldRule("presence", ("presence",), "whether 0 differs from not sent", _compare_presence),
)
SAME_FORM = (
    FieldRule("type", ("type", "key", "value"), "which types can stand for each other", types.compare_types),
    FieldRule("shape", ("shape",), "which arrays fit", shapes.compare_shapes),
    FieldRule("required", ("required",), "what may be left out", _compare_required),
    FieldRule("default", ("default",), "what a field means that was not sent", _compare_default),
    FieldRule("unit", ("unit",), "what a value means", partial(_compare_promise, key="unit")),
    FieldRule("media-type", ("media_type",), "what bytes and texts hold", partial(_compare_promise, key="media_type")),
)
SAME_KIND_OF_VALUE = (
    FieldRule("limits", limits.KEYS, "narrower limits break requests, wider ones responses", limits.compare_limits),
)
# The members of a oneof are judged together, in `oneofs`.
JUDGED_KEYS = frozenset({"oneof", *(key for rule in (*ALWAYS, *SAME_FORM, *SAME_KIND_OF_VALUE) for key in rule.keys)})
