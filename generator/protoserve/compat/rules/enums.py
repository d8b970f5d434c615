"""The values of two enums that meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protoserve.compat.change import Break, Changes, Directions
from protoserve.compat.matching import match
from protoserve.compat.rules.documentation import judge as documentation
from protoserve.compat.rules.proto_options import alike, judge_options, judge_place, judge_zero
from protoserve.compat.rules.reserved import judge_removed, judge_reserved
from protoserve.schema.model import Enum, EnumValue, Where


def judge(before: Enum, after: Enum, used: Directions, found: Changes) -> None:
    """Tells what changed from one enum to the other, given the directions in which both are used."""
    path = after.where.path or f"enums.{after.name}"
    documentation(before, after, path, after.where, found)
    judge_options(before.options, after.options, path, after.where, found)
    judge_place(before, after, path, found)
    judge_zero(before, after, used, path, found)
    before, after = alike(before, after)
    judge_reserved(before.reserved, after.reserved, after.where.path or f"enums.{after.name}", after.where, found)
    form = str if after.exact else str.lower
    matching = match([_plain(item, form) for item in before.values], [_plain(item, form) for item in after.values])
    for was, now in matching.same:
        documentation(was, now, _path(after, now), now.where, found)
        judge_options(was.options, now.options, _path(after, now), now.where, found)
        if was.name != now.name:
            why = f"it was `{was.name}`: protobuf's JSON has values by name"
            found.add(_path(after, now), now.where, "value-renamed", {Break.JSON}, why, f"keep the name `{was.name}`")
    for was, now in matching.moved:
        why = f"its number is {now.number}, was {was.number}: on the wire a value is its number"
        remedy = f"write `number: {was.number}`"
        found.add(_path(after, now), now.where, "value-renumbered", {Break.WIRE, *used}, why, remedy)
    for was, now in matching.reused:
        why = f"the number {was.number} was `{was.name}`, and callers who know that one take the new one for it"
        remedy = (
            f"if it is the same value, write `renamed_from: {was.name}`; if not, take another number and reserve "
            f"{was.number} and {was.name}"
        )
        found.add(_path(after, now), now.where, "number-reused", {Break.WIRE, Break.JSON, *used}, why, remedy)
    for was in matching.removed:
        # Replies that never hold it are what a caller could always get.
        ways = used & {Break.REQUEST}
        loss = "requests with it are refused" if ways else ""
        judge_removed(was, _path(before, was), "value", after.reserved, after.where, ways, loss, found)
    for now in matching.added:
        breaks = used & {Break.RESPONSE}
        why = "new; no caller sends it yet"
        if breaks:
            why = (
                "replies may hold it: callers who look at each value find one that they do not know, and strict "
                "clients, JSON among them, refuse it"
            )
        remedy = "answer old callers with the old values, and give the new one in a new field, or in a new version"
        found.add(_path(after, now), now.where, "value-added", breaks, why, remedy)


def _plain(value: EnumValue, form: Callable[[str], str]) -> EnumValue:
    """The value with its name as the .proto has it: unless exact, only the letters count and not their case."""
    earlier = None if value.renamed_from is None else form(value.renamed_from)
    return replace(value, name=form(value.name), renamed_from=earlier)


def _path(enum: Enum, value: EnumValue) -> str:
    return value.where.path or f"enums.{enum.name}.values.{value.name}"


def judge_gone(enum: Enum, where: Where, found: Changes) -> None:
    """Tells an enum that is in no contract any more under its name; `where` is the place of the others."""
    path = enum.where.path or f"enums.{enum.name}"
    why = f"the enum is gone, or has another name: code that says {enum.name} does not compile"
    found.add(path, where, "enum-removed", {Break.SOURCE}, why, f"keep {enum.name}, even where nothing uses it")
