"""Imported files: that each can lie where it says, and that what they use of each other can be imported."""

from __future__ import annotations

from collections.abc import Iterator

from protoserve.schema import reserved_names
from protoserve.schema.unchecked_contract import Draft, EnumDraft, FieldDraft, ImportDraft, MessageDraft


def check(draft: Draft) -> None:
    """Reports what is wrong with the files, and fields that no imported file can have."""
    _paths(draft)
    for file in draft.imports:
        complaint = reserved_names.package(file.package, exact=True)
        if complaint is not None:
            file.section.report("package", *complaint)
    uses: dict[str, dict[str, FieldDraft]] = {file.path: {} for file in draft.imports}
    for message, item in _imported_fields(draft):
        if item.field.dynamic:
            remedy = (
                "write the sizes, or take `shape` out: the arrays of such a shape are a message of this schema's file"
            )
            item.section.report("shape", "an imported message cannot have a named dimension", remedy)
        kind = _kind(item, draft)
        if kind is None or kind.name.startswith("google.protobuf."):
            continue
        if kind.imported is None:
            remedy = "name a type of an imported file"
            item.section.report(
                _key(item), f"{kind.name!r} is in this schema's own file, which imports this one", remedy
            )
        elif kind.imported is not message.imported and message.imported is not None:
            uses[message.imported.path].setdefault(kind.imported.path, item)
    _cycles(uses)


def _paths(draft: Draft) -> None:
    first: dict[str, ImportDraft] = {}
    for file in draft.imports:
        complaint = reserved_names.import_path(file.path)
        if complaint is not None:
            file.section.report(None, *complaint)
        other = first.setdefault(file.path.lower().replace("-", "_").replace(".", "/"), file)
        if other is not file:
            message = f"{file.path!r} and {other.path!r} (line {other.section.place.line}) are one module in Python"
            file.section.report(None, message, "rename one where it comes from")


def _imported_fields(draft: Draft) -> Iterator[tuple[MessageDraft, FieldDraft]]:
    for message in draft.messages:
        if message.imported is not None:
            yield from ((message, item) for item in message.fields)


def _kind(item: FieldDraft, draft: Draft) -> MessageDraft | EnumDraft | None:
    return draft.message_names.get(item.field.type) or draft.enum_names.get(item.field.type)


def _key(item: FieldDraft) -> str:
    return "value" if item.field.is_map else "type"


def _cycles(uses: dict[str, dict[str, FieldDraft]]) -> None:
    """Reports a field with which files begin to import each other; protoc allows no cycle."""
    done: set[str] = set()
    for path in uses:
        _follow(path, [], uses, done)


def _follow(path: str, above: list[str], uses: dict[str, dict[str, FieldDraft]], done: set[str]) -> None:
    if path in done:
        return
    way = [*above, path]
    for other, item in uses[path].items():
        if other in way:
            chain = " -> ".join([*way[way.index(other) :], other])
            item.section.report(_key(item), f"files import each other: {chain}", "declare what both need in one file")
        else:
            _follow(other, way, uses, done)
    done.add(path)
