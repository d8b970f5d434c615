"""The fields of two messages that meet: each attribute of a field has its rule here or in a module of its kind."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from protoserve.compat.change import Break, Changes, Directions
from protoserve.compat.matching import Matching, match
from protoserve.compat.rules import limits, shapes, types
from protoserve.compat.rules.documentation import judge as documentation
from protoserve.compat.rules.proto_options import judge_json_name, judge_options
from protoserve.compat.rules.reserved import judge_removed, judge_reserved
from protoserve.schema.model import Contract, Field, Message
from protoserve.schema.types import Kind
from protoserve.wire import Presence, presence

_LOSS = {
    Break.REQUEST: "what callers send there is ignored without a word",
    Break.RESPONSE: "callers wait for it in vain",
}


def judge(old: Contract, new: Contract, before: Message, after: Message, used: Directions, found: Changes) -> None:
    """Tells what changed from one message to the other, given the directions in which both are used."""
    matching = match(before.fields, after.fields)
    judge_reserved(before.reserved, after.reserved, after.where.path, after.where, found)
    for was, now in matching.kept:
        _renamed(was, now, after, found)
        _pair(old, new, (before, was), (after, now), used, found)
    for was, now in matching.moved:
        why = f"its number is {now.number}, was {was.number}: callers know the field by its number"
        remedy = f"write `number: {was.number}`"
        found.add(_path(after, now), now.where, "field-renumbered", {Break.WIRE, *used}, why, remedy)
        _pair(old, new, (before, was), (after, now), used, found)
    for was, now in matching.reused:
        why = f"the number {was.number} was that of `{was.name}`, and what callers send as one is read as the other"
        remedy = (
            f"if it is the same field, write `renamed_from: {was.name}`; if not, take another number and reserve "
            f"{was.number} and {was.name}"
        )
        found.add(_path(after, now), now.where, "number-reused", {Break.WIRE, Break.JSON, *used}, why, remedy)
    for was in matching.removed:
        loss = "; ".join(_LOSS[way] for way in (Break.REQUEST, Break.RESPONSE) if way in used)
        judge_removed(was, _path(before, was), "field", after.reserved, after.where, used, loss, found)
    for now in matching.added:
        _added(new, after, now, matching, used, found)
    _oneofs(before, after, matching, used, found)
    shapes.judge_ties([(was, now, f"{_path(after, now)}.shape") for was, now in matching.same], used, found)


def _path(message: Message, field: Field) -> str:
    return field.where.path or f"{message.where.path or f'messages.{message.name}'}.fields.{field.name}"


def _renamed(was: Field, now: Field, message: Message, found: Changes) -> None:
    if was.name == now.name:
        return
    why = (
        f"it was `{was.name}`: in protobuf's JSON, requests with the old name are refused and replies have the new one"
    )
    remedy = f"keep the name `{was.name}`; `source` can say what the model calls it"
    found.add(_path(message, now), now.where, "field-renamed", {Break.JSON}, why, remedy)


Side = tuple[Message, Field]


def _pair(old: Contract, new: Contract, before: Side, after: Side, used: Directions, found: Changes) -> None:
    was, now = before[1], after[1]
    path = _path(after[0], now)
    documentation(was, now, path, now.where, found)
    if was.deprecated != now.deprecated:
        why = "callers are told to stop using it" if now.deprecated else "it is no longer deprecated"
        found.add(path, now.where, "deprecated" if now.deprecated else "not-deprecated", (), why)
    judge_options(was.options, now.options, path, now.where, found)
    judge_json_name(was, now, path, found)
    if _cardinality(old, new, before, after, used, found):
        return
    types.judge(old, new, was, now, path, used, found)
    shapes.judge(was, now, path, used, found)
    _required(old, new, before, after, used, found)
    _default(old, new, was, now, path, used, found)
    if types.comparable(was, now):
        limits.judge(was, now, path, used, found)
    _promise("unit", was.unit, now.unit, now, path, used, found)
    _promise("media_type", was.media_type, now.media_type, now, path, used, found)


def _cardinality(old: Contract, new: Contract, before: Side, after: Side, used: Directions, found: Changes) -> bool:
    """Tells a change of how the field can be there; true where nothing else can be compared then."""
    was, now = before[1], after[1]
    path = _path(after[0], now)
    there, here = presence(old, was), presence(new, now)
    if there is here or (was.shape is not None and now.shape is not None and Presence.IMPLICIT not in (there, here)):
        return False
    if {there, here} == {Presence.IMPLICIT, Presence.EXPLICIT}:
        why = (
            "0 and not sent were one and differ now"
            if there is Presence.IMPLICIT
            else "0 and not sent differed and are one now"
        )
        remedy = f"keep `presence: {there.value}` of the message"
        found.add(path, now.where, "presence-changed", {Break.WIRE, *used}, why, remedy)
        return False
    why = f"it is {types.described(now)}, was {types.described(was)}"
    remedy = f"keep `{was.name}` as it is, marked `deprecated: true`, and add a field of the new form"
    found.add(path, now.where, "cardinality-changed", {Break.WIRE, Break.JSON, *used}, why, remedy)
    return True


def _never_missing(contract: Contract, message: Message, field: Field) -> bool:
    """Whether a field that was not sent reads as 0, so that it makes no difference whether it is required."""
    return presence(contract, field) is Presence.IMPLICIT and field.shape is None


def _required(old: Contract, new: Contract, before: Side, after: Side, used: Directions, found: Changes) -> None:
    was, now = before[1], after[1]
    if was.required == now.required or was.oneof is not None or now.oneof is not None:
        return  # the members of a oneof are judged together
    path = f"{_path(after[0], now)}.required"
    if _never_missing(old, *before) and _never_missing(new, *after):
        found.add(path, now.where, "required-changed", (), "without presence a missing value is 0 all the same")
    elif now.required:
        breaks = used & {Break.REQUEST}
        why = "it is required now: requests without it are refused" if breaks else "replies always have it now"
        remedy = "write `required: false` or a `default`, and let the model do without it"
        found.add(path, now.where, "newly-required", breaks, why, remedy)
    else:
        breaks = used & {Break.RESPONSE}
        why = "replies need not have it any more" if breaks else "requests need not have it any more"
        remedy = "keep it required, and let the model always give it"
        found.add(path, now.where, "no-longer-required", breaks, why, remedy)


def _default(old: Contract, new: Contract, was: Field, now: Field, path: str, used: Directions, found: Changes) -> None:
    before, after = _meaning(old, was, was.default), _meaning(new, now, now.default)
    if before == after or was.required or now.required:
        return  # a field that was required, or is, has that as its change
    said = f"`default` is {_shown(now.default)}, was {_shown(was.default)}"
    if was.default is None:
        breaks = used & {Break.REQUEST}
        effect = (
            "a request without the field has a value now, and had none" if breaks else "a value is there more often"
        )
    else:
        breaks = used
        effect = "a message without the field means something else than it did"
    remedy = "keep the default; a caller who sends nothing meant the old one"
    found.add(f"{path}.default", now.where, "default-changed", breaks, f"{said}: {effect}", remedy)


def _meaning(contract: Contract, field: Field, value: Any) -> Any:
    """What a default means, so that two ways of writing it are equal: an enum's number, a moment, seconds."""
    enum = contract.enum(field.type)
    if value is None:
        return None
    if enum is not None:
        return next((item.number for item in enum.values if item.name == value), value)
    kind = field.scalar.kind if field.scalar else None
    try:
        if kind is Kind.TIMESTAMP:
            return datetime.fromisoformat(value)
        if kind is Kind.DURATION:
            return float(str(value).removesuffix("s"))
    except (TypeError, ValueError):
        return value
    return "NaN" if value != value else (type(value) is bool, value)


def _shown(value: object) -> str:
    return "not given" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _promise(
    key: str, was: str | None, now: str | None, field: Field, path: str, used: Directions, found: Changes
) -> None:
    """What is documented and not checked: to say it where nothing was said is no change, to say otherwise is one."""
    if was == now:
        return
    said = f"`{key}` is {_shown(now)}, was {_shown(was)}"
    if was is None:
        found.add(f"{path}.{key}", field.where, f"{key.replace('_', '-')}-told", (), f"{said}: told, not changed")
        return
    why = f"{said}: the same value means something else"
    remedy = f"keep the {key.replace('_', ' ')}, and give the other one in a new field"
    found.add(f"{path}.{key}", field.where, f"{key.replace('_', '-')}-changed", used, why, remedy)


def _added(
    contract: Contract, message: Message, field: Field, matching: Matching[Field], used: Directions, found: Changes
) -> None:
    path = _path(message, field)
    if field.oneof is not None:
        return  # told with its oneof
    needed = field.required or bool((field.repeated or field.is_map) and field.min_items)
    if _never_missing(contract, message, field):
        enum = contract.enum(field.type)
        needed = not limits.takes_zero(field, enum=enum is not None and not enum.exact)
    breaks = used & {Break.REQUEST} if needed else frozenset()
    if not breaks:
        found.add(path, field.where, "field-added", (), "new; callers who do not know it need not")
        return
    why = "new, and required: requests of callers who do not know it are refused"
    remedy = "write `required: false` or a `default`" if field.required else "let it be empty: no `min_items`"
    found.add(path, field.where, "required-field-added", breaks, why, remedy)


def _oneofs(before: Message, after: Message, matching: Matching[Field], used: Directions, found: Changes) -> None:
    """Tells fields that went into a oneof or out of it, its name, and whether one of it must be there."""
    partner = {id(now): was for was, now in matching.same}
    origin: dict[str, set[str | None]] = {}
    for was, now in matching.same:
        if now.oneof is not None:
            origin.setdefault(now.oneof, set()).add(was.oneof)
    groups = before.oneofs
    for was, now in matching.same:
        if was.oneof == now.oneof:
            continue
        path = f"{_path(after, now)}.oneof"
        if was.oneof is not None and now.oneof is not None and _one_group(groups[was.oneof], matching, now.oneof):
            why = f"the oneof is {now.oneof}, was {was.oneof}: the same on the wire, another name in code"
            found.add(path, now.where, "oneof-renamed", {Break.SOURCE}, why, f"keep the name {was.oneof}")
            continue
        said = f"in the oneof {now.oneof}" if now.oneof else "in no oneof"
        why = f"it is {said}, and was {f'in {was.oneof}' if was.oneof else 'in none'}: what is set beside it is lost"
        remedy = "leave it where it was, and add a new field"
        found.add(path, now.where, "oneof-changed", {Break.WIRE, *used}, why, remedy)
    for name, members in after.oneofs.items():
        known = [(partner[id(item)], item) for item in members if id(item) in partner]
        if not known:
            breaks = used & {Break.REQUEST} if members[0].required else frozenset()
            rule = "required-oneof-added" if breaks else "oneof-added"
            why = f"one of {', '.join(item.name for item in members)} must be sent, and no caller knows them"
            path = f"{_path(after, members[0])}.oneof"
            if not breaks:
                why = "new; callers who do not know it need not"
            found.add(path, members[0].where, rule, breaks, why, "write `required: false` on all of its members")
            continue
        for item in members:
            if id(item) not in partner and item not in (now for _, now in matching.reused):
                _member_added(after, item, used, found)
        was, now = known[0]
        if was.oneof is not None and was.required != now.required:
            _oneof_required(after, name, now, used, found)


def _one_group(members: tuple[Field, ...], matching: Matching[Field], name: str) -> bool:
    """Whether all that is left of an old oneof is now in one of that name, with nothing from elsewhere."""
    old = {id(item) for item in members}
    return all((id(was) in old) == (now.oneof == name) for was, now in matching.same)


def _member_added(message: Message, field: Field, used: Directions, found: Changes) -> None:
    breaks = used & {Break.RESPONSE} if field.required else frozenset()
    why = "a new member; callers who do not know it need not"
    if breaks:
        why = "replies may hold this member, and callers who do not know it find none of the oneof set"
    remedy = "add a field beside the oneof, with `required: false`"
    found.add(_path(message, field), field.where, "oneof-member-added", breaks, why, remedy)


def _oneof_required(message: Message, name: str, first: Field, used: Directions, found: Changes) -> None:
    path = f"{_path(message, first)}.required"
    if first.required:
        breaks = used & {Break.REQUEST}
        why = f"one of {name} is required now" + (": requests without it are refused" if breaks else "")
        found.add(path, first.where, "newly-required", breaks, why, "keep `required: false` on its members")
    else:
        breaks = used & {Break.RESPONSE}
        why = f"replies need not have one of {name} any more" if breaks else f"requests need none of {name} any more"
        found.add(path, first.where, "no-longer-required", breaks, why, "take `required: false` out again")
