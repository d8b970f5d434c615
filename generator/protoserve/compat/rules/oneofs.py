"""Fields that went into a oneof or out of it, its name, and whether one of its members must be there."""

from __future__ import annotations

from protoserve.compat.change import Break, Changes, Directions
from protoserve.compat.matching import Matching
from protoserve.compat.rules.field_pair import path_of
from protoserve.schema.model import Field, Message


def compare_oneofs(
    before: Message, after: Message, matching: Matching[Field], used: Directions, changes: Changes
) -> None:
    """Reports every change of the oneofs of one message."""
    _compare_membership(before, after, matching, used, changes)
    old_of = {id(now): was for was, now in matching.same}
    for name, members in after.oneofs.items():
        known = [(old_of[id(item)], item) for item in members if id(item) in old_of]
        if not known:
            _report_added(after, members, used, changes)
            continue
        for item in members:
            if id(item) not in old_of and item not in (now for _, now in matching.reused):
                _report_member_added(after, item, used, changes)
        was, now = known[0]
        if was.oneof is not None and was.required != now.required:
            _report_required(after, name, now, used, changes)


def _compare_membership(
    before: Message, after: Message, matching: Matching[Field], used: Directions, changes: Changes
) -> None:
    groups = before.oneofs
    for was, now in matching.same:
        if was.oneof == now.oneof:
            continue
        path = f"{path_of(after, now)}.oneof"
        if was.oneof is not None and now.oneof is not None and _same_members(groups[was.oneof], matching, now.oneof):
            why = f"the oneof is {now.oneof}, was {was.oneof}: the same on the wire, another name in code"
            changes.add(path, now.where, "oneof-renamed", {Break.SOURCE}, why, f"keep the name {was.oneof}")
            continue
        place = f"in the oneof {now.oneof}" if now.oneof else "in no oneof"
        why = f"it is {place}, and was {f'in {was.oneof}' if was.oneof else 'in none'}: what is set beside it is lost"
        remedy = "leave it where it was, and add a new field"
        changes.add(path, now.where, "oneof-changed", {Break.WIRE, *used}, why, remedy)


def _same_members(members: tuple[Field, ...], matching: Matching[Field], name: str) -> bool:
    """Whether all that is left of an old oneof is now in one of that name, with nothing from elsewhere."""
    old = {id(item) for item in members}
    return all((id(was) in old) == (now.oneof == name) for was, now in matching.same)


def _report_added(message: Message, members: tuple[Field, ...], used: Directions, changes: Changes) -> None:
    path, where = f"{path_of(message, members[0])}.oneof", members[0].where
    breaks = used & {Break.REQUEST} if members[0].required else frozenset()
    if not breaks:
        changes.add(path, where, "oneof-added", (), "new; callers who do not know it can ignore it")
        return
    why = f"one of {', '.join(item.name for item in members)} must be sent, and no caller knows them"
    changes.add(path, where, "required-oneof-added", breaks, why, "write `required: false` on all of its members")


def _report_member_added(message: Message, field: Field, used: Directions, changes: Changes) -> None:
    breaks = used & {Break.RESPONSE} if field.required else frozenset()
    why = "a new member; callers who do not know it can ignore it"
    if breaks:
        why = "replies may hold this member, and callers who do not know it see a oneof with nothing set"
    remedy = "add a field beside the oneof, with `required: false`"
    changes.add(path_of(message, field), field.where, "oneof-member-added", breaks, why, remedy)


def _report_required(message: Message, name: str, first: Field, used: Directions, changes: Changes) -> None:
    path = f"{path_of(message, first)}.required"
    if first.required:
        breaks = used & {Break.REQUEST}
        why = f"one of {name} is required now" + (": requests without it are refused" if breaks else "")
        changes.add(path, first.where, "newly-required", breaks, why, "keep `required: false` on its members")
    else:
        breaks = used & {Break.RESPONSE}
        why = f"{'replies' if breaks else 'requests'} can hold none of {name} now"
        changes.add(path, first.where, "no-longer-required", breaks, why, "take `required: false` out again")
