"""Messages in messages: that each can be finished, and that each name means what it says."""

from __future__ import annotations

from protoserve.schema import reserved_names
from protoserve.schema.unchecked_contract import Draft, FieldDraft, MessageDraft

_LONGEST_WAY = 10  # messages of a cycle that are named


def check(draft: Draft) -> None:
    _finite(draft)
    _map_entries(draft)


def _finite(draft: Draft) -> None:
    """Reports messages that no value can complete, because they need one of themselves.

    A message can be completed when all that it needs can: so begin with none, and add until nothing is new.
    """
    messages = list(draft.all_messages())
    done = _completable(messages, draft)
    blockers: dict[str, FieldDraft] = {}
    for message in messages:
        if message.name not in done and (blocker := _blocker(message, draft, done)) is not None:
            blockers[message.name] = blocker
    for name in _in_cycles(blockers):  # others only lead into a cycle, which is reported at its own messages
        blocker, way = blockers[name], _way(name, blockers)
        remedy = "break it: write `required: false` on one of these fields, or `repeated: true`"
        key = "value" if blocker.field.is_map else "type"
        blocker.section.report(key, f"{name} never ends: {' needs '.join(way)}", remedy)


def _completable(messages: list[MessageDraft], draft: Draft) -> set[str]:
    """The names of the messages that can be completed, in time that is linear in the number of fields."""
    done: set[str] = set()
    needs = {id(message): _needs(message, draft) for message in messages}
    waiting: dict[str, list[tuple[MessageDraft, frozenset[str]]]] = {}  # by the name of a message that would help
    for message in messages:
        for need in needs[id(message)]:
            for name in need:
                waiting.setdefault(name, []).append((message, need))
    left = [message for message in messages if not needs[id(message)]]
    while left:
        completed = left.pop().name
        done.add(completed)
        for message, need in waiting.pop(completed, ()):
            if need in needs[id(message)]:
                needs[id(message)].remove(need)
                if not needs[id(message)]:
                    left.append(message)
    return done


def _needs(message: MessageDraft, draft: Draft) -> set[frozenset[str]]:
    """What a value of the message needs: of each set of messages one that can be completed."""
    needs = {
        frozenset([item.field.type])
        for item in message.fields
        if item.field.oneof is None and _needed(item) and item.field.type in draft.message_names
    }
    for members in message.oneofs().values():
        types = frozenset(item.field.type for item in members)
        if members[0].field.required and types <= draft.message_names.keys():
            needs.add(types)
    return needs


def _blocker(message: MessageDraft, draft: Draft, done: set[str]) -> FieldDraft | None:
    """The first field that a value of the message needs and that cannot be completed."""
    for item in message.fields:
        if item.field.oneof is None and _needed(item) and not _completes(item, draft, done):
            return item
    for members in message.oneofs().values():
        if members[0].field.required and not any(_completes(item, draft, done) for item in members):
            return members[0]
    return None


def _needed(item: FieldDraft) -> bool:
    if item.field.repeated or item.field.is_map:
        return bool(item.field.min_items)
    return item.field.required


def _completes(item: FieldDraft, draft: Draft, done: set[str]) -> bool:
    return item.field.type not in draft.message_names or item.field.type in done


def _in_cycles(blockers: dict[str, FieldDraft]) -> list[str]:
    """The messages that need themselves in the end, in the order of `blockers`."""
    cyclic: set[str] = set()
    seen: set[str] = set()
    for first in blockers:
        steps: dict[str, int] = {}  # from `first` on, with their positions
        name = first
        while name in blockers and name not in seen:
            seen.add(name)
            steps[name] = len(steps)
            name = blockers[name].field.type
        if name in steps:
            cyclic |= {step for step, position in steps.items() if position >= steps[name]}
    return [name for name in blockers if name in cyclic]


def _way(name: str, blockers: dict[str, FieldDraft]) -> list[str]:
    """The names along the needs of a message, until it comes back; of a long way only the beginning."""
    way = [name]
    while len(way) == 1 or way[-1] != name:
        if len(way) > _LONGEST_WAY:
            return [*way, "...", name]
        way.append(blockers[way[-1]].field.type)
    return way


def _map_entries(draft: Draft) -> None:
    """protoc makes a message `NameEntry` inside a message for its map `name`.

    It hides another of that name, and of a map `_1` it is `1Entry`.
    """
    for message in draft.all_messages():
        entries = {reserved_names.map_entry(item.name): item.name for item in message.fields if item.field.is_map}
        for item in message.fields:
            entry = reserved_names.map_entry(item.name)
            if item.field.is_map and not entry[0].isalpha():
                problem = f"the entries of this map would be a message {entry!r}, which protobuf's Python cannot load"
                item.section.report("name", problem, "begin the name with a letter")
        for item in message.fields:
            if item.field.type in entries:
                problem = f"{item.field.type!r} here is the entry of the map {entries[item.field.type]!r}"
                item.section.report("value" if item.field.is_map else "type", problem, "rename the map or the message")
