"""Which messages and enums of two contracts meet, and in which direction they travel."""

from __future__ import annotations

from dataclasses import dataclass, field

from protoserve.compat.change import Break, Directions
from protoserve.compat.matching import match
from protoserve.schema.model import Contract, Enum, Message, same_type

Pair = tuple[str, str]


@dataclass(slots=True)
class Reach:
    """Pairs of names, old and new, of messages and of enums, each with the directions in which it is used.

    A pair without a direction is one type, and no method that is still there leads to it.
    """

    messages: dict[Pair, set[Break]] = field(default_factory=dict)
    enums: dict[Pair, set[Break]] = field(default_factory=dict)

    def of_message(self, pair: Pair) -> Directions:
        return frozenset(self.messages[pair])


def reach(old: Contract, new: Contract) -> Reach:
    """Pairs what methods of both contracts lead to, through fields, and whatever else is one type in both."""
    reached = Reach()
    after = counterparts(old, new)
    for message in old.all_messages():
        if message.name in after and new.message(after[message.name]) is not None:
            reached.messages.setdefault((message.name, after[message.name]), set())
    for enum in old.enums:
        if enum.name in after and new.enum(after[enum.name]) is not None:
            reached.enums.setdefault((enum.name, after[enum.name]), set())
    methods = {method.name: method for method in new.methods}
    for method in old.methods:
        now = methods.get(method.name)
        if now is not None:
            _follow(old, new, reached, (method.request.name, now.request.name), Break.REQUEST)
            _follow(old, new, reached, (method.response.name, now.response.name), Break.RESPONSE)
    # Messages that no method leads to have fields, too; what these hold is looked at without a direction.
    return reached


def counterparts(old: Contract, new: Contract) -> dict[str, str]:
    """The name in Python, in the new contract, of each message and enum of the old one that is still there."""
    kinds: list[Message | Enum] = [*new.all_messages(), *new.enums]
    by_full_name = {new.full_name(kind): kind.name for kind in kinds}
    names = {kind.name for kind in kinds}
    pairs: dict[str, str] = {}
    all_before: list[Message | Enum] = [*old.all_messages(), *old.enums]
    for before in all_before:
        after = by_full_name.get(old.full_name(before), before.name)
        if after in names and same_type(old, before.name, new, after):
            pairs[before.name] = after
    return pairs


def _follow(old: Contract, new: Contract, reached: Reach, start: Pair, direction: Break) -> None:
    waiting = [start]
    while waiting:
        pair = waiting.pop()
        directions = reached.messages.setdefault(pair, set())
        if direction in directions:
            continue
        directions.add(direction)
        before, after = old.message(pair[0]), new.message(pair[1])
        assert before is not None  # a contract is sound, and types lead to what is there
        assert after is not None
        for was, now in match(before.fields, after.fields).same:
            inner = (was.type, now.type)
            if old.message(was.type) is not None and new.message(now.type) is not None:
                waiting.append(inner)
            elif old.enum(was.type) is not None and new.enum(now.type) is not None:
                reached.enums.setdefault(inner, set()).add(direction)
