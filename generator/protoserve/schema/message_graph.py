"""Messages in messages: that each can be finished, and that each name means what it says."""

from __future__ import annotations

from protoserve.schema import reserved_names
from protoserve.schema.unchecked_contract import Draft, FieldDraft, MessageDraft


def check(draft: Draft) -> None:
    _finite(draft)
    _map_entries(draft)


def _finite(draft: Draft) -> None:
    """Reports messages that no value can complete, because they need one of themselves.

    A message can be completed when all that it needs can: so begin with none, and add until nothing is new.
    """
    messages = list(draft.all_messages())
    done: set[str] = set()
    grew = True
    while grew:
        completed = {m.name for m in messages if m.name not in done and _blocker(m, draft, done) is None}
        done |= completed
        grew = bool(completed)
    for message in messages:
        blocker = None if message.name in done else _blocker(message, draft, done)
        if blocker is None:
            continue
        way = _cycle(message, draft, done)
        if way[-1] != message.name:
            continue  # it only leads into a cycle, which is reported at its own messages
        remedy = "break it: write `required: false` on one of these fields, or `repeated: true`"
        key = "value" if blocker.field.is_map else "type"
        blocker.section.report(key, f"{message.name} never ends: {' needs '.join(way)}", remedy)


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


def _cycle(message: MessageDraft, draft: Draft, done: set[str]) -> list[str]:
    """The names along the needs of a message, until one comes back."""
    way = [message.name]
    while True:
        blocker = _blocker(draft.message_names[way[-1]], draft, done)
        assert blocker is not None  # only messages that cannot be completed are walked
        way.append(blocker.field.type)
        if way[-1] in way[:-1]:
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
