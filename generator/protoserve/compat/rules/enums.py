"""The values of two enums that meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from protoserve.compat.change import Break, Changes, Directions
from protoserve.compat.matching import match
from protoserve.compat.rules.documentation import compare_documentation
from protoserve.compat.rules.proto_options import compare_options, compare_zero, with_same_names
from protoserve.compat.rules.reserved import compare_reserved, report_removed
from protoserve.schema.model import Enum, EnumValue, Where


def compare_enums(before: Enum, after: Enum, used: Directions, changes: Changes) -> None:
    """Reports what changed from one enum to the other, given the directions in which both are used."""
    path = after.where.path or f"enums.{after.name}"
    compare_documentation(before, after, path, after.where, changes)
    compare_options(before.options, after.options, path, after.where, changes)
    compare_zero(before, after, used, path, changes)
    before, after = with_same_names(before, after)
    compare_reserved(before.reserved, after.reserved, path, after.where, changes)
    form = str if after.exact else str.lower
    matching = match([_plain(item, form) for item in before.values], [_plain(item, form) for item in after.values])
    for was, now in matching.same:
        compare_documentation(was, now, _path(after, now), now.where, changes)
        compare_options(was.options, now.options, _path(after, now), now.where, changes)
        if was.name != now.name:
            why = f"it was `{was.name}`: protobuf's JSON has values by name"
            changes.add(_path(after, now), now.where, "value-renamed", {Break.JSON}, why, f"keep the name `{was.name}`")
    for was, now in matching.moved:
        why = f"its number is {now.number}, was {was.number}: on the wire a value is its number"
        remedy = f"write `number: {was.number}`"
        changes.add(_path(after, now), now.where, "value-renumbered", {Break.WIRE, *used}, why, remedy)
    for was, now in matching.reused:
        why = f"the number {was.number} was `{was.name}`, and callers who know that one take the new one for it"
        remedy = (
            f"if it is the same value, write `renamed_from: {was.name}`; if not, take another number and reserve "
            f"{was.number} and {was.name}"
        )
        changes.add(_path(after, now), now.where, "number-reused", {Break.WIRE, Break.JSON, *used}, why, remedy)
    for was in matching.removed:
        # Replies that never hold it are what a caller could always get.
        ways = used & {Break.REQUEST}
        loss = "requests with it are refused" if ways else ""
        report_removed(was, _path(before, was), "value", after.reserved, after.where, ways, loss, changes)
    for now in matching.added:
        breaks = used & {Break.RESPONSE}
        why = "new; no caller sends it yet"
        if breaks:
            why = (
                "replies may hold it: callers who look at each value see one that they do not know, and strict "
                "clients, JSON among them, refuse it"
            )
        remedy = "answer old callers with the old values, and give the new one in a new field, or in a new version"
        changes.add(_path(after, now), now.where, "value-added", breaks, why, remedy)


def _plain(value: EnumValue, form: Callable[[str], str]) -> EnumValue:
    """The value with its name as the .proto has it: unless exact, only the letters count and not their case."""
    earlier = None if value.renamed_from is None else form(value.renamed_from)
    return replace(value, name=form(value.name), renamed_from=earlier)


def _path(enum: Enum, value: EnumValue) -> str:
    return value.where.path or f"enums.{enum.name}.values.{value.name}"


def report_removed_enum(enum: Enum, where: Where, changes: Changes) -> None:
    """Reports an enum that the new contract does not have under its name; `where` is the place of its enums."""
    path = enum.where.path or f"enums.{enum.name}"
    why = f"the enum is gone, or has another name: code that names {enum.name} does not compile"
    changes.add(path, where, "enum-removed", {Break.SOURCE}, why, f"keep {enum.name}, even where nothing uses it")
