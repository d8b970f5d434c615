"""What is gone from one contract to the next must leave behind, so that nobody uses it for something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from protoserve.compat.matching import Numbered, match
from protoserve.compat.message_pairs import reach
from protoserve.compat.rules.reserved import holds
from protoserve.schema.model import Contract, Reserved


def leftovers(old: Contract, new: Contract) -> dict[str, Reserved]:
    """Numbers and names to reserve, by the name of the message or enum of the new contract that they were in.

    Only what is not reserved already and not in use: a field that moved to another number leaves that number, and one
    whose number another has taken leaves its name.
    """
    reservations: dict[str, Reserved] = {}
    met = reach(old, new)
    for first, second in met.messages:
        before, after = old.message(first), new.message(second)
        assert before is not None
        assert after is not None
        _add(reservations, second, before.fields, after.fields, after.reserved, str)
    for first, second in met.enums:
        was, now = old.enum(first), new.enum(second)
        assert was is not None
        assert now is not None
        _add(reservations, second, was.values, now.values, now.reserved, str if now.exact else str.upper)
    return reservations


def _add(
    reservations: dict[str, Reserved],
    owner: str,
    before: Sequence[Numbered],
    after: Sequence[Numbered],
    kept: Reserved,
    form: Callable[[str], str],
) -> None:
    matching = match(before, after)
    gone = [*matching.removed, *(was for was, _ in (*matching.moved, *matching.reused))]
    numbers = {item.number for item in after}
    names = {form(name) for name in (*(item.name for item in after), *kept.names)}
    ranges = tuple(
        (item.number, item.number) for item in gone if item.number not in numbers and not holds(kept, item.number)
    )
    left = tuple(item.name for item in gone if form(item.name) not in names)
    if ranges or left:
        before_this = reservations.get(owner, Reserved())
        reservations[owner] = Reserved(
            tuple(sorted({*before_this.ranges, *ranges})), tuple(dict.fromkeys((*before_this.names, *left)))
        )
