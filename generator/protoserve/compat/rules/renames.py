"""A `renamed_from` that names nothing: a slip that would make a new field of a renamed one, without a word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from protoserve.compat.change import Change
from protoserve.compat.matching import Numbered
from protoserve.compat.message_pairs import reach
from protoserve.schema.model import Contract

RENAMED_FROM_NOTHING = "renamed-from-nothing"


def unknown_renames(old: Contract, new: Contract, versions: Iterable[Contract]) -> Iterator[Change]:
    """Each `renamed_from` of `new` whose name `old` does not have; one that has done its work does not count.

    `versions` are the project's other ones: a name of theirs is for what carries their callers over.
    """
    others = tuple(versions)
    met = reach(old, new)
    messages, enums = ({second: first for first, second in pairs} for pairs in (met.messages, met.enums))
    for message in new.all_messages():
        before = old.message(messages.get(message.name, message.name))
        elsewhere = [other.fields for item in others if (other := item.message(message.name)) is not None]
        had = () if before is None else before.fields
        yield from _unknown(had, message.fields, elsewhere, "field", message.name, exact=True)
    for enum in new.enums:
        was = old.enum(enums.get(enum.name, enum.name))
        values = [kind.values for item in others if (kind := item.enum(enum.name)) is not None]
        known = () if was is None else was.values
        yield from _unknown(known, enum.values, values, "value", enum.name, exact=enum.exact)


def _unknown(
    before: Sequence[Numbered],
    after: Sequence[Numbered],
    elsewhere: Iterable[Sequence[Numbered]],
    what: str,
    owner: str,
    *,
    exact: bool,
) -> Iterator[Change]:
    form = str if exact else str.lower
    had = {form(item.name) for item in before}
    known = had | {form(item.name) for items in elsewhere for item in items}
    for item in after:
        if item.renamed_from is None or form(item.name) in had or form(item.renamed_from) in known:
            continue
        listed = ", ".join(one.name for one in before) or f"no {what}"
        why = (
            f"{owner} had no {what} {item.renamed_from!r} (it had {listed}), so {item.name!r} counts as a new one: "
            "write the name that it had, or take `renamed_from` out"
        )
        yield Change(f"{item.where.path}.renamed_from", RENAMED_FROM_NOTHING, (), why, "", item.where)
